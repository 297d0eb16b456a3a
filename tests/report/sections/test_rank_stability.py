"""Rank stability: what is counted, and what the tables show, follows hand-made rankings."""

from __future__ import annotations

import base64
import gzip
import io
from typing import Any

import pandas as pd
import pytest

from descentlab.analysis.best_of_k import BEST_OF_K_COLUMNS
from descentlab.analysis.rank_stability import MISTAKES, QUESTIONS, RANK_STABILITY_COLUMNS, summarize_rank_stability
from descentlab.report.blocks import Paragraph, interval
from descentlab.report.formatting import optimizer_title
from descentlab.report.phrases import CHOICES
from descentlab.report.sections import Evidence
from descentlab.report.sections.rank_stability import (
    Changes,
    Choice,
    Swaps,
    change_words,
    choice_words,
    count_changes,
    count_swaps,
    find_most_changing,
    rank_stability,
    rankings_of,
    swap_words,
)
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan
from support.report_evidence import found, hand_made, table_named, values_of

Means = dict[str, dict[str, float]]
ADAM, SGD = {"adam": 0.9, "sgd": 0.5, "momentum": 0.4}, {"adam": 0.5, "sgd": 0.9, "momentum": 0.4}


def choice_rows(means: Means, question: str, problem: str = "up", half: float = 0.1) -> list[dict[str, Any]]:
    """Rows of RANK_STABILITY_COLUMNS from {choice: {optimizer: mean}}, each mean ± half."""
    return [
        {
            "problem": problem,
            "question": question,
            "choice": choice,
            "marked": (question, choice) in MISTAKES,
            "optimizer": name,
            "learning_rate": 0.1,
            "cut": 16.0 if question == "axis" else float("nan"),
            "mean": mean,
            "low": mean - half,
            "high": mean + half,
            "n": 10,
            "n_planned": 10,
            "rank": 1.0 + sum(other > mean for other in of_choice.values()),
        }
        for choice, of_choice in means.items()
        for name, mean in of_choice.items()
    ]


def evidence(rows: list[dict[str, Any]] | None = None) -> Evidence:
    table = pd.DataFrame(rows) if rows else empty_table(RANK_STABILITY_COLUMNS)
    tables = {
        "rank_stability": check_table(table, RANK_STABILITY_COLUMNS, "hand-made"),
        "best_of_k": empty_table(BEST_OF_K_COLUMNS),
    }
    return Evidence(generated_plan(), hand_made(**tables), [])


def counted(rows: list[dict[str, Any]]) -> dict[Choice, Changes]:
    """What each choice changes."""
    table = evidence(rows).comparison.rank_stability
    return count_changes(summarize_rank_stability(table), rankings_of(table))


def swaps(rows: list[dict[str, Any]], other: str = "sgd") -> Swaps:
    """How often Adam and another optimizer swap places over all choices."""
    table = evidence(rows).comparison.rank_stability
    return count_swaps(summarize_rank_stability(table), rankings_of(table), other)


TUNED = Choice("tuning", "default", "tuned", False)
BEST = Choice("epoch", "last", "best_validation", False)
EXAMPLES = Choice("axis", "updates", "examples", False)
TEST = Choice("selection", "validation", "test", True)
TRAIN_LOSS = Choice("selection", "validation", "train_loss", False)


def test_nothing_measured_no_section() -> None:
    assert rank_stability(evidence()) is None
    one_choice_alone = choice_rows({"last": ADAM}, "epoch")
    assert rank_stability(evidence(one_choice_alone)) is None


def test_a_winner_that_changes_is_counted_and_named() -> None:
    rows = choice_rows({"default": SGD, "tuned": ADAM}, "tuning")
    rows += choice_rows({"last": ADAM, "best_validation": ADAM}, "epoch")
    once, never = Swaps(1, 1, {TUNED: 1}), Swaps(1, 0, {})
    assert counted(rows) == {
        TUNED: Changes(1, 1, 1, [pytest.approx(1 / 3)], {"sgd": once, "momentum": never}),
        BEST: Changes(1, 0, 0, [pytest.approx(1)], {"sgd": never, "momentum": never}),
    }
    table = table_named(rank_stability(evidence(rows)), "rank-stability-choices")
    # In 1 of 2 comparisons, clearly in 1, and the choice that does it.
    assert values_of(table.title)[:3] == [1, 2, 1] and table.title.endswith(change_words(TUNED, counted(rows)[TUNED]))
    assert [row[0] for row in table.rows] == [choice_words(TUNED), choice_words(BEST)]
    cells = [[values_of(cell) for cell in row[1:]] for row in table.rows]
    assert cells == [[[1, 1], [1, 1], [0.333], [1, 1], [0, 1]], [[0, 1], [0, 1], [1], [0, 1], [0, 1]]]


def test_a_winner_that_stays_is_said_to_stay() -> None:
    rows = choice_rows({"default": ADAM, "tuned": ADAM}, "tuning")
    assert find_most_changing(counted(rows)) == []
    section = found(rank_stability(evidence(rows)))
    assert values_of(table_named(section, "rank-stability-choices").title) == [
        1
    ]  # comparison, in which nothing changes
    (text,) = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert values_of(text) == ["adam", "sgd", 0, 1, "adam", "momentum", 0, 1]


