"""How much the ranking depends on choices in which papers differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from descentlab.analysis.rank_stability import summarize_rank_stability
from descentlab.i18n.wording import counted, joined, message, words
from descentlab.optimizers.roles import ADAM, MOMENTUM, PLAIN
from descentlab.report.blocks import (
    Evidence,
    Figure,
    Paragraph,
    Section,
    Table,
    interval,
    number,
)
from descentlab.report.phrases import CHOICES
from descentlab.report.sections.best_of_k import best_of_k_figure

QUESTIONS = {
    "selection": message("learning rate chosen by {choice} instead of {first}"),
    "tuning": message("{choice} instead of {first}"),
    "epoch": message("epoch reported: {choice} instead of {first}"),
    "axis": message("race cut at equal {choice} instead of {first}"),
}
ORDERS = {"flips": message("flips"), "stays": message("stays"), "tie": message("tie"), "": message("not compared")}
PAIRS = {PLAIN: "adam_sgd_order", MOMENTUM: "adam_momentum_order"}
Ranked = dict[tuple[str, str, str], pd.DataFrame]


class Choice(NamedTuple):
    """A choice in place of the question's first one; ``marked`` where one of them is a mistake."""

    question: str
    first_choice: str
    choice: str
    marked: bool


class Swaps(NamedTuple):
    """How often Adam and another optimizer swap places.

    Attributes:
        compared: comparisons that rank both.
        clear: swaps in which their intervals are apart.
        choices: how many swaps each choice makes.
    """

    compared: int
    clear: int
    choices: dict[Choice, int]

    @property
    def swapped(self) -> int:
        """Comparisons in which the two swap places."""
        return sum(self.choices.values())


class Changes(NamedTuple):
    """What a choice changes.

    Attributes:
        problems: on how many problems both choices have a ranking.
        changed: on how many of them the winner is another one.
        clear: on how many of them clearly so (``is_clear_change``).
        taus: Kendall's tau of the two rankings, of each problem that has it.
        swaps: how often Adam and each optimizer of PAIRS swap places.
    """

    problems: int
    changed: int
    clear: int
    taus: list[float]
    swaps: dict[str, Swaps]


def rank_stability(evidence: Evidence) -> Section | None:
    """Rankings under other choices, and the best validation metric by the number of rates tried."""
    table, budgets = evidence.comparison.rank_stability, evidence.comparison.best_of_k
    summary = summarize_rank_stability(table)
    blocks: list[Figure | Table | Paragraph] = []
    if len(summary):
        ranked = rankings_of(table)
        title = partial(evidence.marks.title, arm=evidence.plan.main_arm, problems=evidence.plan.problems)
        swaps = " ".join(swap_words(other, count_swaps(summary, ranked, other), title) for other in PAIRS)
        blocks += [choice_table(summary, ranked, int(table["n"].max()), title), Paragraph(swaps)]
    if len(budgets):
        blocks.append(best_of_k_figure(evidence))
    if len(summary):
        blocks.append(ranking_table(evidence, summary, ranked, title))
    return Section("rank-stability", words("What would change the answer?"), blocks) if blocks else None


def rankings_of(table: pd.DataFrame) -> Ranked:
    """The rows of each problem, question and choice, by optimizer."""
    groups = table.groupby(["problem", "question", "choice"])
    return {(str(p), str(q), str(c)): rows.set_index("optimizer") for (p, q, c), rows in groups}


def count_changes(summary: pd.DataFrame, ranked: Ranked) -> dict[Choice, Changes]:
    """On how many problems each choice changes the winner."""
    changes = {}
    for choice, group in summary.groupby(list(Choice._fields), sort=False):
        changed = [row for row in group.to_dict("records") if winner_changes(row)]
        clear = sum(is_clear_change(row, ranked) for row in changed)
        swaps = {other: count_swaps(group, ranked, other) for other in PAIRS}
        changes[Choice(*choice)] = Changes(len(group), len(changed), clear, group["tau"].dropna().tolist(), swaps)
    return changes


