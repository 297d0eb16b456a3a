"""Censored times against a published example and the laws of restricted means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight

from descentlab.analysis.statistics.survival import (
    kaplan_meier,
    performance_profile,
    profile_areas,
    restricted_mean,
    restricted_ratio,
    share_interval,
)

# Freireich et al. 1963: weeks of remission under 6-MP, + marks a patient still in remission; the estimate as printed in
# Kaplan–Meier's standard worked example (Cox & Oakes 1984, table 1.1; Collett 2003, section 2.1).
WEEKS = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35])
RELAPSED = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)


def test_kaplan_meier_of_the_leukaemia_trial() -> None:
    times, share = kaplan_meier(WEEKS, RELAPSED)
    np.testing.assert_array_equal(times, [0, 6, 7, 10, 13, 16, 22, 23])
    np.testing.assert_allclose(share, [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], atol=6e-4)


# The trial's other arm, placebo, none censored; mean 182 / 21 = 8.67 weeks (8.6 in Kleinbaum & Klein 2012, chapter 1).
PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23])


def test_without_censoring_the_restricted_mean_is_the_mean() -> None:
    found = restricted_mean(PLACEBO, np.ones(21, dtype=bool), 23)
    assert found.mean == pytest.approx(182 / 21)
    interval = stats.ttest_1samp(PLACEBO, 0).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


@pytest.mark.parametrize("budget", [1, 8, 10.5, 23, 40])
def test_the_restricted_mean_is_the_librarys(budget: float) -> None:
    curve = SurvfuncRight(np.minimum(PLACEBO, budget), PLACEBO <= budget)
    steps, share = np.r_[0.0, curve.surv_times], np.r_[1.0, curve.surv_prob]
    area = float((np.diff(np.r_[steps, budget]) * share).sum())
    assert restricted_mean(PLACEBO, PLACEBO <= budget, budget).mean == pytest.approx(area)


def test_kaplan_meier_is_the_librarys() -> None:
    curve = SurvfuncRight(WEEKS, RELAPSED)
    times, share = kaplan_meier(WEEKS, RELAPSED)
    np.testing.assert_array_equal(times[1:], curve.surv_times)
    np.testing.assert_allclose(share[1:], curve.surv_prob)


def test_nobody_reaches() -> None:
    times, share = kaplan_meier(np.full(4, 10.0), np.zeros(4, dtype=bool))
    assert (times.tolist(), share.tolist()) == ([0.0], [1.0])


@given(st.lists(st.integers(1, 30), min_size=2, max_size=20))
def test_the_restricted_mean_is_the_area_under_the_curve(values: list[int]) -> None:
    budget = 20.0
    times = np.minimum(values, budget).astype(float)
    reached = np.array(values) <= budget
    steps, share = kaplan_meier(times, reached)
    area = float((np.diff(np.r_[steps, budget]) * share).sum())
    assert restricted_mean(times, reached, budget).mean == pytest.approx(area)


@pytest.mark.parametrize(
    ("times", "reached"), [([0.1] * 3, [True] * 3), ([30.0] * 4, [False] * 4), ([30.0, 40.0], [True, False])]
)
def test_equal_times_have_no_interval(times: list[float], reached: list[bool]) -> None:
    """Of coarse evaluations, of runs that all missed, and of one that reached the target at the last evaluation."""
    found = restricted_mean(np.array(times), np.array(reached), 30)
    assert (found.mean, found.n) == (pytest.approx(times[0]), len(times))
    assert np.isnan([found.low, found.high]).all()


def test_shares_have_exact_intervals() -> None:
    found = share_interval(0, 10)  # by hand: 1 - 0.025 ** (1 / 10)
    assert (found.share, found.low, found.high) == (0, 0, pytest.approx(1 - 0.025**0.1))
    assert share_interval(0, 0).n == 0


@pytest.mark.parametrize(
    ("first", "second", "bound"),
    [((1, 1), (1, 1), ""), ((1, 1), (1, 0), "at most"), ((0, 1), (1, 1), "at least"), ((0, 1), (0, 1), "unknown")],
)
def test_a_censored_ratio_is_a_bound(first: tuple[int, ...], second: tuple[int, ...], bound: str) -> None:
    found = restricted_ratio(np.array([1.0, 2.0]), np.array(first, bool), np.array([4.0, 2.0]), np.array(second, bool))
    assert found.bound == bound
    assert found.ratio.mean == pytest.approx(0.5)
    assert found.ratio.low < 0.5 < found.ratio.high


@given(st.floats(0.1, 10), st.lists(st.floats(1, 1e5), min_size=2, max_size=10))
def test_equal_ratios_have_no_interval(factor: float, times: list[float]) -> None:
    """Runs are evaluated at few points; a standard deviation of 0 would promise certainty."""
    both, second = np.ones(len(times), bool), np.array(times)
    found = restricted_ratio(factor * second, both, second, both)
    assert (found.ratio.mean, found.ratio.n, found.bound) == (pytest.approx(factor), len(times), "")
    assert np.isnan([found.ratio.low, found.ratio.high]).all()


def test_budgets_that_both_miss_are_no_ratio() -> None:
    neither = np.zeros(10, bool)
    found = restricted_ratio(np.full(10, 100.0), neither, np.full(10, 100.0), neither)
    assert (found.ratio.n, found.bound) == (10, "unknown")
    assert np.isnan([found.ratio.mean, found.ratio.low, found.ratio.high]).all()


def test_profiles_by_hand() -> None:
    # Two methods on three problems: ratios to the best are 1, 2, inf and 2, 1, inf (nobody solves the third).
    times = np.array([[1.0, 4.0, np.inf], [2.0, 2.0, np.nan]])
    np.testing.assert_allclose(performance_profile(times, np.array([1.0, 2.0])), [[1 / 3, 2 / 3], [1 / 3, 2 / 3]])
    np.testing.assert_allclose(profile_areas(times, 4.0), [[1, 2 / 3, 0], [2 / 3, 1, 0]])


def test_the_areas_of_a_profile_are_its_integral() -> None:
    times = np.random.default_rng(0).lognormal(size=(4, 6))
    ratios = np.linspace(1, 4, 30_001)
    integral = np.trapezoid(performance_profile(times, ratios), ratios, axis=1) / 3
    np.testing.assert_allclose(profile_areas(times, 4.0).mean(axis=1), integral, atol=1e-4)