@pytest.mark.parametrize(("half", "apart"), [(0.1, 1), (0.3, 0)])
def test_adam_and_sgd_change_places_within_or_beyond_their_intervals(half: float, apart: int) -> None:
    rows = choice_rows({"validation": ADAM, "test": SGD}, "selection", half=half)
    assert swaps(rows) == Swaps(1, apart, {TEST: 1})
    assert (counted(rows)[TEST].changed, counted(rows)[TEST].clear) == (1, apart)
    assert values_of(table_named(rank_stability(evidence(rows)), "rank-stability-choices").title)[:3] == [1, 1, apart]
    assert values_of(swap_words("sgd", swaps(rows), optimizer_title)) == ["adam", "sgd", 1, 1, apart, 1]
    assert choice_words(TEST) in swap_words("sgd", swaps(rows), optimizer_title)


def test_a_mistake_is_called_so_wherever_it_stands() -> None:
    rows = choice_rows({choice: ADAM for choice in QUESTIONS["selection"]}, "selection")
    assert list(counted(rows)) == [TRAIN_LOSS, TEST]
    section = rank_stability(evidence(rows))
    for identity, column in (("rank-stability-choices", 0), ("rank-stability-rankings", 1)):
        cells = [row[column] for row in table_named(section, identity).rows]
        assert cells == [choice_words(TRAIN_LOSS), choice_words(TEST)]
    unmarked = choice_words(TEST._replace(marked=False))
    assert choice_words(TEST) != unmarked and choice_words(TEST).endswith(unmarked)


def test_choices_that_change_equally_often_are_both_named() -> None:
    rows = choice_rows({"default": SGD, "tuned": ADAM}, "tuning")
    rows += choice_rows({"updates": ADAM, "examples": SGD}, "axis")
    rows += choice_rows({"updates": ADAM, "examples": ADAM}, "axis", problem="down")
    changes = counted(rows)
    assert find_most_changing(changes) == [TUNED, EXAMPLES]
    table = table_named(rank_stability(evidence(rows)), "rank-stability-choices")
    assert values_of(table.title) == [2, 3, 2, 1, 1, 1, 2]
    assert all(change_words(choice, changes[choice]) in table.title for choice in (TUNED, EXAMPLES))
    assert [values_of(row[3]) for row in table.rows] == [[0.333], [0.333, 1]]  # tau, from the least to the greatest


def test_only_the_choice_that_changes_the_most_is_named() -> None:
    rows = choice_rows({"default": SGD, "tuned": ADAM}, "tuning")
    for problem in ("up", "down"):
        rows += choice_rows({"updates": ADAM, "examples": SGD}, "axis", problem=problem)
    assert find_most_changing(counted(rows)) == [EXAMPLES]


def test_a_shared_first_place_that_keeps_one_of_its_holders_is_no_change() -> None:
    tied = {"adam": 0.9, "sgd": 0.9, "momentum": 0.4}
    rows = choice_rows({"last": tied, "best_validation": ADAM}, "epoch")
    assert counted(rows)[BEST].changed == 0
    assert swaps(rows) == Swaps(1, 0, {})


def test_a_diverged_seed_is_never_a_clear_change() -> None:
    rows = choice_rows({"default": SGD, "tuned": ADAM}, "tuning")
    for row in rows:
        if row["optimizer"] == "sgd" and row["choice"] == "tuned":
            row["n"] = 9
    assert (counted(rows)[TUNED].changed, counted(rows)[TUNED].clear) == (1, 0)


def test_who_is_absent_is_not_compared() -> None:
    rows = [row for row in choice_rows({"last": ADAM, "best_validation": SGD}, "epoch") if row["optimizer"] != "sgd"]
    assert swaps(rows) == Swaps(0, 0, {})
    assert values_of(swap_words("sgd", swaps(rows), optimizer_title)) == ["adam", "sgd"]  # no number of swaps
    assert values_of(table_named(rank_stability(evidence(rows)), "rank-stability-choices").rows[0][4]) == []


def test_all_rankings_show_interval_n_and_the_cut_and_offer_everything() -> None:
    rows = choice_rows({"updates": ADAM, "examples": SGD}, "axis")
    table = table_named(rank_stability(evidence(rows)), "rank-stability-rankings")
    ((problem, choice, first, best, tau, *orders),) = table.rows
    assert (problem, choice, orders) == ("up", choice_words(EXAMPLES), ["flips", "stays"])
    winner = interval(0.9, 0.8, 1.0, 10)
    assert first.startswith(f"adam, {winner} ") and best.startswith(f"sgd, {winner} ")
    assert [(values_of(cell)[-1], cell.split()[-1]) for cell in (first, best)] == [(16, "updates"), (16, "examples")]
    assert values_of(tau) == [0.333, 3]
    data = pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(table.csv))))
    assert list(data) == list(RANK_STABILITY_COLUMNS)
    assert len(data) == 6


def test_every_choice_can_be_translated() -> None:
    assert set(CHOICES) == {choice for choices in QUESTIONS.values() for choice in choices}