def count_swaps(summary: pd.DataFrame, ranked: Ranked, other: str) -> Swaps:
    """How often Adam and ``other`` swap places, and under which choices."""
    compared = summary[summary[PAIRS[other]] != ""]
    swapped = compared[compared[PAIRS[other]] == "flips"]
    clear = sum(is_clear_change(row, ranked, (ADAM, other)) for row in swapped.to_dict("records"))
    choices = {Choice(*choice): len(group) for choice, group in swapped.groupby(list(Choice._fields), sort=False)}
    return Swaps(len(compared), clear, choices)


def find_most_changing(changes: Mapping[Choice, Changes]) -> list[Choice]:
    """The choices that change the winner on the most problems; none where no choice does."""
    most = max(counts.changed for counts in changes.values())
    return [choice for choice, counts in changes.items() if counts.changed == most > 0]


def pair_headers(title: Callable[[str], str]) -> list[str]:
    """The heads of the columns on the order of Adam and each optimizer of PAIRS."""
    return [joined([title(ADAM), title(other)]) for other in PAIRS]


def choice_table(summary: pd.DataFrame, ranked: Ranked, most_seeds: int, title: Callable[[str], str]) -> Table:
    """One row per choice: on how many problems it changes the winner, and the order of Adam and SGD."""
    changes = count_changes(summary, ranked)
    rows = [
        [
            choice_words(choice),
            words("{n} of {of}", n=counts.changed, of=counts.problems),
            words("{n} of {of}", n=counts.clear, of=counts.problems),
            spread_words(counts),
            *(swap_cell(swaps) for swaps in counts.swaps.values()),
        ]
        for choice, counts in changes.items()
    ]
    comparisons = counted(len(summary), "{n} comparison", "{n} comparisons")
    most_changing = find_most_changing(changes)
    takeaway = (
        words(
            "Another choice changes the best optimizer in {changed} of {comparisons}, clearly in {clear}; most often: {choices}",
            changed=sum(counts.changed for counts in changes.values()),
            comparisons=comparisons,
            clear=sum(counts.clear for counts in changes.values()),
            choices=joined([change_words(choice, changes[choice]) for choice in most_changing]),
        )
        if most_changing
        else words("No other choice changes the best optimizer: {comparisons}", comparisons=comparisons)
    )
    headers = [
        words("choice"),
        words("problems with another winner"),
        words("clearly"),
        words("Kendall's tau"),
        *pair_headers(title),
    ]
    caption = words(
        "Each choice against the one after “instead of”, problem by problem, from the same stored runs; n = up to {n} final "
        "seeds per optimizer. Winners have the best mean test metric or, in the race, validation loss. A change of means may be"
        " noise: it is clear where the 95 % t intervals of the two winners overlap under neither choice. tau is 1 where the "
        "rankings are the same, 0 where they are unrelated, −1 where one is the reverse of the other. The rate is chosen from "
        "the tuned one and its neighbors on the grid. A race is cut at the smallest budget of any optimizer: where one has few "
        "updates, like full-batch descent, all the others are read early. What is called a mistake is shown because papers make"
        " it: a test split that was used to choose is no longer a test.",
        n=most_seeds,
    )
    return Table("rank-stability-choices", takeaway, headers, rows, caption, summary, frozenset({1, 2, 3}))


def choice_words(choice: Choice) -> str:
    """``a mistake: learning rate chosen by test instead of validation``."""
    phrase = words(
        QUESTIONS[choice.question], choice=words(CHOICES[choice.choice]), first=words(CHOICES[choice.first_choice])
    )
    return words("a mistake: {choice}", choice=phrase) if choice.marked else phrase


def change_words(choice: Choice, changes: Changes) -> str:
    """A choice and on how many problems it changes the winner."""
    problems = counted(changes.problems, "{n} problem", "{n} problems")
    text = choice_words(choice)
    return words("{choice}, on {changed} of {problems}", choice=text, changed=changes.changed, problems=problems)


def spread_words(changes: Changes) -> str:
    """The least and the greatest tau."""
    if not changes.taus:
        return words("unknown")
    least, most = number(min(changes.taus)), number(max(changes.taus))
    return least if changes.problems == 1 else words("{least} to {most}", least=least, most=most)


