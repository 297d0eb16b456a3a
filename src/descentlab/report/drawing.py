"""What sections draw with: marks, lines and labels for given tables, and the finished figure.

Nothing here computes a statistic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.optimizers.roles import LECTURE
from descentlab.report.blocks import Figure, distinct
from descentlab.report.formatting import optimizer_label
from descentlab.report.plotting import (
    GRAY,
    figure_svg,
    optimizer_color,
    optimizer_marker,
    spread_labels,
    use_log_scale,
)

if TYPE_CHECKING:
    import matplotlib.figure
    from matplotlib.axes import Axes

NAMED = 8  # most lines in a panel that names fit beside
MARGINS_SHOWN = 30.0  # larger differences are drawn here
VERDICT_MARKS = {
    Verdict.BETTER: "^",
    Verdict.WORSE: "v",
    Verdict.NEGLIGIBLE: "s",
    Verdict.INCONCLUSIVE: "o",
    Verdict.IDENTICAL: "D",
    Verdict.NOT_TESTED: ".",
}


def finish(
    drawing: matplotlib.figure.Figure, identity: str, *, takeaway: str, caption: str, data: pd.DataFrame
) -> Figure:
    """Turn a Matplotlib drawing into a figure of the report, and close it.

    Args:
        identity: unique on the page: the figure's anchor, its file name, and the prefix of the ids inside it.
        takeaway: the title, a sentence without its period; with the caption it is also the alternative text.
        data: the table that the takeaway and the drawing come from, offered for download as CSV.
    """
    return Figure(identity, takeaway, figure_svg(drawing, f"{takeaway}. {caption}", identity), caption, data)


def in_front(names: Iterable[str]) -> list[str]:
    """The optimizers whose lines get a name: all if they are few, else the slides', else the first few."""
    names_once = distinct(names)
    if len(names_once) <= NAMED:
        return names_once
    return [name for name in names_once if name in LECTURE] or names_once[:NAMED]


def back_to_front(names: Iterable[str], front: Sequence[str]) -> list[str]:
    """``names`` in drawing order: those in ``front`` last, on top of the others."""
    return sorted(names, key=lambda name: name in front)


def line_style(name: str, leading: bool) -> dict[str, Any]:
    """Matplotlib's options for an optimizer's line: solid if ``leading``, else thin and dashed.

    The page turns the ``gid`` into a tooltip with the optimizer's name.
    """
    return {
        "color": optimizer_color(name),
        "linewidth": 1.8 if leading else 0.9,
        "alpha": 1.0 if leading else 0.55,
        "zorder": 3 if leading else 2,
        "linestyle": "-" if leading else (0, (4, 1.5)),
        "gid": f"linename-{name}--",
    }


def draw_curves(
    axes: Axes, curves: pd.DataFrame, x: str, y: str, *, x_scale: str = "log", y_scale: str = "linear"
) -> None:
    """Draw one mean line per optimizer; those :func:`in_front` get their interval and a name at the end of the line.

    Args:
        curves: columns ``optimizer``, ``x``, ``<y>_mean``, ``<y>_low``, ``<y>_high``; ``x`` ascending.
        x, y: the column on the x axis, and the measure on the y axis.
    """
    names = distinct(curves["optimizer"])
    front = in_front(names)
    ends: dict[str, tuple[float, float]] = {}
    # A logarithmic axis has no 0: that point is drawn at half of the first positive x.
    positive = curves.loc[curves[x] > 0, x]
    least = float(positive.min()) / 2 if len(positive) else 0.5
    for name in back_to_front(names, front):
        line = curves[curves["optimizer"] == name]
        horizontal = line[x].clip(lower=least) if x_scale == "log" else line[x]
        mean = line[f"{y}_mean"]
        leading = name in front
        axes.plot(horizontal, mean, **line_style(name, leading))
        if leading:
            low, high = line[f"{y}_low"], line[f"{y}_high"]
            axes.fill_between(horizontal, low, high, color=optimizer_color(name), alpha=0.15, linewidth=0, zorder=1)
            visible = mean[np.isfinite(mean)]
            if len(visible):
                ends[name] = (float(horizontal.loc[visible.index[-1]]), float(visible.iloc[-1]))
    axes.set_xscale(x_scale)
    axes.set_yscale(y_scale)
    values = curves[f"{y}_mean"].replace([np.inf, -np.inf], np.nan).dropna()
    if len(values):
        limit_values(axes, values.to_numpy(), y_scale)
    for which, scale in (("x", x_scale), ("y", y_scale)):
        if scale == "log":
            use_log_scale(axes, which)
    label_ends(axes, ends)


def limit_values(axes: Axes, values: np.ndarray, scale: str) -> None:
    """Set y limits that cut off at most the worst 3 % of the values, which belong to diverging curves.

    Args:
        values: finite, shape (n,), lower is better.
        scale: ``linear`` or ``log``.
    """
    low, high = np.quantile(values, [0.0, 0.97])
    if scale == "log":
        positive = values[values > 0]
        low, high = max(float(positive.min()), high * 1e-6), high * 1.3
        axes.set_ylim(low / 1.3, high)
        return
    high = max(high, values.max() if values.max() <= 1.5 * abs(high) else high)
    room = (high - low) * 0.06 or 0.01
    axes.set_ylim(low - room, high + room)


