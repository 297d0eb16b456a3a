"""One minimum or several: how far apart the solutions of different seeds lie, and what lies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from descentlab.analysis.claims.measured_estimands import LEAST_BARRIER
from descentlab.analysis.statistics.intervals import Interval, t_interval
from descentlab.i18n.wording import message, words
from descentlab.optimizers.roles import ADAM, MOMENTUM, PLAIN
from descentlab.report.blocks import Evidence, Figure, Section, Table, interval_text, number
from descentlab.report.drawing import finish, label_rows
from descentlab.report.phrases import MATCHINGS
from descentlab.report.plotting import COLORS, GRAY, label_room, new_figure, use_log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONVEX = "logistic_regression"
TRAINED, MATCHED = "as_trained", "matched"  # codes of the table
ROUNDING = 10 * float(np.finfo(np.float32).eps)  # share of the loss that float32 sums alone can differ by
APART = 0.1  # of the mean norm: closer than this, two solutions lie in one place
WIDE = {"relative_distance": message("distance / norm"), "barrier": message("loss barrier")}
COLOR = {TRAINED: COLORS[ADAM], MATCHED: COLORS[MOMENTUM]}
PLACES = {
    "one": message("{problem} ends in one place from every seed (distance {distance}; {between})"),
    "several": message("{problem} ends in a different place each time (distance {distance}; {between})"),
    "unclear": message("whether {problem} ends in one place or several is unclear (distance {distance}; {between})"),
}
BARRIERS = {
    "lowers": message("lowers the barrier: {before} before, {after} after"),
    "raises": message("raises the barrier: {before} before, {after} after"),
    "unclear": message("does not clearly change the barrier: {before} before, {after} after"),
}
Groups = dict[tuple[str, str], pd.DataFrame]  # by problem and matching


def minima(evidence: Evidence) -> Section | None:
    """Distance and loss barrier between solutions: logistic regression next to a multilayer perceptron."""
    table = evidence.measurement("minima")
    if table.empty:
        return None
    return Section("minima", words("One minimum or several?"), [pair_figure(table), pair_table(table)])


def disjoint_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs of which no two share a seed: the first seed with the second, the third with the fourth, and so on.

    Pairs that share a solution aren't independent, so an interval over all of them would be too short.
    """
    seeds = sorted({*rows["first_seed"], *rows["second_seed"]})
    partner = dict(zip(seeds[::2], seeds[1::2], strict=False))
    return rows[rows["first_seed"].map(partner) == rows["second_seed"]]


def pair_groups(table: pd.DataFrame) -> Groups:
    """The pairs by problem and matching, convex first: logistic regression, the perceptron as trained, and matched."""
    parts = {
        (str(problem), str(matching)): rows for (problem, matching), rows in table.groupby(["problem", "matching"])
    }
    return {group: parts[group] for group in sorted(parts, key=lambda group: (group[0] != CONVEX, group))}


def group_title(group: tuple[str, str]) -> str:
    """``mlp, as trained``; in the convex case, which needs no matching, the problem alone."""
    problem, matching = group
    return problem if group == (CONVEX, TRAINED) else f"{problem}, {words(MATCHINGS[matching])}"


def pairs_interval(rows: pd.DataFrame, column: str) -> Interval:
    """Mean and 95 % t interval of a column over disjoint pairs."""
    return t_interval(disjoint_pairs(rows)[column].to_numpy())


def pair_figure(table: pd.DataFrame) -> Figure:
    """All pairs as points, means over disjoint pairs with intervals; distance on the left, barrier on the right."""
    groups = pair_groups(table)
    titles = [group_title(group) for group in groups]
    figure, axes = new_figure(2, 3.1, 0.5 * len(groups) + 0.3, left=label_room(titles) - 0.3, gap=0.3, share_y=True)
    for panel, column in zip(axes, WIDE, strict=True):
        # A barrier of 0 or an interval's end at or below 0 can't be on a logarithmic axis: it is drawn at its left end.
        least = float(table.loc[table[column] > 0, column].min()) / 3 if (table[column] > 0).any() else 1e-9
        for y, ((problem, matching), rows) in enumerate(groups.items()):
            color = COLORS[PLAIN] if problem == CONVEX else COLOR[matching]
            draw_pairs(panel, rows, column, y, least, color)
        highest = np.nanmax(
            [least * 10, table[column].max(), *(pairs_interval(rows, column).high for rows in groups.values())]
        )
        panel.set_xlim(least / 1.5, float(highest) * 1.5)
        use_log_scale(panel, "x")
        panel.set_xlabel(words(WIDE[column]))
        label_rows(panel, titles)
    axes[0].axvline(APART, color=GRAY, linewidth=0.9)
    axes[1].axvline(LEAST_BARRIER, color=GRAY, linewidth=0.9)
    zeros = int((table["barrier"] == 0).sum())
    caption = words(
        "Pairs of networks trained on one fixed split from different initial weights and batch orders. Left: L2 distance of all "
        "weights over the mean of the two norms; left of the line at {apart:g}, two solutions count as one; unrelated ones have "
        "about 1.4. Right: the most by which the training loss on the straight line between two solutions exceeds the line "
        "between its ends; 0 in a convex problem; left of the line at {barrier:g}, two solutions lie in one valley. Matched: the "
        "second network's hidden units in the order nearest the first's, which changes nothing that it computes. Points are all "
        "pairs; marks are the means over n = {n} pairs that share no seed, with 95 % t intervals, cut off at the left end of the "
        "axis",
        apart=APART,
        barrier=LEAST_BARRIER,
        n=max(pairs_interval(rows, "barrier").n for rows in groups.values()),
    )
    caption = (
        words("{text}, where {zeros} barriers of exactly 0 are drawn.", text=caption, zeros=zeros)
        if zeros
        else f"{caption}."
    )
    takeaway = minima_words(groups)
    return finish(figure, "minima-pairs", takeaway=takeaway, caption=caption, data=table)