def swap_cell(swaps: Swaps) -> str:
    """``swap places on 1 of 4``, over the problems that have both optimizers."""
    if not swaps.compared:
        return words("not compared")
    return words("swap places on {n} of {of}", n=swaps.swapped, of=swaps.compared)


def winner_changes(row: Mapping[str, object]) -> bool:
    """Whether no optimizer is best under both choices."""
    return not set(json.loads(str(row["best_first"]))) & set(json.loads(str(row["best"])))


def is_clear_change(row: Mapping[str, object], ranked: Ranked, pair: tuple[str, str] | None = None) -> bool:
    """Whether the two winners' intervals don't overlap under either choice, and all their seeds finished.

    Args:
        pair: two optimizers to compare instead of the winners.
    """
    firsts, others = (
        ([pair[0]], [pair[1]]) if pair else (json.loads(str(row["best_first"])), json.loads(str(row["best"])))
    )
    for choice in ("first_choice", "choice"):
        rows = ranked[str(row["problem"]), str(row["question"]), str(row[choice])]
        for one in firsts:
            for other in others:
                a, b = rows.loc[one], rows.loc[other]
                apart = a["low"] > b["high"] or b["low"] > a["high"]
                if not apart or a["n"] < a["n_planned"] or b["n"] < b["n_planned"]:
                    return False
    return True


def swap_words(other: str, swaps: Swaps, title: Callable[[str], str]) -> str:
    """How often Adam and ``other`` swap places, as a sentence."""
    if not swaps.compared:
        return words("{first} and {other} are not both in these rankings.", first=title(ADAM), other=title(other))
    text = words(
        "{first} and {other} swap places in {flipped} of {comparisons}",
        first=title(ADAM),
        other=title(other),
        flipped=swaps.swapped,
        comparisons=counted(swaps.compared, "{n} comparison", "{n} comparisons"),
    )
    if swaps.choices:
        choices = joined([f"{choice_words(choice)} ({n})" for choice, n in swaps.choices.items()])
        text = words("{text}, with intervals apart in {sure}: {choices}", text=text, sure=swaps.clear, choices=choices)
    return f"{text}."


def ranking_table(evidence: Evidence, summary: pd.DataFrame, ranked: Ranked, title: Callable[[str], str]) -> Table:
    """Every comparison of two choices; all means and ranks to download."""

    def winner(row: Mapping[str, object], choice: str, best: str) -> str:
        axis = str(row[choice])
        arm = axis if row["question"] == "tuning" else evidence.plan.main_arm
        rows = ranked[str(row["problem"]), str(row["question"]), axis]
        names = json.loads(str(row[best]))
        best_row = rows.loc[names[0]]
        value = interval(best_row["mean"], best_row["low"], best_row["high"], int(best_row["n"]))
        labels = [evidence.marks.label(name, arm, [str(row["problem"])]) for name in names]
        text = f"{' = '.join(labels)}, {value}"
        if np.isfinite(best_row["cut"]):
            return words(
                "{winner} at {cut} {axis}", winner=text, cut=number(best_row["cut"]), axis=words(CHOICES[axis])
            )
        return text

    table_rows = []
    for row in summary.to_dict("records"):
        orders = [ORDERS[row[column]] for column in PAIRS.values()]
        tau = f"{number(row['tau'])} (n = {row['n']})"
        table_rows.append(
            [
                str(row["problem"]),
                choice_words(Choice(*(row[name] for name in Choice._fields))),
                winner(row, "first_choice", "best_first"),
                winner(row, "choice", "best"),
                tau,
                *(words(order) for order in orders),
            ]
        )
    headers = [
        words("problem"),
        words("choice"),
        words("best instead of which"),
        words("best now"),
        words("tau (optimizers)"),
        *pair_headers(title),
    ]
    caption = words(
        "Mean test metric [95 % t interval], n final seeds; in the race, mean validation loss where its axis is cut. Equal "
        "means share a rank and are joined by =. Optimizers with a diverged seed rank behind all others."
    )
    return Table(
        "rank-stability-rankings",
        words("All pairs of rankings"),
        headers,
        table_rows,
        caption,
        evidence.comparison.rank_stability,
        folded=True,
    )
