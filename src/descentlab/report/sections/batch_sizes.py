"""What the figures over batch sizes share: estimates by size, and how they are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.intervals import Interval, t_interval
from descentlab.i18n.wording import words
from descentlab.optimizers.roles import FULL_BATCH, PLAIN
from descentlab.report.plotting import COLORS, GRAY, use_log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MINI, FULL = COLORS[PLAIN], COLORS[FULL_BATCH]


def intervals_by_size(table: pd.DataFrame, column: str) -> dict[int, Interval]:
    """Mean and 95 % t interval of a column by batch size, ascending; NaN left out."""
    return {int(size): t_interval(values.to_numpy()) for size, values in table.groupby("batch_size")[column]}


def draw_sizes(
    axes: Axes, estimates: dict[int, Interval], full: int | None, hollow: frozenset[int] = frozenset()
) -> None:
    """Draw means with their intervals against batch size.

    Args:
        estimates: by batch size, ascending.
        full: the size of the whole training set, drawn in a color of its own.
        hollow: sizes with a run that missed the target.
    """
    sizes = list(estimates)
    axes.plot(sizes, [estimates[size].mean for size in sizes], color=MINI, linewidth=1.2, alpha=0.6, zorder=2)
    for size, estimate in estimates.items():
        color = FULL if size == full else MINI
        if np.isfinite(estimate.low):
            axes.plot(
                [size, size],
                [estimate.low, estimate.high],
                color=color,
                linewidth=1.6,
                solid_capstyle="butt",
                zorder=3,
            )
        axes.plot(
            [size],
            [estimate.mean],
            marker="o",
            markersize=5.5,
            color=color,
            linestyle="none",
            zorder=4,
            markerfacecolor="none" if size in hollow else color,
        )
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
    axes.set_xticks(sizes, labels=[words("all") if size == full else f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel(words("examples in a batch"))


def draw_seeds(axes: Axes, table: pd.DataFrame, column: str, by: str) -> None:
    """Draw each seed or repeat as points joined by a thin line: a seed has the same initial weights at every size.

    Args:
        by: the column that identifies a line, ``seed`` or ``repeat``.
    """
    for _, rows in table.sort_values("batch_size").groupby(by):
        axes.plot(
            rows["batch_size"],
            rows[column],
            color=GRAY,
            linewidth=0.6,
            alpha=0.45,
            marker="o",
            markersize=2.5,
            zorder=1,
        )


def scale_logarithmically(axes: Axes, values: pd.Series, label: str) -> None:
    """Make y a logarithmic axis with some room around ``values``."""
    axes.set_ylim(float(values.min()) / 1.6, float(values.max()) * 1.6)
    use_log_scale(axes, "y")
    axes.set_ylabel(label)
