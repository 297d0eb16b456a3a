"""A paired difference of two optimizers: its estimate over seeds and test examples, and how many seeds would settle it.

The variance of a difference has two separate sources, the seeds and the test examples
(docs/statistics.md, "Seeds crossed with test examples"). Everything here is a pure function of arrays of differences,
first − second, positive where the first is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from descentlab.analysis.statistics.intervals import CONFIDENCE, LEVEL, t_quantile

MOST_SEEDS = 10_000
SAME = 1e-9  # relative: far above what rounding leaves, far below any spread that can be told from it


@dataclass(frozen=True)
class Estimate:
    """A mean difference with the parts of its interval.

    Attributes:
        mean: mean difference; NaN without a pair.
        variance: variance of the mean; NaN with fewer than two pairs.
        degrees: degrees of freedom of Student's t.
        seed_variance: variance of one seed's difference, the part that more seeds reduce.
        example_variance: the part of ``variance`` that more seeds don't reduce, due to the test examples.
        n: number of pairs of seeds.
        choice_variance: the part of ``variance`` that is the noise of tuning, which more final seeds don't reduce either.
    """

    mean: float
    variance: float
    degrees: float
    seed_variance: float
    example_variance: float
    n: int
    choice_variance: float = 0.0

    def with_choice(self, variance: float, degrees: float) -> Estimate:
        """This estimate with the noise of tuning in its variance, degrees of freedom by Satterthwaite.

        Example:
            >>> estimate = estimate_difference(np.array([1.0, 2.0, 3.0])).with_choice(0.333, 2)
            >>> estimate.variance, estimate.degrees
            (0.667, 4.0)
        """
        if not variance > 0 or not self.variance >= 0:
            return self
        parts = variance**2 / degrees + (self.variance**2 / self.degrees if self.variance else 0.0)
        total = self.variance + variance
        return replace(self, variance=total, degrees=total**2 / parts, choice_variance=variance)

    @property
    def p(self) -> float:
        """Two-sided p value of no difference: 1 if all pairs are identical, 0 if they differ by a constant."""
        if not self.variance >= 0:
            return math.nan
        if self.variance == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * special.stdtr(self.degrees, -abs(self.mean) / math.sqrt(self.variance)))

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The ends of the interval of confidence ``1 − level``; NaN if there is none."""
        if not self.variance >= 0 or math.isnan(level):
            return math.nan, math.nan
        half = -t_quantile(level / 2, self.degrees) * math.sqrt(self.variance) if self.variance else 0.0
        return self.mean - half, self.mean + half

    def floor(self, level: float = LEVEL) -> float:
        """Half the interval that stays however many seeds there are; NaN without an interval.

        Example:
            >>> Estimate(0.0, variance=0.05, degrees=9, seed_variance=0.4, example_variance=0.01, n=10).floor()
            0.196
        """
        if not self.variance >= 0:
            return math.nan
        return -float(special.ndtri(level / 2)) * math.sqrt(self.example_variance + self.choice_variance)


def equal_but_for_rounding(values: np.ndarray, magnitude: float = 0.0) -> bool:
    """Whether values are the same number but for the last digits, as differences of rounded metrics are.

    Args:
        values: shape (n,), n > 0.
        magnitude: of the numbers that they were computed from, where they may be far smaller.

    Example:
        >>> equal_but_for_rounding(np.array([0.92, 0.71]) - np.array([0.89, 0.68]))
        True
    """
    return bool(np.ptp(values) <= SAME * max(float(np.abs(values).max()), magnitude))


def estimate_difference(differences: np.ndarray) -> Estimate:
    """The estimate from one difference per seed, shape (n,): the paired t test.

    Differences that are equal but for rounding have a variance of exactly 0.

    Example:
        >>> estimate = estimate_difference(np.array([1.0, 2.0, 3.0]))
        >>> estimate.mean, estimate.variance, estimate.degrees
        (2.0, 0.333, 2)
        >>> estimate.interval()
        (-0.484, 4.484)
        >>> estimate.p
        0.0742
    """
    d = np.asarray(differences, dtype=np.float64)
    n = len(d)
    if n < 2:
        return Estimate(float(d[0]) if n else math.nan, math.nan, math.nan, math.nan, 0.0, n)
    spread = 0.0 if equal_but_for_rounding(d) else float(d.var(ddof=1))
    mean = float(d[0]) if spread == 0 else float(d.mean())
    return Estimate(mean, spread / n, n - 1, spread, 0.0, n)


