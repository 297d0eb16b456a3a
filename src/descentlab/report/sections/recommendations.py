"""What to choose: what three kinds of readers should take, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from descentlab.analysis.regret import most_dependable
from descentlab.i18n.wording import counted, message, words
from descentlab.optimizers.arms import LOGGED_ARM, Arm
from descentlab.optimizers.roles import ADAM, ALWAYS_SHOWN
from descentlab.report.blocks import (
    ARM_WORDS,
    Evidence,
    interval,
    joined,
    number,
    present,
)

LEFT_OUT = message("Left out, because no optimizer finished every run there: {problems}")


@dataclass(frozen=True)
class Recommendation:
    """What one kind of reader should take.

    Attributes:
        question: who the reader is.
        advice: the computed sentence.
        evidence: lines behind it.
    """

    question: str
    advice: str
    evidence: list[str]


def recommendations(evidence: Evidence) -> list[Recommendation]:
    """For who has no time, for who tunes the learning rate, and for who cares for the last tenth of a percent."""
    made = []
    for arm, question in (
        (Arm.DEFAULT, message("No time to tune anything")),
        (Arm.TUNED, message("I tune the learning rate")),
        (LOGGED_ARM, message("With the settings that were logged")),
    ):
        made += dependable(evidence, arm, words(question)) if arm in evidence.arms else []
    # For the last tenth of a percent it is not the main arm that counts, but the one in which the most is tuned.
    most_tuned = next((arm for arm in (*reversed(Arm), LOGGED_ARM) if arm in evidence.arms), None)
    return [*made, *(best_by_problem(evidence, most_tuned) if most_tuned else [])]


def dependable(evidence: Evidence, arm: str, question: str) -> list[Recommendation]:
    """The optimizer that stays nearest the best on its worst problem, beside Adam and the plain ones."""
    regret = evidence.comparison.regret
    ranked = most_dependable(regret, arm)
    if ranked.empty or not np.isfinite(ranked["worst"].iloc[0]):
        nobody = words("Nothing can be recommended: no optimizer finished every run of this arm.")
        return [Recommendation(question, nobody, [])]
    best = ranked.iloc[0]
    compared = set(regret.loc[regret["arm"] == arm, "problem"])
    problems = len(compared)
    title = partial(evidence.marks.title, arm=arm, problems=compared)
    of = {"optimizer": beginning(best["optimizer"], title), "of": len(ranked)}
    again = evidence.comparison.recommendations
    again = again[again["arm"] == arm]
    named = [str(name) for name in again.loc[again["named"], "optimizer"]]
    if problems == 1:
        advice, lines = words("{optimizer}: of {of} optimizers, it has the best mean validation metric.", **of), []
    elif len(named) > 1:
        first, *others = named
        advice = words(
            "{optimizers}: of {of} optimizers, one of these stays closest to the best across {n} problems. Which, the runs can't "
            "tell.",
            optimizers=joined([beginning(first, title), *map(title, others)]),
            of=len(ranked),
            n=problems,
        )
        lines = [behind_words(best, problems, title)]
    else:
        advice = words(
            "{optimizer}: of {of} optimizers, it stays closest to the best across {n} problems. On its worst, {worst}, its "
            "validation metric is {margins} margins behind.",
            n=problems,
            worst=best["problem"],
            margins=number(best["worst"]),
            **of,
        )
        lines = [test_words(evidence, arm, best["optimizer"], best["problem"])]
    if named:
        lines.append(again_words(again, problems, title))
    summary = evidence.comparison.summary
    run = evidence.problems_in(summary[summary["arm"] == arm])
    if left_out := [problem for problem in run if problem not in compared]:
        lines.append(words(LEFT_OUT, problems=joined(left_out)))
    for name in ALWAYS_SHOWN:
        row = ranked[ranked["optimizer"] == name]
        if len(row) and name != best["optimizer"]:
            lines.append(behind_words(row.iloc[0], problems, title))
    return [Recommendation(question, advice, lines)]


def again_words(again: pd.DataFrame, problems: int, title: Callable[[str], str]) -> str:
    """How often each of the named optimizers came out when the choice was made again."""
    shares = again[again["named"]].to_dict("records")
    listed = joined([f"{title(row['optimizer'])} {row['share']:.0%}" for row in shares])
    return counted(
        problems,
        "Chosen again from resampled seeds: {shares}",
        "Chosen again from resampled seeds, and without each problem in turn: {shares}",
        shares=listed,
    )


def beginning(optimizer: str, title: Callable[[str], str]) -> str:
    """An optimizer's name at the beginning of a sentence: a large letter where it is words, its own where it is a name."""
    said = title(optimizer)
    return said if said.startswith(optimizer) else said[:1].upper() + said[1:]


