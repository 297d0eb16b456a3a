"""What flips it: every sentence follows hand-made tables."""

from __future__ import annotations

import base64
import gzip
import io
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from descentlab.analysis.best_of_k import BEST_OF_K_COLUMNS
from descentlab.analysis.rank_stability import FLIP_COLUMNS, MISTAKES, QUESTIONS
from descentlab.analysis.tables import Comparison
from descentlab.report.blocks import Paragraph
from descentlab.report.sections import Evidence
from descentlab.report.sections.rank_stability import CHOICES, flips
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan
from support.report_evidence import found, table_named

Means = dict[str, dict[str, float]]
ADAM, SGD = {"adam": 0.9, "sgd": 0.5, "momentum": 0.4}, {"adam": 0.5, "sgd": 0.9, "momentum": 0.4}


def flip_rows(means: Means, question: str, problem: str = "up", half: float = 0.1) -> list[dict[str, Any]]:
    """Rows of FLIP_COLUMNS from {choice: {optimizer: mean}}, each mean ± half."""
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
    tables = {
        "flips": check_table(pd.DataFrame(rows), FLIP_COLUMNS, "hand-made") if rows else empty_table(FLIP_COLUMNS),
        "best_of_k": empty_table(BEST_OF_K_COLUMNS),
    }
    return Evidence(generated_plan(), cast(Comparison, SimpleNamespace(**tables)), [])


def paragraph(evidence: Evidence) -> str:
    (block,) = [b for b in found(flips(evidence)).blocks if isinstance(b, Paragraph)]
    return block.text


def test_nothing_measured_no_section() -> None:
    assert flips(evidence()) is None
    one_choice_alone = flip_rows({"last": ADAM}, "epoch")
    assert flips(evidence(one_choice_alone)) is None


def test_a_winner_that_changes_is_counted_and_named() -> None:
    rows = flip_rows({"default rates": SGD, "tuned rates": ADAM}, "tuning")
    rows += flip_rows({"last": ADAM, "best validation": ADAM}, "epoch")
    table = table_named(flips(evidence(rows)), "flip-choices")
    assert table.title == (
        "Another choice changes the best optimizer in 1 of 2 comparisons, clearly in 1; most often: tuned rates instead of "
        "default rates, on 1 of 1 problem"
    )
    assert table.rows[0] == [
        "tuned rates instead of default rates",
        "1 of 1",
        "1 of 1",
        "0.333",
        "swap places on 1 of 1",
        "swap places on 0 of 1",
    ]
    assert table.rows[1][1:4] == ["0 of 1", "0 of 1", "1"]


def test_a_winner_that_stays_is_said_to_stay() -> None:
    rows = flip_rows({"default rates": ADAM, "tuned rates": ADAM}, "tuning")
    assert table_named(flips(evidence(rows)), "flip-choices").title == (
        "No other choice changes the best optimizer: 1 comparison"
    )
    assert paragraph(evidence(rows)) == (
        "Adam and plain SGD swap places in 0 of 1 comparison. Adam and SGD with momentum swap places in 0 of 1 comparison."
    )


@pytest.mark.parametrize(("half", "apart"), [(0.1, 1), (0.3, 0)])
def test_adam_and_sgd_change_places_within_or_beyond_their_intervals(half: float, apart: int) -> None:
    rows = flip_rows({"validation": ADAM, "test": SGD}, "selection", half=half)
    assert paragraph(evidence(rows)).startswith(
        f"Adam and plain SGD swap places in 1 of 1 comparison, with intervals apart in {apart}: a mistake: learning rate "
        "chosen by test instead of validation (1). Adam and SGD with momentum"
    )
    title = table_named(flips(evidence(rows)), "flip-choices").title
    assert f"in 1 of 1 comparison, clearly in {apart};" in title


def test_a_mistake_is_called_so_wherever_it_stands() -> None:
    rows = flip_rows({choice: ADAM for choice in QUESTIONS["selection"]}, "selection")
    section = flips(evidence(rows))
    for identity, column in (("flip-choices", 0), ("flip-rankings", 1)):
        words = [row[column] for row in table_named(section, identity).rows]
        assert words == [
            "learning rate chosen by train loss instead of validation",
            "a mistake: learning rate chosen by test instead of validation",
        ]


def test_choices_that_change_equally_often_are_both_named() -> None:
    rows = flip_rows({"default rates": SGD, "tuned rates": ADAM}, "tuning")
    rows += flip_rows({"updates": ADAM, "examples": SGD}, "axis")
    rows += flip_rows({"updates": ADAM, "examples": ADAM}, "axis", problem="down")
    table = table_named(flips(evidence(rows)), "flip-choices")
    assert table.title.endswith(
        "in 2 of 3 comparisons, clearly in 2; most often: tuned rates instead of default rates, on 1 of 1 problem and race "
        "cut at equal examples instead of updates, on 1 of 2 problems"
    )


def test_a_shared_first_place_that_keeps_one_of_its_holders_is_no_change() -> None:
    tied = {"adam": 0.9, "sgd": 0.9, "momentum": 0.4}
    rows = flip_rows({"last": tied, "best validation": ADAM}, "epoch")
    table = table_named(flips(evidence(rows)), "flip-choices")
    assert table.title.startswith("No other choice")
    assert "swap places on 0 of 1" in table.rows[0][4]


def test_a_diverged_seed_is_never_a_clear_change() -> None:
    rows = flip_rows({"default rates": SGD, "tuned rates": ADAM}, "tuning")
    for row in rows:
        if row["optimizer"] == "sgd" and row["choice"] == "tuned rates":
            row["n"] = 9
    assert "in 1 of 1 comparison, clearly in 0;" in table_named(flips(evidence(rows)), "flip-choices").title


def test_who_is_absent_is_not_compared() -> None:
    rows = [row for row in flip_rows({"last": ADAM, "best validation": SGD}, "epoch") if row["optimizer"] != "sgd"]
    assert paragraph(evidence(rows)).startswith("Adam and plain SGD are not both in these rankings. Adam and SGD with")
    assert table_named(flips(evidence(rows)), "flip-choices").rows[0][4] == "not compared"


def test_all_rankings_show_interval_n_and_the_cut_and_offer_everything() -> None:
    rows = flip_rows({"updates": ADAM, "examples": SGD}, "axis")
    table = table_named(flips(evidence(rows)), "flip-rankings")
    assert table.rows == [
        [
            "up",
            "race cut at equal examples instead of updates",
            "adam, 0.9 [0.8, 1], n = 10 at 16 updates",
            "sgd, 0.9 [0.8, 1], n = 10 at 16 examples",
            "0.333 (n = 3)",
            "flips",
            "stays",
        ]
    ]
    data = pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(table.csv))))
    assert list(data) == list(FLIP_COLUMNS)
    assert len(data) == 6


def test_every_choice_can_be_translated() -> None:
    assert set(CHOICES) == {choice for choices in QUESTIONS.values() for choice in choices}
