"""One minimum or several: how far apart the solutions of other seeds lie, and what lies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from descentlab.measured_estimands import MATCHED_APART
from descentlab.plotting import COLOURS, figure_svg, label_room, new_figure, use_log_scale
from descentlab.sections.blocks import Evidence, Figure, Section, Table, interval, number
from descentlab.stats import Interval, t_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONVEX = "logistic_regression"
ROUNDING = 10 * float(np.finfo(np.float32).eps)  # of the loss: a difference that float32 sums can make by themselves
WIDE = {"relative_distance": "distance / norm", "barrier": "loss barrier"}
COLOUR = {CONVEX: COLOURS["sgd"], "as trained": COLOURS["adam"], "matched": COLOURS["momentum"]}


def minima(evidence: Evidence) -> Section | None:
    """Distance and loss barrier between solutions: logistic regression beside a multi-layer perceptron."""
    table = evidence.measured.get("minima", pd.DataFrame())
    if table.empty:
        return None
    return Section("minima", "One minimum or several?", [pair_figure(table), pair_table(table)])


def disjoint_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs of which no two share a seed: the first seed with the second, the third with the fourth, and so on.

    Pairs that share a solution aren't independent, so an interval over all of them would be too short.
    """
    seeds = sorted({*rows["first_seed"], *rows["second_seed"]})
    partner = dict(zip(seeds[::2], seeds[1::2], strict=False))
    return rows[rows["first_seed"].map(partner) == rows["second_seed"]]