def behind_words(row: pd.Series, problems: int, title: Callable[[str], str]) -> str:
    """How far behind an optimizer is on its worst problem."""
    name = beginning(row["optimizer"], title)
    if not np.isfinite(row["worst"]):
        return words("{optimizer}: a run on {worst} did not finish", optimizer=name, worst=row["problem"])
    return counted(
        problems,
        "{optimizer}: {margins} margins behind",
        "{optimizer}: {margins} margins behind on its worst, {worst}",
        optimizer=name,
        margins=number(row["worst"]),
        worst=row["problem"],
    )


def test_words(evidence: Evidence, arm: str, optimizer: str, problem: str) -> str:
    """The paired difference of the test metric to the leader of a problem."""
    regret = evidence.comparison.regret
    on_problem = regret[(regret["arm"] == arm) & (regret["problem"] == problem)]
    row = on_problem[on_problem["optimizer"] == optimizer].iloc[0]
    if row["leader"] == optimizer:
        return words("On {problem} it has the best mean validation metric itself", problem=problem)
    return words(
        "Test metric on {problem}, minus {leader}'s: {value}",
        problem=problem,
        leader=evidence.marks.title(row["leader"], arm, [problem]),
        value=interval(row["difference_mean"], row["low"], row["high"], row["n"], signed=True),
    )


class Lead(NamedTuple):
    """Who leads a problem, and how many of the others are indistinguishable from it."""

    problem: str
    leader: str
    level: int
    others: int


def find_leads(evidence: Evidence, arm: str) -> list[Lead]:
    """The lead on each problem."""
    regret = evidence.comparison.regret
    arm_rows = regret[regret["arm"] == arm]
    leads = []
    for problem in present(arm_rows["problem"], list(evidence.plan.problems)):
        rows = arm_rows[arm_rows["problem"] == problem]
        leader = str(rows["leader"].iloc[0])
        others = rows[rows["optimizer"] != leader]
        # Not told apart: no interval, or one that holds 0 or lies above it; an unfinished run is told apart.
        level = others[(others["n_unfinished"] == 0) & ~(others["high"] < 0)]
        leads.append(Lead(problem, leader, len(level), len(others)))
    return leads


def best_by_problem(evidence: Evidence, arm: str) -> list[Recommendation]:
    """Who leads each problem, and how many of the others can't be told from it."""
    regret = evidence.comparison.regret
    lines, alone = [], 0
    for problem, leader, level, others in find_leads(evidence, arm):
        alone += level == 0
        text = words(
            "{problem}: {leader}, indistinguishable from {level} of {others} others",
            problem=problem,
            leader=evidence.marks.title(leader, arm, [problem]),
            level=level,
            others=others,
        )
        if leader != ADAM:
            rows = regret[(regret["arm"] == arm) & (regret["problem"] == problem)]
            text = f"{text}; {adam_words(rows, evidence.marks.title(ADAM, arm, [problem]))}"
        lines.append(text)
    question = words("I care about the last tenth of a percent")
    if not lines:
        return []
    fields = {"arm": words(ARM_WORDS[arm].rates), "alone": alone}
    if alone == len(lines):
        advice = counted(
            alone,
            "With {arm}, one optimizer stands alone.",
            "With {arm}, one optimizer stands alone on every problem.",
            **fields,
        )
    elif alone:
        advice = words(
            "With {arm}, one optimizer stands alone on {alone} of {n} problems; elsewhere it is unclear which is best.",
            n=len(lines),
            **fields,
        )
    else:
        advice = counted(
            len(lines),
            "With {arm}, it is unclear which is best.",
            "With {arm}, it is unclear which is best on any of {n} problems.",
            **fields,
        )
    return [Recommendation(question, advice, lines)]


def adam_words(regret: pd.DataFrame, title: str) -> str:
    """Adam's difference to the leader of a problem."""
    rows = regret[regret["optimizer"] == ADAM]
    if rows.empty:
        return words("Adam was not run")
    adam = rows.iloc[0]
    value = interval(adam["difference_mean"], adam["low"], adam["high"], adam["n"], signed=True)
    return words("test metric of {optimizer} minus the leader's: {value}", optimizer=title, value=value)