def estimate_crossed(differences: np.ndarray) -> Estimate:
    """The estimate from one difference per (seed, test example), both random: crossed random effects.

    The variance of the mean is ``seeds / n + examples / m − residual / (n m)`` with the variances of the seeds' means, of
    the examples' means and of what neither explains (Henderson's moments of the two-way layout), degrees of freedom by
    Satterthwaite. It is never taken as less than the seeds' part alone. If the seeds' means tie to the last digit, as those of
    rounded metrics can, while their examples differ, that is no proof of certainty: the residual is used instead.

    Args:
        differences: shape (seeds n, test examples m).

    Example:
        Two seeds, whose means are 1 and 3, on three test examples, whose means are 1, 2 and 3. Nothing is left to explain, so
        the variance is 2 / 2 of the seeds and 1 / 3 of the examples:

        >>> estimate = estimate_crossed(np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]))
        >>> estimate.mean, estimate.variance, estimate.example_variance
        (2.0, 1.3333, 0.3333)
    """
    d = np.asarray(differences, dtype=np.float64)
    n, m = d.shape
    by_seed, by_example = d.mean(axis=1), d.mean(axis=0)
    plain = estimate_difference(by_seed)
    if n < 2 or m < 2:
        return plain
    residual = d - by_seed[:, None] - by_example[None, :] + d.mean()
    noise = float((residual**2).sum() / ((n - 1) * (m - 1)))
    from_examples, both = float(by_example.var(ddof=1)) / m, noise / (n * m)
    from_seeds = plain.variance or both
    extra = max(0.0, from_examples - both)
    variance = from_seeds + extra
    if variance == 0:
        return plain
    parts = from_seeds**2 / (n - 1) + (from_examples**2 / (m - 1) + both**2 / ((n - 1) * (m - 1)) if extra else 0.0)
    return Estimate(plain.mean, variance, max(n - 1, variance**2 / parts), n * from_seeds, extra, n)


def bootstrap_interval(differences: np.ndarray, seed: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Descriptive BCa interval of the mean over seeds (Efron 1987); NaN with fewer than 3 seeds or equal differences."""
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 3 or equal_but_for_rounding(d):
        return math.nan, math.nan
    interval = stats.bootstrap(
        (d,), np.mean, confidence_level=confidence, method="BCa", n_resamples=2000, rng=np.random.default_rng(seed)
    ).confidence_interval
    return float(interval.low), float(interval.high)


def seeds_to_settle(
    estimate: Estimate, margin: float, level: float = LEVEL, looks: Sequence[tuple[int, float]] = ()
) -> float:
    """How many pairs of seeds a verdict would take, if mean and variances stayed as they are now.

    A verdict needs an interval that excludes 0 or lies inside (−margin, margin). A new experiment of that size will have
    other means: it reaches a verdict with about even odds, not with certainty.

    Args:
        estimate: the estimate so far.
        margin: in its unit.
        level: two-sided.
        looks: the seeds and the level of each look to come; beyond the last, its level goes on.

    Returns:
        The least total number of pairs, at least 2; inf if the test examples and tuning alone are too wide (or more than 10,000
        pairs are needed), NaN without an estimate.

    Example:
        With three seeds half the interval's width, 2.484, exceeds the mean difference, 2; with four it would be 1.591:

        >>> seeds_to_settle(estimate_difference(np.array([1.0, 2.0, 3.0])), margin=0.5)
        4.0
    """
    if not estimate.variance >= 0:
        return math.nan
    needed = max(abs(estimate.mean), margin - abs(estimate.mean))
    numbers = np.unique(np.r_[2:200, np.geomspace(200, MOST_SEEDS, 200).astype(int)])
    levels = np.full(len(numbers), level)
    if looks:
        planned, spent = np.array(looks).T
        beyond = numbers[numbers > planned[-1]]
        numbers, levels = np.r_[planned, beyond], np.r_[spent, np.full(len(beyond), spent[-1])]
    fixed = estimate.example_variance + estimate.choice_variance
    half = stats.t.isf(levels / 2, numbers - 1) * np.sqrt(estimate.seed_variance / numbers + fixed)
    enough = np.flatnonzero(half < needed)
    return float(numbers[enough[0]]) if len(enough) else math.inf


def power(n: int, margin: float, deviation: float, level: float = LEVEL) -> float:
    """Probability that the paired t test on ``n`` seeds detects a true difference as large as the margin.

    Args:
        n: number of pairs of seeds.
        margin: the true difference.
        deviation: standard deviation of one seed's difference, in the margin's unit.
        level: two-sided; at Holm's first step, LEVEL divided by the number of problems.

    Example:
        >>> power(10, margin=0.01, deviation=0.01)
        0.803
        >>> power(10, margin=0.01, deviation=0.02)
        0.293
    """
    if n < 2:
        return 0.0
    shift = margin * math.sqrt(n) / deviation
    critical = float(stats.t.isf(level / 2, n - 1))
    wrong_side = float(stats.nct.cdf(-critical, n - 1, shift))
    # SciPy gives NaN if the probability of the wrong side is too small to distinguish from 0.
    return float(stats.nct.sf(critical, n - 1, shift)) + (0.0 if math.isnan(wrong_side) else wrong_side)