def draw_pairs(axes: Axes, rows: pd.DataFrame, column: str, y: int, least: float, color: str) -> None:
    """Draw one row: each pair as a point, and above them the mean over disjoint pairs with its interval.

    Args:
        y: the row.
        least: left end of the axis, to which smaller values are clipped.
    """
    values = rows[column].clip(lower=least)
    shifts = 0.16 + (np.arange(len(values)) % 5) * 0.05
    axes.scatter(values, y + shifts, s=10, color=color, alpha=0.5, linewidths=0)
    estimate = pairs_interval(rows, column)
    if np.isfinite(estimate.low):
        ends = np.clip([estimate.low, estimate.high], least, None)
        axes.plot(ends, [y - 0.08] * 2, color=color, linewidth=1.6, solid_capstyle="butt")
    axes.plot([max(estimate.mean, least)], [y - 0.08], marker="o", markersize=6, color=color, linestyle="none")


def minima_words(groups: Groups) -> str:
    """Who ends in one place, who in a different one each time, and what matching does to distance and barrier."""
    parts = [place_words(problem, rows) for (problem, matching), rows in groups.items() if matching == TRAINED]
    for (problem, matching), rows in groups.items():
        if matching == MATCHED:
            distance = interval_text(pairs_interval(rows, "relative_distance"))
            barrier = barrier_words(groups[problem, TRAINED], rows)
            parts.append(
                words(
                    "matching hidden units leaves a distance of {distance}, and {barrier}",
                    distance=distance,
                    barrier=barrier,
                )
            )
    return words("On one fixed split, {parts}", parts="; ".join(parts))


def judge_places(rows: pd.DataFrame) -> str:
    """Whether solutions of all seeds lie in ``one`` place or in ``several``, or it is ``unclear``: by their distance."""
    distance = pairs_interval(rows, "relative_distance")
    return "one" if distance.high < APART else "several" if distance.low > APART else "unclear"


def within_rounding(rows: pd.DataFrame) -> bool:
    """Whether no barrier is higher than what float32 sums alone can differ by."""
    return bool((rows["barrier"] <= ROUNDING * rows[["loss_first", "loss_second"]].max(axis=1)).all())


def place_words(problem: str, rows: pd.DataFrame) -> str:
    """``mlp ends in one place from every seed (distance 0.0004 …, barriers within rounding)``, or elsewhere."""
    distance, barrier = pairs_interval(rows, "relative_distance"), pairs_interval(rows, "barrier")
    if within_rounding(rows):
        largest = number(float(rows["barrier"].max()))
        between = words(
            "no barrier beyond float32 rounding, at most {largest} in {pairs} pairs", largest=largest, pairs=len(rows)
        )
    else:
        between = words("barrier {value}", value=interval_text(barrier))
    return words(PLACES[judge_places(rows)], problem=problem, distance=interval_text(distance), between=between)


def judge_barriers(trained: pd.DataFrame, matched: pd.DataFrame) -> str:
    """Whether matching ``lowers`` or ``raises`` the barrier or it is ``unclear``, by the difference over disjoint pairs."""
    keys = ["first_seed", "second_seed"]
    both = disjoint_pairs(trained).merge(disjoint_pairs(matched), on=keys, suffixes=("", "_matched"))
    fall = t_interval((both["barrier"] - both["barrier_matched"]).to_numpy())
    return "lowers" if fall.low > 0 else "raises" if fall.high < 0 else "unclear"


def barrier_words(trained: pd.DataFrame, matched: pd.DataFrame) -> str:
    """``lowers the barrier: 0.1 … before, 0.005 … after``."""
    before, after = (interval_text(pairs_interval(rows, "barrier")) for rows in (trained, matched))
    return words(BARRIERS[judge_barriers(trained, matched)], before=before, after=after)


def range_words(values: pd.Series | np.ndarray) -> str:
    """``0.9 to 1.4``: the smallest and the largest value."""
    return words("{least} to {most}", least=number(float(values.min())), most=number(float(values.max())))


def pair_table(table: pd.DataFrame) -> Table:
    """The numbers of distances, barriers and losses; every pair to download."""
    rows = []
    for group, pairs in pair_groups(table).items():
        losses = pairs[["loss_first", "loss_second"]].to_numpy()
        rows.append(
            [
                group_title(group),
                str(len(pairs)),
                interval_text(pairs_interval(pairs, "relative_distance")),
                range_words(pairs["relative_distance"]),
                interval_text(pairs_interval(pairs, "barrier")),
                range_words(pairs["barrier"]),
                range_words(losses),
            ]
        )
    headers = [
        words("solutions of"),
        words("pairs"),
        words("distance / norm [95 %]"),
        words("all pairs"),
        words("barrier [95 %]"),
        words("all pairs"),
        words("training loss"),
    ]
    caption = words(
        "Means and 95 % t intervals over the n pairs that share no seed; ranges over all pairs, which aren't independent. The "
        "barrier is the largest of {points} points on the line; losses include the penalty.",
        points=table["n_points"].max(),
    )
    return Table(
        "minima-table",
        words("Distances and barriers as numbers"),
        headers,
        rows,
        caption,
        table,
        frozenset({1}),
        folded=True,
    )
