"""Statistics against known answers, and the laws that they obey."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from descentlab.analysis.sensitivity import width_in_decades
from descentlab.analysis.statistics.intervals import average_by, ratio_interval, reached_after, t_interval
from descentlab.analysis.statistics.verdicts import (
    benjamini_hochberg,
    benjamini_hochberg_levels,
    holm,
    holm_levels,
    verdict,
)

# Student's sleep data (Student 1908, table p. 13): hours gained with two drugs by the same ten patients. His differences
# have mean 1.58 and standard deviation 1.23; R's documentation of `sleep` gives t = 4.0621, p = 0.002833 and the interval
# 0.7001142 to 2.4598858 for the paired test.
DRUG_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
DRUG_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_students_own_example() -> None:
    found = t_interval(DRUG_2 - DRUG_1)
    assert (found.mean, found.n) == (pytest.approx(1.58), 10)
    assert (found.low, found.high) == (pytest.approx(0.7001142, abs=1e-7), pytest.approx(2.4598858, abs=1e-7))


def test_intervals_of_too_few_values_say_so() -> None:
    assert t_interval(np.array([])).n == 0
    one = t_interval(np.array([2.0, np.nan]))
    assert (one.mean, one.n) == (2.0, 1)
    assert math.isnan(one.low) and math.isnan(one.high)


def test_the_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(1.0, 2.0, (4000, 10))
    covered = [found.low <= 1.0 <= found.high for found in map(t_interval, samples)]
    # Standard error of the share of 4,000 at 95 %: 0.0034.
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * 0.0034)


def test_holms_own_procedure() -> None:
    # By hand (Holm 1979): sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, running maximum.
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.02])), [0.06, 0.04, 0.06, 0.06])
    with_missing = holm(np.array([0.04, np.nan, 0.01]))
    np.testing.assert_allclose(with_missing[[0, 2]], [0.04, 0.02])
    assert math.isnan(with_missing[1])
    assert len(holm(np.array([]))) == 0


def test_holms_steps_as_demsar_prints_them() -> None:
    # Demšar 2006, section 3.2.2: C4.5 against three variants on 14 data sets; the first two are rejected.
    p = np.array([0.016, 0.019, 0.607])
    np.testing.assert_allclose(holm_levels(p), [0.05 / 3, 0.05 / 2, 0.05])
    assert (p <= holm_levels(p)).tolist() == [True, True, False]


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_librarys(p_values: list[float]) -> None:
    np.testing.assert_allclose(holm(np.array(p_values)), multipletests(p_values, method="holm")[1], atol=1e-15)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_level_is_passed_exactly_where_holm_rejects(p_values: list[float]) -> None:
    p = np.array(p_values)
    np.testing.assert_array_equal(p <= holm_levels(p), holm(p) <= 0.05)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_the_false_discovery_rate_is_the_librarys(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="fdr_bh")[1]
    np.testing.assert_allclose(benjamini_hochberg(np.array(p_values)), expected, atol=1e-15)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_level_is_passed_exactly_where_benjamini_and_hochberg_reject(p_values: list[float]) -> None:
    p = np.array([*p_values, np.nan])
    levels = benjamini_hochberg_levels(p)
    np.testing.assert_array_equal(p <= levels, benjamini_hochberg(p) <= 0.05)
    assert np.isnan(levels[-1]) and len(set(levels[:-1])) == 1


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=12), st.randoms())
def test_order_does_not_matter_and_swapping_sides_flips_the_sign(values: list[float], random) -> None:
    d = np.array(values)
    shuffled = d.copy()
    random.shuffle(shuffled)
    found, other, swapped = t_interval(d), t_interval(shuffled), t_interval(-d)
    np.testing.assert_allclose([found.mean, found.low], [other.mean, other.low], atol=1e-9)
    np.testing.assert_allclose(
        [-found.mean, -found.high, -found.low], [swapped.mean, swapped.low, swapped.high], atol=1e-9
    )


@pytest.mark.parametrize(
    ("low", "high", "n", "expected"),
    [
        (-0.01, 0.01, 5, "negligible"),
        (0.001, 0.019, 5, "negligible"),  # inside the margin comes before above 0
        (0.001, 0.021, 5, "better"),
        (0.03, 0.05, 5, "better"),
        (-0.05, -0.001, 5, "worse"),
        (-0.05, 0.01, 5, "inconclusive"),
        (-0.02, 0.02, 5, "inconclusive"),  # the margin itself is not inside
        (0.0, 0.03, 5, "inconclusive"),
        (0.0, 0.0, 5, "identical"),
        (math.nan, math.nan, 1, "inconclusive"),
        (math.nan, math.nan, 0, "not tested"),
    ],
)
def test_the_rule_of_verdicts(low: float, high: float, n: int, expected: str) -> None:
    assert verdict(low, high, (low + high) / 2, n, margin=0.02) == expected


def test_reached_after_the_first_evaluation_at_the_target() -> None:
    updates, losses = np.array([0, 1, 2, 4]), np.array([1.0, np.nan, 0.5, 0.2])
    assert reached_after(updates, losses, 0.5) == 2
    assert reached_after(updates, losses, 2.0) == 0
    assert reached_after(updates, losses, 0.1) == math.inf
    moved = [3, 1, 0, 2]
    assert reached_after(updates[moved], losses[moved], 0.5) == 2


def test_ratios_are_of_pairs() -> None:
    found = ratio_interval(np.array([2.0, 8.0, 0.0]), np.array([1.0, 2.0, 1.0]))
    assert (found.mean, found.n) == (pytest.approx(math.sqrt(8)), 2)
    same = ratio_interval(np.array([3.0, 5.0]), np.array([3.0, 5.0]))
    assert (same.mean, same.low, same.high) == (1.0, 1.0, 1.0)


def test_width_is_interpolated_between_grid_points() -> None:
    rates = np.array([0.01, 0.1, 1.0, 10.0, 100.0])
    # Falls by 0.4 over the decade on either side of a top two decades wide; 0.1 is reached a quarter of the way down.
    width, censored = width_in_decades(rates, np.array([0.5, 0.9, 0.9, 0.9, 0.5]), 0.1)
    assert (width, censored) == (pytest.approx(2 + 2 * 0.25), False)
    width, censored = width_in_decades(rates, np.array([0.9, 0.9, 0.5, 0.5, 0.5]), 0.1)
    assert (width, censored) == (pytest.approx(1.25), True)
    width, censored = width_in_decades(rates, np.array([0.5, 0.9, 0.9, np.nan, np.nan]), 0.1)
    assert (width, censored) == (pytest.approx(1.25), False)
    assert math.isnan(width_in_decades(rates, np.full(5, np.nan), 0.1)[0])


def test_averages_by_group_are_the_intervals_of_the_groups() -> None:
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"group": list("bbbaabc"), "x": generator.normal(size=7), "y": generator.normal(size=7)})
    table.loc[1, "y"] = np.nan
    found = average_by(table, ["group"], ["x", "y"])
    assert found["group"].tolist() == ["b", "a", "c"]
    assert found["n"].tolist() == [4, 2, 1]
    for row in found.to_dict("records"):
        for column in ("x", "y"):
            expected = t_interval(table.loc[table["group"] == row["group"], column].to_numpy())
            ends = [row[f"{column}_{end}"] for end in ("mean", "low", "high")]
            np.testing.assert_allclose(ends, [expected.mean, expected.low, expected.high])
