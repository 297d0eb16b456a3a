"""Paired differences: known answers, the laws of their variance, and how often their intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from descentlab.analysis.statistics.paired import (
    bootstrap_interval,
    estimate_crossed,
    estimate_difference,
    power,
    seeds_to_settle,
)

# Student's sleep data, differences by patient (see test_stats).
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])


def test_students_own_example() -> None:
    found = estimate_difference(SLEEP)
    assert (found.mean, found.n) == (pytest.approx(1.58), 10)
    assert found.p == pytest.approx(0.002833, abs=1e-6)
    assert found.interval() == (pytest.approx(0.7001142, abs=1e-7), pytest.approx(2.4598858, abs=1e-7))


def test_identical_pairs_have_a_difference_of_zero() -> None:
    found = estimate_difference(np.zeros(4))
    assert (found.mean, found.p, found.interval()) == (0.0, 1.0, (0.0, 0.0))
    assert estimate_difference(np.full(4, 0.1)).p == 0.0
    assert estimate_crossed(np.zeros((4, 9))).interval() == (0.0, 0.0)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pairs_have_no_interval(n: int) -> None:
    found = estimate_difference(np.ones(n))
    assert math.isnan(found.p)
    assert all(map(math.isnan, found.interval()))
    assert math.isnan(seeds_to_settle(found, 0.01))


def test_the_two_way_variance_by_hand() -> None:
    # Means of seeds 1, 3; of examples 1, 2, 3; no residual. Seeds: 2 / 2 = 1; examples: 1 / 3; nothing else.
    d = np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]])
    found = estimate_crossed(d)
    assert found.mean == 2.0
    assert found.variance == pytest.approx(1 + 1 / 3)
    assert (found.seed_variance, found.example_variance) == (pytest.approx(2.0), pytest.approx(1 / 3))
    # Satterthwaite: (4/3)² / (1² / 1 + (1/3)² / 2).
    assert found.degrees == pytest.approx((16 / 9) / (1 + 1 / 18))


def test_equal_examples_add_nothing() -> None:
    by_seed = np.array([0.1, -0.2, 0.05, 0.3])
    crossed = estimate_crossed(np.repeat(by_seed[:, None], 50, axis=1))
    assert crossed.interval() == pytest.approx(estimate_difference(by_seed).interval())


def test_seeds_that_tie_to_the_last_digit_are_not_certain() -> None:
    # Two seeds, four examples: each seed is one answer better, each in another one.
    d = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    found = estimate_crossed(d)
    # No variance between seeds; examples' means 1/2, 1/2, 0, 0 have variance 1/12; the residuals are ±1/2 in four of eight
    # places, so what neither explains has variance 1 / 3. Its share, 1/3 / 8, stands in for the seeds; examples add nothing
    # (1/12 / 4 is less).
    assert (found.mean, found.variance) == (0.25, pytest.approx(1 / 24))
    assert (found.example_variance, found.degrees) == (0.0, 1)
    assert found.seed_variance == pytest.approx(2 / 24)
    assert found.interval()[0] < 0 < found.interval()[1]
    level = np.array([[1.0, -1.0], [-1.0, 1.0]])  # as good as each other, and not the same
    assert estimate_crossed(level).interval()[1] > 0


@given(st.integers(0, 1000))
def test_order_and_sign(seed: int) -> None:
    generator = np.random.default_rng(seed)
    d = generator.normal(0.1, 1, (5, 7))
    found, moved = estimate_crossed(d), estimate_crossed(d[generator.permutation(5)][:, generator.permutation(7)])
    np.testing.assert_allclose([found.mean, found.variance, found.degrees], [moved.mean, moved.variance, moved.degrees])
    low, high = found.interval()
    np.testing.assert_allclose(estimate_crossed(-d).interval(), (-high, -low), atol=1e-12)
    np.testing.assert_allclose(estimate_crossed(3 * d).interval(), (3 * low, 3 * high), atol=1e-12)


def test_bca_is_scipys_and_follows_its_seed() -> None:
    low, high = bootstrap_interval(SLEEP, 1)
    assert low < SLEEP.mean() < high
    assert bootstrap_interval(SLEEP, 1) == (low, high)
    assert bootstrap_interval(SLEEP, 2) != (low, high)
    assert all(map(math.isnan, bootstrap_interval(np.ones(5), 0)))


def test_power_is_that_of_the_paired_t_test() -> None:
    for n, deviation in ((5, 1.0), (10, 0.5), (10, 2.0)):
        expected = TTestPower().power(effect_size=1 / deviation, nobs=n, alpha=0.05, alternative="two-sided")
        assert power(n, 1.0, deviation) == pytest.approx(expected, abs=1e-8)
    assert power(1, 1.0, 1.0) == 0.0
    assert power(10_000, 1.0, 1.0) == pytest.approx(1.0)  # a tail too thin for SciPy is 0, not NaN


def test_seeds_to_settle_is_the_least_number_that_does() -> None:
    found = estimate_difference(SLEEP - 1.2)  # mean 0.38: inconclusive at ten
    n = seeds_to_settle(found, margin=0.1)
    half = [stats.t.isf(0.025, k - 1) * math.sqrt(found.seed_variance / k) for k in (n - 1, n)]
    assert half[1] < 0.38 < half[0]


def test_more_seeds_do_not_help_where_the_test_set_is_too_small() -> None:
    generator = np.random.default_rng(0)
    d = np.repeat(generator.normal(0, 1, (1, 20)), 5, axis=0) + generator.normal(0, 1e-3, (5, 1))
    assert seeds_to_settle(estimate_crossed(d - d.mean()), margin=0.01) == math.inf