def limit_ratios(axes: Axes, values: pd.DataFrame) -> None:
    """Make x a logarithmic axis that spans 1 and every finite value."""
    finite = values.to_numpy()[np.isfinite(values.to_numpy())]
    low, high = min(0.9, float(finite.min(initial=1.0))), max(1.2, float(finite.max(initial=1.0)))
    axes.set_xlim(low / 1.15, high * 1.15)
    use_log_scale(axes, "x")


def value_range(means: pd.Series, higher_is_better: bool) -> tuple[float, float]:
    """Limits that show the better end in full and the worse end only as far as it stays near.

    Args:
        means: finite values, shape (n,).

    Returns:
        Lowest and highest value to show.

    Example:
        >>> value_range(pd.Series([0.1, 0.2, 50.0]), higher_is_better=False)  # a loss of 50 is off the scale
        (0.1, 0.4)
    """
    if means.empty:
        return 0.0, 1.0
    if higher_is_better:
        return float(means.min()), float(means.max())
    best = float(means.min())
    return best, float(min(means.max(), max(3 * abs(best), means.median() * 2)))


def draw_margin_axis(axes: Axes) -> None:
    """Make x an axis of differences in margins: better to the right, the negligible range in gray.

    It is linear within one margin of 0 and logarithmic beyond; values must be clipped to ±MARGINS_SHOWN.
    """
    axes.axvspan(-1, 1, color=GRAY, alpha=0.18, linewidth=0)
    axes.axvline(0, color=GRAY, linewidth=0.9)
    axes.set_xscale("symlog", linthresh=1, linscale=0.8)
    axes.set_xlim(-MARGINS_SHOWN * 1.6, MARGINS_SHOWN * 1.6)
    axes.set_xticks([-30, -10, -3, -1, 0, 1, 3, 10, 30], labels=["−30", "", "−3", "−1", "0", "1", "3", "", "30"])


def label_ends(axes: Axes, ends: dict[str, tuple[float, float]], *, marked: bool = False) -> None:
    """Write each optimizer's name and a sample of its line beside the end of the line, spaced so that none overlap.

    Args:
        ends: each optimizer's last point, in data coordinates.
        marked: whether the lines have markers.
    """
    if not ends:
        return
    transform = axes.transData
    to_axes = axes.transAxes.inverted()
    heights = [float(to_axes.transform(transform.transform(end))[1]) for end in ends.values()]
    for name, height in zip(ends, spread_labels(heights, 0.055), strict=True):
        axes.plot(
            [1.015, 1.05, 1.085],
            [height] * 3,
            color=optimizer_color(name),
            linewidth=1.8,
            markevery=[1],
            marker=optimizer_marker(name) if marked else "",
            markersize=4.5,
            transform=axes.transAxes,
            clip_on=False,
            scalex=False,
            scaley=False,
        )
        axes.text(
            1.1, height, optimizer_label(name), transform=axes.transAxes, va="center", fontsize=8.5, clip_on=False
        )


def draw_rows(
    axes: Axes,
    table: pd.DataFrame,
    order: Sequence[str],
    mean: str,
    low: str,
    high: str,
    *,
    marks: str | None = None,
    offset: float = 0.0,
    filled: bool = True,
) -> None:
    """Draw one row per optimizer: a mark at the mean and a line over the interval.

    Args:
        table: at most one row per optimizer.
        order: optimizers from top to bottom; those without a row in ``table`` stay empty.
        mean, low, high: columns of the mean and of the interval's ends; NaN ends draw no line.
        marks: a column of verdicts, which choose the mark.
        offset: shifts the rows, in rows, so that two sets fit side by side.
        filled: whether the marks are filled; inconclusive ones never are.
    """
    place = {name: i for i, name in enumerate(order)}
    for row in table.to_dict("records"):
        name = str(row["optimizer"])
        y = place[name] + offset
        color = optimizer_color(name)
        mark = VERDICT_MARKS[Verdict(row[marks])] if marks else "o"
        hollow = (marks is not None and row[marks] == Verdict.INCONCLUSIVE) or not filled
        if np.isfinite(row[low]) and np.isfinite(row[high]):
            axes.plot([row[low], row[high]], [y, y], color=color, linewidth=1.4, solid_capstyle="butt")
        axes.plot(
            [row[mean]],
            [y],
            marker=mark,
            markersize=5.5,
            color=color,
            markerfacecolor="none" if hollow else color,
            linestyle="none",
        )
    label_rows(axes, order)


def label_rows(axes: Axes, order: Sequence[str]) -> None:
    """Name the rows on the y axis, the first on top."""
    axes.set_yticks(range(len(order)), labels=list(order))
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def draw_points(axes: Axes, scores: pd.DataFrame, order: Sequence[str], value: str) -> None:
    """Draw each seed as a point in its optimizer's row; fixed shifts, not random ones, keep points apart."""
    place = {name: i for i, name in enumerate(order)}
    rows = np.array([place[name] for name in scores["optimizer"]], dtype=float)
    y = rows + (scores["seed"].to_numpy() % 5 - 2) * 0.09
    colors = [optimizer_color(name) for name in scores["optimizer"]]
    axes.scatter(scores[value], y, s=9, c=colors, alpha=0.45, linewidths=0, zorder=2)
