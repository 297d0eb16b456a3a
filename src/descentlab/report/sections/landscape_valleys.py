"""How far down a valley each optimizer gets: median heights above the minimum after equally many updates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from descentlab.i18n.wording import counted, joined, words
from descentlab.optimizers.roles import ADAGRAD, PLAIN
from descentlab.report.blocks import Figure, distinct, number
from descentlab.report.drawing import draw_rows, finish
from descentlab.report.plotting import new_row_figure, use_log_scale
from descentlab.report.sections.landscape_words import FLOOR, descent_title, height_text, landscape_title, place_words


def height_table(ends: pd.DataFrame) -> pd.DataFrame:
    """Median final height above the minimum, and its quartiles over the starts.

    Args:
        ends: rows of LANDSCAPE_COLUMNS.

    Returns:
        One row per (landscape, optimizer): ``median``, ``low``, ``high``, ``n``, ``diverged`` starts and ``updates``.
    """
    rows = []
    for (landscape, optimizer), group in ends.groupby(["landscape", "optimizer"], sort=False):
        low, median, high = np.quantile(group["value"], [0.25, 0.5, 0.75], method="nearest")
        rows.append(
            {
                "landscape": landscape,
                "optimizer": optimizer,
                "median": median,
                "low": low,
                "high": high,
                "n": len(group),
                "diverged": int(np.isinf(group["value"]).sum()),
                "updates": int(group["updates"].max()),
            }
        )
    return pd.DataFrame(rows)


def height_figure(heights: pd.DataFrame) -> Figure:
    """Median final height in each valley, with its quartiles."""
    order, names = distinct(heights["optimizer"]), distinct(heights["landscape"])
    figure, axes = new_row_figure(len(names), 1.7, order, row=0.26, margin=0.2, gap=0.25, share_x=True)
    clipped = heights.assign(**{c: heights[c].clip(FLOOR) for c in ("median", "low", "high")})
    finite = clipped[["median", "low", "high"]].replace(np.inf, np.nan)
    for panel, name in zip(axes, names, strict=True):
        draw_rows(panel, clipped[clipped["landscape"] == name], order, "median", "low", "high")
        panel.set_title(landscape_title(name))
        panel.set_xlabel(words("height (lower is better)"))
        panel.set_xlim(FLOOR / 3, max(10 * FLOOR, 3 * float(np.nanmax(finite))))
        use_log_scale(panel, "x")
    updates = counted(int(heights["updates"].max()), "{n} update", "{n} updates")
    diverged = counted(
        int(heights["diverged"].sum()),
        "{n} start diverged and counts as infinite",
        "{n} starts diverged and count as infinite",
    )
    takeaway = valley_words(heights)
    caption = words(
        "Value above the minimum after {updates} with the full gradient: median and middle half (a spread, not an interval) of "
        "n = {n} starts, the same for all optimizers, each with its chosen rate, which decays to zero; {diverged}. Anything "
        "below {floor:g} is drawn there. The two quadratics are the same valley, along an axis and along the diagonal.",
        updates=updates,
        n=int(heights["n"].max()),
        diverged=diverged,
        floor=FLOOR,
    )
    return finish(figure, "valley-heights", takeaway=takeaway, caption=caption, data=heights)


class Gain(NamedTuple):
    """How many decades AdaGrad lies below plain descent (negative: above); where ``bound``, at least so many."""

    decades: float
    bound: bool


def find_gains(heights: pd.DataFrame) -> dict[str, Gain]:
    """By valley, what AdaGrad gains where it and plain descent have a finite median."""
    gains = {}
    for name, group in heights.groupby("landscape", sort=False):
        medians = group.set_index("optimizer")["median"].clip(FLOOR)
        if {PLAIN, ADAGRAD} <= set(medians.index) and np.isfinite(medians[[PLAIN, ADAGRAD]]).all():
            plain, adagrad = medians[PLAIN], medians[ADAGRAD]
            gains[str(name)] = Gain(float(np.log10(plain / adagrad)), bool(adagrad == FLOOR < plain))
    return gains


def gain_words(landscape: str, gain: Gain) -> str:
    """A gain in one valley."""
    fields = {"value": number(gain.decades), "where": landscape_title(landscape)}
    return words("at least {value} on {where}", **fields) if gain.bound else words("{value} on {where}", **fields)


def valley_words(heights: pd.DataFrame) -> str:
    """Who gets lowest in each valley, and how many decades AdaGrad lies below plain descent."""
    lowest = []
    for name, group in heights.groupby("landscape", sort=False):
        rows = group.set_index("optimizer")["median"].clip(FLOOR)
        least = rows.min()
        who = joined([descent_title(o) for o in rows.index[rows == least]])
        lowest.append(place_words(who, str(name), height_text(least)))
    best, gains = joined(lowest), [gain_words(name, gain) for name, gain in find_gains(heights).items()]
    if not gains:
        return words("Lowest median: {best}", best=best)
    return words(
        "Lowest median: {best}; in decades, adagrad lies below plain descent by {gains}",
        best=best,
        gains=joined(gains),
    )
