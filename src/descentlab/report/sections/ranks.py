"""Ranks over problems, if there are enough of them: one critical-difference diagram per arm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from descentlab.analysis.ranks import alike
from descentlab.analysis.statistics.intervals import LEVEL
from descentlab.i18n.wording import counted, joined, words
from descentlab.report.blocks import ARM_WORDS, Evidence, Figure, Section, number
from descentlab.report.drawing import draw_rows, finish
from descentlab.report.plotting import INK, label_room, new_figure

BAR = 0.022  # distance between two bars, in panel widths


def ranks(evidence: Evidence) -> Section | None:
    """Mean ranks of the optimizers that ran on all problems; None below ten problems."""
    table = evidence.comparison.ranks
    arms = evidence.arms_in(table)
    if not arms:
        return None
    figures = [rank_figure(evidence, table[table["arm"] == arm].reset_index(drop=True), arm) for arm in arms]
    return Section("ranks", words("Ranks over problems"), figures)


def rank_figure(evidence: Evidence, table: pd.DataFrame, arm: str) -> Figure:
    """One arm: one row per optimizer, best on top; bars join those that can't be told apart."""
    order, critical_difference = list(table["optimizer"]), float(table["critical_difference"].iloc[0])
    groups = alike(list(table["mean_rank"]), critical_difference)
    figure, (axes,) = new_figure(
        1, 4.2, 0.22 * (len(order) + 2), left=label_room(order), right=0.3 + 4.2 * BAR * len(groups)
    )
    draw_rows(axes, table, order, "mean_rank", "least", "most")
    axes.set_ylim(len(order) - 0.4, -2.2)
    axes.set_xlim(0.7, len(order) + 0.3)
    axes.plot([1, 1 + critical_difference], [-1.0, -1.0], color=INK, linewidth=1.4, marker="|", markersize=7)
    axes.text(
        1, -1.25, words("critical difference {least}", least=number(critical_difference)), va="bottom", fontsize=8
    )
    for place, (first, last) in enumerate(groups):
        x = 1 + BAR * (place + 1)
        axes.plot(
            [x, x],
            [first - 0.25, last + 0.25],
            color=INK,
            linewidth=2.2,
            solid_capstyle="butt",
            clip_on=False,
            transform=axes.get_yaxis_transform(),
            scalex=False,
            scaley=False,
        )
    axes.set_title(words(ARM_WORDS[arm].rates))
    axes.set_xlabel(words("mean rank (1 is best)"))
    title = partial(evidence.marks.title, arm=arm, problems=evidence.plan.problems)
    takeaway = rank_words(table, arm, groups, title)
    caption = words(
        "Rank of each optimizer's mean test metric, averaged over n = {n} problems; ties share a rank, and one with a diverged "
        "seed ranks behind those without. Lines reach from the least to the largest mean with one problem "
        "left out. Bars join optimizers whose mean ranks differ by less than Nemenyi's critical "
        "difference (level {level:g} over all pairs; Demšar 2006). A rank says neither how much better an optimizer is nor how "
        "certain that is on any one problem, and these problems are not a random sample of all: the ranks hold for these.",
        n=int(table["n"].iloc[0]),
        level=LEVEL,
    )
    if absent := [title(name) for name in evidence.optimizers if name not in order]:
        caption += " " + words(
            "Not ranked, because at least one problem has no run of theirs that finished or diverged: {names}.",
            names=joined(absent),
        )
    return finish(figure, f"ranks-{arm}", takeaway=takeaway, caption=caption, data=table)


def rank_words(table: pd.DataFrame, arm: str, groups: list[tuple[int, int]], title: Callable[[str], str]) -> str:
    """Whether the optimizers' mean ranks differ, and from how many the best can be told apart."""
    first = table.iloc[0]
    fields = {
        "arm": words(ARM_WORDS[arm].rates),
        "ranked": int(first["n_optimizers"]),
        "test": words("Friedman's test, p = {p}, n = {n} problems", p=number(first["p"]), n=int(first["n"])),
    }
    if first["p"] > LEVEL:
        return words("With {arm}, the mean ranks of {ranked} optimizers are indistinguishable ({test})", **fields)
    last = groups[0][1] if groups and groups[0][0] == 0 else 0
    leaders = table.loc[table["mean_rank"] == first["mean_rank"], "optimizer"]
    text = counted(
        len(leaders),
        "With {arm}, the mean ranks of {ranked} optimizers differ ({test}): {names} has the best, {rank}, distinguished from "
        "{beaten} of the other {others} by a critical difference of {least}",
        "With {arm}, the mean ranks of {ranked} optimizers differ ({test}): {names} share the best, {rank}, distinguished from "
        "{beaten} of the other {others} by a critical difference of {least}",
        names=joined([title(name) for name in leaders]),
        rank=number(first["mean_rank"]),
        beaten=len(table) - 1 - last,
        others=len(table) - len(leaders),
        least=number(first["critical_difference"]),
        **fields,
    )
    return words(
        "{text}; with one problem left out at a time, the best stays best {n_first} of {n} times",
        text=text,
        n_first=int(first["n_first"]),
        n=int(first["n"]),
    )
