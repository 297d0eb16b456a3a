"""How far an estimate moved, row by row: laws, and answers that are known."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descentlab.report.diff.compared import (
    APART,
    CHANGED,
    INTERVAL,
    MOVED,
    ONLY_A,
    ONLY_B,
    SAME,
    WITHIN,
    classify,
    compare_estimates,
    compare_values,
)
from descentlab.report.diff.rows import Estimated

NAN = math.nan


@pytest.mark.parametrize(
    ("a", "b", "change"),
    [
        ((1.0, 0.5, 1.5), (1.0, 0.5, 1.5), SAME),
        ((1.0, 0.5, 1.5), (1.0 + 1e-12, 0.5, 1.5), SAME),
        ((1.0, NAN, NAN), (1.0, NAN, NAN), SAME),
        ((NAN, NAN, NAN), (NAN, NAN, NAN), SAME),
        ((1.0, 0.5, 1.5), (1.0, 0.4, 1.6), INTERVAL),
        ((1.0, 0.5, 1.5), (1.0, NAN, NAN), INTERVAL),
        ((1.0, 0.5, 1.5), (1.2, 0.7, 1.7), WITHIN),
        ((1.0, 0.5, 1.5), (1.5, 1.0, 2.0), WITHIN),  # on the ends
        ((1.0, 0.5, 1.5), (1.6, 1.1, 2.1), MOVED),  # intervals meet, estimates lie outside
        ((1.0, 0.5, 1.5), (1.6, 0.1, 3.1), MOVED),  # one of them inside
        ((1.0, 0.5, 1.5), (2.0, 1.5, 2.5), MOVED),  # the ends touch
        ((1.0, 0.5, 1.5), (2.1, 1.6, 2.6), APART),
        ((1.0, 1.0, 1.0), (1.1, 1.1, 1.1), APART),  # counted, not estimated
        ((1.0, 0.5, 1.5), (9.0, NAN, NAN), MOVED),
        ((1.0, 0.5, 1.5), (NAN, NAN, NAN), MOVED),
        ((1.0, 0.5, math.inf), (9.0, 5.0, math.inf), MOVED),
    ],
)
def test_how_far_an_estimate_moved(a: tuple[float, ...], b: tuple[float, ...], change: str) -> None:
    assert classify(Estimated(*a, n=5), Estimated(*b, n=5)) == change
    assert classify(Estimated(*b, n=5), Estimated(*a, n=5)) == change


def test_a_bound_is_no_end() -> None:
    """At least 1 and 9 may be the same; at most 1 and 9 can't."""
    above = Estimated(9.0, 8.0, 10.0, 5)
    assert classify(Estimated(1.0, 0.5, 1.5, 5, "at least"), above) == MOVED
    assert classify(Estimated(1.0, 0.5, 1.5, 5, "at most"), above) == APART
    assert classify(Estimated(1.0, 0.5, 1.5, 5, "unknown"), above) == MOVED
    assert classify(Estimated(9.0, 8.0, 10.0, 5, "at least"), above) == INTERVAL


numbers = st.one_of(st.just(NAN), st.just(math.inf), st.floats(-3, 3), st.sampled_from([0.0, 1.0, 2.0]))
bounds = st.sampled_from(["", "at least", "at most", "unknown"])
estimates = st.builds(
    Estimated, numbers, numbers, numbers, st.integers(0, 3), bounds, st.sampled_from(["better", "worse"])
)
tables = st.dictionaries(st.sampled_from([("p", "x"), ("p", "y"), ("q", "x"), ("r", "y")]), estimates)


@given(estimates, estimates)
def test_it_is_the_same_either_way(a: Estimated, b: Estimated) -> None:
    assert classify(a, b) == classify(b, a)
    assert classify(a, a) == SAME


@given(tables, tables)
def test_every_row_is_there_once(a: dict[tuple[str, str], Estimated], b: dict[tuple[str, str], Estimated]) -> None:
    found, swapped = compare_estimates(("one", "other"), a, b), compare_estimates(("one", "other"), b, a)
    assert found.count(ONLY_A) == len(a.keys() - b.keys()) == swapped.count(ONLY_B)
    assert found.count(ONLY_B) == len(b.keys() - a.keys())
    assert found.stayed + len(found.rows) == len(a.keys() | b.keys())
    keys = [(row["one"], row["other"]) for row in found.rows]
    assert len(keys) == len(set(keys)) and set(keys) <= a.keys() | b.keys()
    assert found.verdicts_changed == sum(a[key].verdict != b[key].verdict for key in a.keys() & b.keys())
    assert (found.both, found.estimates) == (swapped.both, swapped.estimates)
    assert not compare_estimates(("one", "other"), a, a).rows


values = st.dictionaries(st.sampled_from([("p",), ("q",), ("r",)]), st.sampled_from([None, 0, 1, "", "text", [1]]))


@given(values, values)
def test_a_value_that_is_null_is_not_one_that_is_absent(a: dict[Any, Any], b: dict[Any, Any]) -> None:
    found = compare_values(("key",), a, b)
    changes = {row["key"]: row["change"] for row in found.rows}
    assert changes == {
        key[0]: ONLY_A if key not in b else ONLY_B if key not in a else CHANGED
        for key in a.keys() | b.keys()
        if key not in a or key not in b or a[key] != b[key]
    }
    assert found.stayed + len(found.rows) == len(a.keys() | b.keys())


def test_rows_of_one_side_are_no_change_of_a_verdict() -> None:
    """The exit status speaks of what can be compared."""
    a = {("p",): Estimated(1.0, 0.5, 1.5, 5, verdict="better")}
    found = compare_estimates(("problem",), a, {})
    assert (found.verdicts_changed, found.count(APART), found.count(ONLY_A), found.estimates) == (0, 0, 1, 0)


def test_changed_verdicts_come_first_then_what_moved_farthest() -> None:
    def at(mean: float, verdict: str = "better") -> Estimated:
        return Estimated(mean, mean - 1, mean + 1, 5, verdict=verdict)

    a = {(name,): at(0.0) for name in ("within", "verdict", "moved", "apart", "gone", "same")}
    b = {
        ("within",): at(0.5),
        ("verdict",): at(0.0, "worse"),
        ("moved",): at(1.5),
        ("apart",): at(9.0),
        ("same",): at(0.0),
    }
    rows = compare_estimates(("name",), a, b).rows
    assert [row["name"] for row in rows] == ["verdict", "apart", "moved", "within", "gone"]
