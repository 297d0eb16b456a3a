"""Best of k: the validation metric to expect from an optimizer by the number of learning rates tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from descentlab.i18n.wording import counted, joined, words
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.roles import ADAM, PLAIN
from descentlab.report.blocks import Evidence, Figure, present
from descentlab.report.drawing import back_to_front, finish, in_front, label_ends, line_style, value_range
from descentlab.report.plotting import label_room, new_figure, optimizer_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def best_of_k_figure(evidence: Evidence) -> Figure:
    """Expected validation metric against the number of rates tried, one panel per problem."""
    table = evidence.comparison.best_of_k
    problems = evidence.problems_in(table)
    front = in_front(evidence.optimizers_in(table))
    figure, axes = new_figure(len(problems), 2.0, 2.6, right=label_room(front), gap=0.65)
    for panel, problem in zip(axes, problems, strict=True):
        lines = table[table["problem"] == problem]
        order = evidence.optimizers_in(lines)
        planned = evidence.plan.problems[problem]
        ends = draw_best_of_k(panel, lines, order, front, planned.higher_is_better)
        panel.set_title(problem)
        panel.set_xlabel(words("rates tried"))
        panel.set_ylabel(words("validation {metric}", metric=words(planned.metric)))
        if panel is axes[-1]:
            corner = (1.0, panel.get_ylim()[0])  # who has no line in the last panel still needs a name
            # Names at one height are stacked upward; an optimizer without a complete point gets the worst place.
            out = set(lines.loc[lines["n_out"] == lines["n_points"], "optimizer"])
            names = sorted(front, key=lambda name: (name in out) != planned.higher_is_better)
            label_ends(panel, {name: ends.get(name, corner) for name in names})
    takeaway = best_of_k_words(evidence, table, problems)
    caption = best_of_k_caption(evidence, table, problems, others=table["optimizer"].nunique() > len(front))
    return finish(figure, "best-of-k", takeaway=takeaway, caption=caption, data=table)


def best_of_k_caption(evidence: Evidence, table: pd.DataFrame, problems: list[str], *, others: bool) -> str:
    """What the figure shows and counts.

    Args:
        others: whether the figure has lines without a name.
    """
    directions = []
    for problem in problems:
        higher = evidence.plan.problems[problem].higher_is_better
        directions.append(
            words("{problem} upward", problem=problem) if higher else words("{problem} downward", problem=problem)
        )
    seeds = int(table["n_seeds"].max())
    bands = (
        words(
            "95 % t interval over n = {n} tuning seeds of the named optimizers; the others are dashed (hover for names)",
            n=seeds,
        )
        if others
        else words("95 % t interval over n = {n} tuning seeds", n=seeds)
    )
    points = table.drop_duplicates(["problem", "optimizer"])
    lost = counted(
        int(points["n_out"].sum()),
        "{n} of {points} of the grids had a seed that didn't finish and counts as the worst complete point of the problem.",
        "{n} of {points} of the grids had a seed that didn't finish and count as the worst complete point of the problem.",
        points=counted(int(points["n_points"].sum()), "{n} point", "{n} points"),
    )
    return words(
        "Expected mean validation metric of the best of k rates drawn at random, without replacement, from an optimizer's "
        "tuning grid: exact over all draws (Dodge et al. 2019). Direction of better: {directions}. Bands: {bands}; the names on"
        " the right apply to every panel. {lost} Values beyond the axis are drawn at its end. Tuning runs see no test split, so"
        " this is validation only.",
        directions=joined(directions),
        bands=bands,
        lost=lost,
    )


def draw_best_of_k(
    axes: Axes, lines: pd.DataFrame, order: list[str], front: list[str], higher_is_better: bool
) -> dict[str, tuple[float, float]]:
    """Draw one line per optimizer; those in front get their interval.

    Args:
        lines: rows of one problem.

    Returns:
        The last point of each line in front, in data coordinates.
    """
    bottom, top = value_range(lines["val_metric"], higher_is_better)
    ends = {}
    for name in back_to_front(order, front):
        line = lines[lines["optimizer"] == name].sort_values("k")
        leading = name in front
        mean = line["val_metric"].clip(bottom, top)
        axes.plot(line["k"], mean, **line_style(name, leading))
        if leading:
            low, high = line["low"].clip(bottom, top), line["high"].clip(bottom, top)
            axes.fill_between(line["k"], low, high, color=optimizer_color(name), alpha=0.12, linewidth=0, zorder=1)
            ends[name] = (float(line["k"].iloc[-1]), float(mean.iloc[-1]))
    room = (top - bottom) * 0.05 or 0.01
    axes.set_ylim(bottom - room, top + room)
    axes.set_xticks(range(1, int(lines["k"].max()) + 1))
    return ends


def best_of_k_words(evidence: Evidence, table: pd.DataFrame, problems: list[str]) -> str:
    """Where the best optimizer depends on the number of rates tried, and how often Adam is ahead of plain SGD."""
    moves, adam_ahead = [], []
    for problem in problems:
        sign = evidence.plan.problems[problem].sign
        curves = table[table["problem"] == problem].sort_values("k", kind="stable")
        # One that finished at no rate has the value of the worst that did, and leads nobody.
        curves = curves[curves["n_out"] < curves["n_points"]]
        goodness = curves.assign(goodness=(sign * curves["val_metric"]).round(12)).groupby("optimizer")["goodness"]
        ends = [goodness.first(), goodness.last()]
        best = [[name for name in present(end.index, evidence.optimizers) if end[name] == end.max()] for end in ends]
        if not set(best[0]) & set(best[1]):
            first, last = (
                joined([evidence.marks.title(name, Arm.TUNED, [problem]) for name in names]) for names in best
            )
            moves.append(words("from {first} to {last} on {where}", first=first, last=last, where=problem))
        if {ADAM, PLAIN} <= set(ends[0].index):
            adam_ahead.append([bool(end[ADAM] > end[PLAIN]) for end in ends])
    text = words(
        "From one rate tried to the whole grid, the best expected validation metric passes to another optimizer on {moves} of "
        "{problems}",
        moves=len(moves),
        problems=counted(len(problems), "{n} problem", "{n} problems"),
    )
    text += f": {joined(moves)}" if moves else ""
    if adam_ahead:
        one, whole = (sum(ends) for ends in zip(*adam_ahead, strict=True))
        text = words(
            "{text}; {first} is ahead of {second} on {one} of {of} with one rate, on {whole} with the whole grid",
            text=text,
            first=evidence.marks.title(ADAM, Arm.TUNED, problems),
            second=evidence.marks.title(PLAIN, Arm.TUNED, problems),
            one=one,
            of=len(adam_ahead),
            whole=whole,
        )
    return text
