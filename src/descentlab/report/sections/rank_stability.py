"""What flips it: how much the ranking depends on choices in which papers differ."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from descentlab.analysis.rank_stability import summarize_flips
from descentlab.i18n.wording import counted, joined, message, words
from descentlab.report.blocks import (
    Evidence,
    Figure,
    Paragraph,
    Section,
    Table,
    interval,
    number,
    optimizer_title,
)
from descentlab.report.sections.best_of_k import best_of_k_figure

QUESTIONS = {
    "selection": message("learning rate chosen by {choice} instead of {first}"),
    "tuning": message("{choice} instead of {first}"),
    "epoch": message("epoch reported: {choice} instead of {first}"),
    "axis": message("race cut at equal {choice} instead of {first}"),
}
CHOICES = (
    message("validation"),
    message("train loss"),
    message("test"),
    message("default rates"),
    message("tuned rates"),
    message("everything tuned"),
    message("last"),
    message("best validation"),
    message("updates"),
    message("examples"),
    message("seconds"),
)
ORDERS = {"flips": message("flips"), "stays": message("stays"), "tie": message("tie"), "": message("not compared")}
CHOICE = ["question", "first_choice", "choice"]
PAIRS = {"sgd": "adam_sgd_flips", "momentum": "adam_momentum_flips"}
Ranked = dict[tuple[str, str, str], pd.DataFrame]


def flips(evidence: Evidence) -> Section | None:
    """Rankings under other choices, and the best validation metric by the number of rates tried."""
    table, budgets = evidence.comparison.flips, evidence.comparison.best_of_k
    summary = summarize_flips(table)
    blocks: list[Figure | Table | Paragraph] = []
    if len(summary):
        ranked = {
            (str(p), str(q), str(c)): rows.set_index("optimizer")
            for (p, q, c), rows in table.groupby(["problem", "question", "choice"])
        }
        blocks += [choice_table(evidence, summary, ranked), Paragraph(adam_words(summary, ranked))]
    if len(budgets):
        blocks.append(best_of_k_figure(evidence))
    if len(summary):
        blocks.append(ranking_table(summary, ranked, table))
    return Section("flips", words("What would change the answer?"), blocks) if blocks else None


def choice_table(evidence: Evidence, summary: pd.DataFrame, ranked: Ranked) -> Table:
    """One row per choice: on how many problems it changes the winner, and the order of Adam and SGD."""
    changes = summary.assign(
        changed=[winner_changes(row) for row in summary.to_dict("records")],
        clear=[winner_changes(row) and is_clear_change(row, ranked) for row in summary.to_dict("records")],
    )
    rows: list[list[str]] = []
    most_changed, most_changing = 0, list[str]()
    for _, group in changes.groupby(CHOICE, sort=False):
        choice = choice_words(group.iloc[0].to_dict())
        changed, of = int(group["changed"].sum()), len(group)
        if changed and changed >= most_changed:
            problems = counted(of, "{n} problem", "{n} problems")
            where = words("{choice}, on {changed} of {problems}", choice=choice, changed=changed, problems=problems)
            most_changing = [*(most_changing if changed == most_changed else []), where]
            most_changed = changed
        taus = group["tau"].dropna()
        spread = (
            words("unknown")
            if taus.empty
            else number(taus.min())
            if of == 1
            else (words("{least} to {most}", least=number(taus.min()), most=number(taus.max())))
        )
        rows.append(
            [
                choice,
                words("{n} of {of}", n=changed, of=of),
                words("{n} of {of}", n=int(group["clear"].sum()), of=of),
                spread,
                *(flip_count(group[column]) for column in PAIRS.values()),
            ]
        )
    comparisons = counted(len(changes), "{n} comparison", "{n} comparisons")
    changed = int(changes["changed"].sum())
    title = (
        words(
            "Another choice changes the best optimizer in {changed} of {comparisons}, clearly in {clear}; most often: {choices}",
            changed=changed,
            comparisons=comparisons,
            clear=int(changes["clear"].sum()),
            choices=joined(most_changing),
        )
        if changed
        else words("No other choice changes the best optimizer: {comparisons}", comparisons=comparisons)
    )
    headers = [
        words("choice"),
        words("problems with another winner"),
        words("clearly"),
        words("Kendall's tau"),
        words("Adam and plain SGD"),
        words("Adam and momentum"),
    ]
    caption = words(
        "Each choice against the one after “instead of”, problem by problem, from the same stored runs; n = up to {n} final "
        "seeds per optimizer. Winners have the best mean test metric or, in the race, validation loss. A change of means may be"
        " noise: it is clear where the 95 % t intervals of the two winners overlap under neither choice. tau is 1 where the "
        "rankings are the same, 0 where they are unrelated, −1 where one is the reverse of the other. The rate is chosen from "
        "the tuned one and its neighbors on the grid. A race is cut at the smallest budget of any optimizer: where one has few "
        "updates, like full-batch descent, all the others are read early. What is called a mistake is shown because papers make"
        " it: a test split that was used to choose is no longer a test.",
        n=int(evidence.comparison.flips["n"].max()),
    )
    return Table("flip-choices", title, headers, rows, caption, summary, frozenset({1, 2, 3}))


def choice_words(row: Mapping[str, object]) -> str:
    """``a mistake: learning rate chosen by test instead of validation``."""
    question, first, choice = (str(row[name]) for name in CHOICE)
    phrase = words(QUESTIONS[question], choice=words(choice), first=words(first))
    return words("a mistake: {choice}", choice=phrase) if row["marked"] else phrase


def flip_count(states: pd.Series) -> str:
    """``change places on 1 of 4``, over the problems that have both optimizers."""
    compared = states[states != ""]
    if compared.empty:
        return words("not compared")
    return words("swap places on {n} of {of}", n=int((compared == "flips").sum()), of=len(compared))


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


def adam_words(summary: pd.DataFrame, ranked: Ranked) -> str:
    """How often Adam changes places with plain SGD and with momentum, and under which choices."""
    sentences = []
    for other, column in PAIRS.items():
        title = optimizer_title(other)
        compared = summary[summary[column] != ""]
        if compared.empty:
            sentences.append(words("Adam and {other} are not both in these rankings.", other=title))
            continue
        flipped = compared[compared[column] == "flips"]
        clear = sum(is_clear_change(row, ranked, ("adam", other)) for row in flipped.to_dict("records"))
        text = words(
            "Adam and {other} swap places in {flipped} of {comparisons}",
            other=title,
            flipped=len(flipped),
            comparisons=counted(len(compared), "{n} comparison", "{n} comparisons"),
        )
        if len(flipped):
            choices = [
                f"{choice_words(group.iloc[0].to_dict())} ({len(group)})"
                for _, group in flipped.groupby(CHOICE, sort=False)
            ]
            text = words(
                "{text}, with intervals apart in {sure}: {choices}", text=text, sure=clear, choices=joined(choices)
            )
        sentences.append(f"{text}.")
    return " ".join(sentences)


def ranking_table(summary: pd.DataFrame, ranked: Ranked, table: pd.DataFrame) -> Table:
    """Every comparison of two choices; all means and ranks to download."""

    def winner(row: Mapping[str, object], choice: str, best: str) -> str:
        axis = str(row[choice])
        rows = ranked[str(row["problem"]), str(row["question"]), axis]
        names = json.loads(str(row[best]))
        best_row = rows.loc[names[0]]
        text = (
            f"{' = '.join(names)}, {interval(best_row['mean'], best_row['low'], best_row['high'], int(best_row['n']))}"
        )
        if np.isfinite(best_row["cut"]):
            return words("{winner} at {cut} {axis}", winner=text, cut=number(best_row["cut"]), axis=words(axis))
        return text

    table_rows = []
    for row in summary.to_dict("records"):
        orders = [ORDERS[row[column]] for column in PAIRS.values()]
        tau = f"{number(row['tau'])} (n = {row['n']})"
        table_rows.append(
            [
                str(row["problem"]),
                choice_words(row),
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
        words("Adam and plain SGD"),
        words("Adam and momentum"),
    ]
    caption = words(
        "Mean test metric [95 % t interval], n final seeds; in the race, mean validation loss where its axis is cut. Equal "
        "means share a rank and are joined by =. Optimizers with a diverged seed rank behind all others."
    )
    return Table("flip-rankings", words("All pairs of rankings"), headers, table_rows, caption, table, folded=True)
