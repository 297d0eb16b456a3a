"""One minimum or several: every sentence follows hand-made pairs."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import cast

import pandas as pd
import pytest

from descentlab.analysis.tables import Comparison
from descentlab.measurements.minima import MINIMA_COLUMNS
from descentlab.report.sections import Evidence
from descentlab.report.sections.minima import disjoint_pairs, minima
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan
from support.report_evidence import table_named, titles, values_of

SEEDS = range(6)
Group = tuple[str, str]
LOGISTIC, TRAINED, MATCHED = ("logistic_regression", "as trained"), ("mlp", "as trained"), ("mlp", "matched")


def pairs(distances: dict[Group, float], barriers: dict[Group, float], seeds: range = SEEDS) -> pd.DataFrame:
    """All pairs of seeds: values rise by a hundredth from pair to pair, those that share no seed are told apart by it."""
    rows = [
        {
            "problem": problem,
            "first_seed": one,
            "second_seed": other,
            "matching": matching,
            "relative_distance": distances[problem, matching] * (1 + number / 100),
            "loss_first": 0.3,
            "loss_second": 0.3,
            "barrier": barriers[problem, matching] * (1 + number / 100),
            "n_points": 21,
        }
        for problem, matching in distances
        for number, (one, other) in enumerate(itertools.combinations(seeds, 2))
    ]
    return check_table(pd.DataFrame(rows), MINIMA_COLUMNS, "hand-made")


def evidence(table: pd.DataFrame | None) -> Evidence:
    measured = {} if table is None else {"minima": table}
    return Evidence(generated_plan(), cast(Comparison, SimpleNamespace()), [], measured)


APART = {LOGISTIC: 0.001, TRAINED: 1.4, MATCHED: 0.9}
HIGH = {LOGISTIC: 1e-8, TRAINED: 0.2, MATCHED: 0.01}


def title(distances: dict[Group, float] = APART, barriers: dict[Group, float] = HIGH) -> str:
    (text,) = titles(minima(evidence(pairs(distances, barriers))))
    return text


def of_problem(text: str, problem: str) -> str:
    """The part of a title that is about a problem."""
    (part,) = [part for part in text.split("); ") if problem in part]
    return part


ONE, SEVERAL, UNCLEAR = "one place from", "different place", "unclear"


def test_nothing_measured_no_section() -> None:
    assert minima(evidence(None)) is None
    assert minima(evidence(empty_table(MINIMA_COLUMNS))) is None


def test_one_place_and_several() -> None:
    convex, network = of_problem(title(), "logistic_regression"), of_problem(title(), "mlp")
    assert ONE in convex and values_of(convex)[1] == pytest.approx(0.001, rel=0.2)
    assert SEVERAL in network and values_of(network)[1] == pytest.approx(1.4, rel=0.2)


def test_several_places_in_the_convex_case_and_one_in_the_other_are_said_too() -> None:
    text = title({LOGISTIC: 0.7, TRAINED: 0.02, MATCHED: 0.01})
    assert SEVERAL in of_problem(text, "logistic_regression")
    assert ONE in of_problem(text, "mlp")


def test_what_can_not_be_told_is_not_told() -> None:
    assert UNCLEAR in of_problem(title({**APART, LOGISTIC: 0.094}), "logistic_regression")
    assert UNCLEAR not in title()


@pytest.mark.parametrize(
    ("matched", "word"),
    [(0.01, "lowers"), (0.9, "raises"), (0.2, "not clearly")],
)
def test_what_matching_does_to_the_barrier(matched: float, word: str) -> None:
    text = title(barriers={**HIGH, MATCHED: matched})
    assert [said for said in ("lowers", "raises", "not clearly") if said in text] == [word]


def test_a_barrier_of_rounding_is_told_from_one_of_the_loss() -> None:
    rounding = of_problem(title(), "logistic_regression")
    assert "rounding" in rounding and values_of(rounding)[-2:] == [1.14e-8, 15]
    assert "rounding" not in title(barriers={**HIGH, LOGISTIC: 1e-3})


def test_intervals_are_over_pairs_that_share_no_seed() -> None:
    table = pairs(APART, HIGH)
    assert disjoint_pairs(table[table["problem"] == LOGISTIC[0]])[
        ["first_seed", "second_seed"]
    ].to_numpy().tolist() == [[0, 1], [2, 3], [4, 5]]
    shifted = pairs(APART, HIGH, seeds=range(7, 12))  # odd in number and in the first: the last has no partner
    mine = disjoint_pairs(shifted[shifted["problem"] == LOGISTIC[0]])
    assert mine[["first_seed", "second_seed"]].to_numpy().tolist() == [[7, 8], [9, 10]]
    rows = table_named(minima(evidence(table)), "minima-table").rows
    assert [row[0] for row in rows] == ["logistic_regression", "mlp, as trained", "mlp, matched"]
    assert all(row[1] == "15" and row[2].endswith("n = 3") and row[4].endswith("n = 3") for row in rows)
    # Pairs 0, 9 and 14 of 15: 1.4 · (1 + 23 / 300).
    assert rows[1][2].startswith("1.51 [")


def test_barriers_of_exactly_0_are_drawn_and_counted() -> None:
    section = minima(evidence(pairs(APART, {**HIGH, LOGISTIC: 0.0})))
    assert section is not None
    figure = section.blocks[0]
    assert {15.0, 0.0} <= set(values_of(figure.caption))  # type: ignore[union-attr]
    assert values_of(of_problem(titles(section)[0], "logistic_regression"))[-2:] == [0, 15]


def test_two_seeds_are_one_pair_without_an_interval() -> None:
    text = titles(minima(evidence(pairs(APART, HIGH, seeds=range(2)))))[0]
    assert "(no interval), n = 1" in text
    assert UNCLEAR in text
