"""One minimum or several: verdicts and numbers follow hand-made pairs."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import cast

import pandas as pd
import pytest

from descentlab.analysis.comparison import Comparison
from descentlab.measurements.minima import MINIMA_COLUMNS
from descentlab.report.sections import Evidence
from descentlab.report.sections.minima import (
    barrier_words,
    disjoint_pairs,
    group_title,
    judge_barriers,
    judge_places,
    minima,
    pair_groups,
    pairs_interval,
    place_words,
    within_rounding,
)
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan
from support.report_evidence import table_named, titles, values_of

SEEDS = range(6)
Group = tuple[str, str]
LOGISTIC, TRAINED, MATCHED = ("logistic_regression", "as_trained"), ("mlp", "as_trained"), ("mlp", "matched")


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


def places(distances: dict[Group, float], seeds: range = SEEDS) -> dict[Group, str]:
    """Where the solutions of each group lie; the title has the sentence of those as trained."""
    groups = pair_groups(pairs(distances, HIGH, seeds))
    (text,) = titles(minima(evidence(pairs(distances, HIGH, seeds))))
    assert all(place_words(group[0], groups[group]) in text for group in (LOGISTIC, TRAINED))
    return {group: judge_places(rows) for group, rows in groups.items()}


def of_problem(text: str, problem: str) -> str:
    """The part of a title that is about a problem."""
    (part,) = [part for part in text.split("); ") if problem in part]
    return part


def test_nothing_measured_no_section() -> None:
    assert minima(evidence(None)) is None
    assert minima(evidence(empty_table(MINIMA_COLUMNS))) is None


def test_one_place_and_several() -> None:
    assert places(APART) == {LOGISTIC: "one", TRAINED: "several", MATCHED: "several"}
    convex, network = of_problem(title(), "logistic_regression"), of_problem(title(), "mlp")
    assert values_of(convex)[1] == pytest.approx(0.001, rel=0.2)
    assert values_of(network)[1] == pytest.approx(1.4, rel=0.2)


def test_several_places_in_the_convex_case_and_one_in_the_other_are_said_too() -> None:
    assert places({LOGISTIC: 0.7, TRAINED: 0.02, MATCHED: 0.01}) == {
        LOGISTIC: "several",
        TRAINED: "one",
        MATCHED: "one",
    }


def test_what_can_not_be_told_is_not_told() -> None:
    assert places({**APART, LOGISTIC: 0.094})[LOGISTIC] == "unclear"


@pytest.mark.parametrize(("matched", "verdict"), [(0.01, "lowers"), (0.9, "raises"), (0.2, "unclear")])
def test_what_matching_does_to_the_barrier(matched: float, verdict: str) -> None:
    barriers = {**HIGH, MATCHED: matched}
    groups = pair_groups(pairs(APART, barriers))
    assert judge_barriers(groups[TRAINED], groups[MATCHED]) == verdict
    assert title(barriers=barriers).endswith(barrier_words(groups[TRAINED], groups[MATCHED]))


def test_a_barrier_of_rounding_is_told_from_one_of_the_loss() -> None:
    assert within_rounding(pair_groups(pairs(APART, HIGH))[LOGISTIC])
    assert values_of(of_problem(title(), "logistic_regression"))[-2:] == [1.14e-8, 15]
    high = {**HIGH, LOGISTIC: 1e-3}
    assert not within_rounding(pair_groups(pairs(APART, high))[LOGISTIC])
    assert values_of(of_problem(title(barriers=high), "logistic_regression"))[-1] == 3  # disjoint pairs of an interval


def test_intervals_are_over_pairs_that_share_no_seed() -> None:
    table = pairs(APART, HIGH)
    assert disjoint_pairs(table[table["problem"] == LOGISTIC[0]])[
        ["first_seed", "second_seed"]
    ].to_numpy().tolist() == [[0, 1], [2, 3], [4, 5]]
    shifted = pairs(APART, HIGH, seeds=range(7, 12))  # odd in number and in the first: the last has no partner
    mine = disjoint_pairs(shifted[shifted["problem"] == LOGISTIC[0]])
    assert mine[["first_seed", "second_seed"]].to_numpy().tolist() == [[7, 8], [9, 10]]
    rows = table_named(minima(evidence(table)), "minima-table").rows
    assert [row[0] for row in rows] == [group_title(group) for group in (LOGISTIC, TRAINED, MATCHED)]
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
    assert set(places(APART, seeds=range(2)).values()) == {"unclear"}
    rows = pair_groups(pairs(APART, HIGH, seeds=range(2)))[TRAINED]
    matched = pair_groups(pairs(APART, HIGH, seeds=range(2)))[MATCHED]
    assert (judge_barriers(rows, matched), judge_barriers(matched, rows)) == ("unclear", "unclear")
    alone = pairs_interval(rows, "barrier")
    assert (alone.mean, alone.n) == (0.2, 1) and math.isnan(alone.low)