def groups_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The pairs by what is compared, convex first: logistic regression, and the perceptron as trained and matched."""
    parts = {f"{problem}, {matching}": rows for (problem, matching), rows in table.groupby(["problem", "matching"])}
    return {name.replace(f"{CONVEX}, as trained", CONVEX): parts[name]
            for name in sorted(parts, key=lambda name: (not name.startswith(CONVEX), name))}  # fmt: skip


def over_pairs(rows: pd.DataFrame, column: str) -> Interval:
    """Mean and 95 % t interval over disjoint pairs."""
    return t_interval(disjoint_pairs(rows)[column].to_numpy())


def pair_figure(table: pd.DataFrame) -> Figure:
    """All pairs as points, means over disjoint pairs with their interval; distance on the left, barrier on the right."""
    groups = groups_of(table)
    figure, axes = new_figure(2, 3.1, 0.5 * len(groups) + 0.3, left=label_room(groups) - 0.3, gap=0.3, share_y=True)
    for panel, column in zip(axes, WIDE, strict=True):
        # A barrier of exactly 0, and an interval's end at or below 0, have no place on a logarithmic axis: its left end.
        least = float(table.loc[table[column] > 0, column].min()) / 3 if (table[column] > 0).any() else 1e-9
        for y, (name, rows) in enumerate(groups.items()):
            colour = COLOUR.get(name.rpartition(", ")[2], COLOURS["gd"])
            draw_pairs(panel, rows, column, y, least, colour)
        highest = np.nanmax(
            [least * 10, table[column].max(), *(over_pairs(rows, column).high for rows in groups.values())]
        )
        panel.set_xlim(least / 1.5, float(highest) * 1.5)
        use_log_scale(panel, "x")
        panel.set_xlabel(WIDE[column])
        panel.set_yticks(range(len(groups)), labels=list(groups))
        panel.set_ylim(len(groups) - 0.4, -0.6)
        panel.grid(axis="y", visible=False)
    axes[0].axvline(MATCHED_APART, color="#888888", linewidth=0.9)
    zeros = int((table["barrier"] == 0).sum())
    n = max(over_pairs(rows, "barrier").n for rows in groups.values())
    caption = (
        "Networks trained on one fixed split from other initial weights and batch orders, in pairs. Left: L2 distance of all "
        f"weights over the mean of the two norms; left of the line at {MATCHED_APART:g} two solutions count as one, unrelated "
        "ones have about 1.4. Right: the most by which the training loss on the straight line between two solutions exceeds "
        "the line between its ends; 0 in a convex problem. Matched: the second's hidden units in the order nearest the "
        f"first's, which changes nothing that it computes. Points are all pairs; marks the means over n = {n} pairs that share "
        "no seed, with 95 % t intervals, cut off at the left end of the axis"
    )
    caption += f", where {zeros} barriers of exactly 0 are drawn." if zeros else "."
    takeaway = minima_words(groups)
    return Figure(
        "minima-pairs", takeaway, figure_svg(figure, f"{takeaway}. {caption}", "minima-pairs"), caption, table
    )


def draw_pairs(axes: Axes, rows: pd.DataFrame, column: str, y: int, least: float, colour: str) -> None:
    """One row: every pair a point, above them the mean of the disjoint pairs with its interval."""
    values = rows[column].clip(lower=least)
    shifts = 0.16 + (np.arange(len(values)) % 5) * 0.05
    axes.scatter(values, y + shifts, s=10, color=colour, alpha=0.5, linewidths=0)
    found = over_pairs(rows, column)
    if np.isfinite(found.low):
        ends = np.clip([found.low, found.high], least, None)
        axes.plot(ends, [y - 0.08] * 2, color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot([max(found.mean, least)], [y - 0.08], marker="o", markersize=6, color=colour, linestyle="none")


def minima_words(groups: dict[str, pd.DataFrame]) -> str:
    """What becomes of the two halves of the claim: who ends in one place, who elsewhere each time, and the barrier."""
    parts = [f"{name} ends {place_words(rows)}" for name, rows in groups.items() if not name.endswith("matched")]
    for name, rows in groups.items():
        if name.endswith("matched"):
            trained = groups[name.replace("matched", "as trained")]
            distance = value_words(over_pairs(rows, "relative_distance"))
            parts.append(f"matching hidden units leaves a distance of {distance}, and {barrier_words(trained, rows)}")
    return f"On one fixed split, {'; '.join(parts)}".replace(", as trained", "")


def place_words(rows: pd.DataFrame) -> str:
    """``in one place from every seed (distance 0.0004 …, barriers within rounding)`` or elsewhere."""
    distance, barrier = over_pairs(rows, "relative_distance"), over_pairs(rows, "barrier")
    where = (
        "in one place from every seed" if distance.high < MATCHED_APART
        else "elsewhere each time" if distance.low > MATCHED_APART
        else "in places that can't be told from one or several"
    )  # fmt: skip
    between = f"barrier {value_words(barrier)}"
    if (rows["barrier"] <= ROUNDING * rows[["loss_first", "loss_second"]].max(axis=1)).all():
        largest = number(float(rows["barrier"].max()))
        between = f"no barrier beyond float32's rounding, at most {largest} in {len(rows)} pairs"
    return f"{where} (distance {value_words(distance)}; {between})"


def barrier_words(trained: pd.DataFrame, matched: pd.DataFrame) -> str:
    """``lowers the barrier from 0.1 …, to 0.005 …``: judged by the paired difference over disjoint pairs."""
    keys = ["first_seed", "second_seed"]
    both = disjoint_pairs(trained).merge(disjoint_pairs(matched), on=keys, suffixes=("", "_matched"))
    fall = t_interval((both["barrier"] - both["barrier_matched"]).to_numpy())
    does = "lowers" if fall.low > 0 else "raises" if fall.high < 0 else "does not clearly change"
    before, after = value_words(over_pairs(trained, "barrier")), value_words(over_pairs(matched, "barrier"))
    return f"{does} the barrier: {before} before, {after} after"


def value_words(found: Interval) -> str:
    """An interval as text."""
    return interval(found.mean, found.low, found.high, found.n)


def pair_table(table: pd.DataFrame) -> Table:
    """Distances, barriers and losses in figures; every pair to download."""
    rows = []
    for name, pairs in groups_of(table).items():
        losses = pairs[["loss_first", "loss_second"]].to_numpy()
        rows.append([name, str(len(pairs)), value_words(over_pairs(pairs, "relative_distance")),
                     f"{number(pairs['relative_distance'].min())} to {number(pairs['relative_distance'].max())}",
                     value_words(over_pairs(pairs, "barrier")),
                     f"{number(pairs['barrier'].min())} to {number(pairs['barrier'].max())}",
                     f"{number(float(losses.min()))} to {number(float(losses.max()))}"])  # fmt: skip
    headers = [
        "solutions of",
        "pairs",
        "distance / norm [95 %]",
        "all pairs",
        "barrier [95 %]",
        "all pairs",
        "training loss",
    ]
    caption = (
        "Means and 95 % t intervals over the n pairs that share no seed; ranges over all pairs, which aren't independent. "
        f"The barrier is the largest of {table['n_points'].max()} points on the line; losses hold the penalty."
    )
    return Table("minima-table", "Distances and barriers in figures", headers, rows, caption, table, frozenset({1}),
                 folded=True)  # fmt: skip
