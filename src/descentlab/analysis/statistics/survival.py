"""Time to target with censoring (docs/protocol.md, "Time to target").

A run that misses the target within its budget is censored there. Times are updates (or examples, or seconds); a diverged
run never reaches the target and is censored at the budget as well.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from descentlab.analysis.statistics.intervals import CONFIDENCE, Interval, ratio_interval, t_interval
from descentlab.analysis.statistics.paired import SAME

# How the true value compares, by whether it may be larger (the first side was cut off) and smaller (the second side was).
BOUNDS = {(False, False): "", (True, False): "at least", (False, True): "at most", (True, True): "unknown"}


@dataclass(frozen=True)
class Share:
    """A share of runs with its exact 95 % interval (Clopper & Pearson 1934)."""

    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Ratio:
    """A ratio of restricted times; ``bound`` says on which side the true ratio lies.

    ``bound``: ``""`` if nothing is censored, ``at most`` if only the second side was cut off, ``at least`` if only the
    first was, ``unknown`` if both were.
    """

    ratio: Interval
    bound: str


@functools.cache
def share_interval(count: int, n: int) -> Share:
    """The share ``count / n`` and its exact interval; NaN without runs.

    Example:
        >>> share_interval(3, 4)
        Share(share=0.75, low=0.194, high=0.994, n=4)
    """
    if n == 0:
        return Share(np.nan, np.nan, np.nan, 0)
    interval = stats.binomtest(count, n).proportion_ci(CONFIDENCE, method="exact")
    return Share(count / n, float(interval.low), float(interval.high), n)


def kaplan_meier(times: np.ndarray, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kaplan & Meier's estimate of the share of runs that have not reached the target yet.

    Args:
        times: when each run reached the target or was cut off, shape (n,).
        reached: False where it was cut off, shape (n,).

    Returns:
        The times at which the share falls, ascending from 0, and the share from each time on (1 at time 0).

    Example:
        Of three runs one reaches the target at 10 updates, one is cut off at 20, one reaches it at 30:

        >>> times, not_yet = kaplan_meier(np.array([10, 20, 30]), np.array([True, False, True]))
        >>> times.tolist(), not_yet.tolist()
        ([0.0, 10.0, 30.0], [1.0, 0.6667, 0.0])
    """
    t, event = np.asarray(times, dtype=np.float64), np.asarray(reached, dtype=bool)
    if not event.any():
        return np.zeros(1), np.ones(1)
    survival = stats.ecdf(stats.CensoredData(uncensored=t[event], right=t[~event])).sf
    falls = np.isin(survival.quantiles, t[event])
    return np.r_[0.0, survival.quantiles[falls]], np.r_[1.0, survival.probabilities[falls]]


def restricted_mean(times: np.ndarray, reached: np.ndarray, budget: float) -> Interval:
    """Mean time within ``budget`` (the area under Kaplan & Meier's curve up to it), with its 95 % t interval.

    Runs are cut off only at the budget, so the area is the mean of the times with misses set to the budget: what DeepOBS
    reports (Schneider et al. 2019), here with its interval. Times that are all equal, because every run missed or because there
    are few evaluations, have none: their standard deviation of 0 would promise certainty.

    Example:
        >>> restricted_mean(np.array([10, 30, 50]), np.array([True, True, False]), budget=50).mean
        30.0
    """
    within = np.where(reached, times, budget).clip(max=budget)
    return _unless_certain(t_interval(within))


def restricted_ratio(
    first: np.ndarray, first_reached: np.ndarray, second: np.ndarray, second_reached: np.ndarray
) -> Ratio:
    """Geometric mean of the paired ratios of times, misses set to the budget, and what it bounds.

    Times are those of evaluations, of which there are few. So ratios that are all equal but for the last digits are due to
    rounding, and their standard deviation of 0 would promise certainty: they have no interval. If every run missed, the
    ratio of the budgets says nothing, and there is none.

    Args:
        first, second: times of pairs of runs, misses at the budget, shape (n,).
        first_reached, second_reached: whether each run reached the target, shape (n,).

    Example:
        The first side's second run missed within 100 updates, so the true ratio may be larger than the one observed:

        >>> result = restricted_ratio(np.array([20, 100]), np.array([True, False]), np.array([10, 25]), np.array([True, True]))
        >>> result.ratio.mean, result.bound  # √(2 · 4)
        (2.828, 'at least')
    """
    bound = BOUNDS[not np.all(first_reached), not np.all(second_reached)]
    if len(first) and not (np.any(first_reached) or np.any(second_reached)):
        return Ratio(Interval(np.nan, np.nan, np.nan, len(first)), bound)
    return Ratio(_unless_certain(ratio_interval(first, second)), bound)


def _unless_certain(interval: Interval) -> Interval:
    """An interval of times; without ends if they are equal but for the last digits, as those of equal times are."""
    certain = interval.high - interval.low <= SAME * abs(interval.mean)
    return replace(interval, low=np.nan, high=np.nan) if certain else interval


def performance_profile(times: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Dolan & Moré's profiles: the share of problems that a method solves within a factor of the fastest.

    Args:
        times: shape (methods, problems), lower is better; inf or NaN where a method never reaches.
        ratios: factors, at least 1, shape (k,).

    Returns:
        Shape (methods, k); a problem that no method solves counts for none.

    Example:
        The first method is fastest on the first of two problems and takes twice the fastest's time on the second:

        >>> performance_profile(np.array([[1.0, 4.0], [3.0, 2.0]]), ratios=np.array([1, 2, 3])).tolist()
        [[0.5, 1.0, 1.0], [0.5, 0.5, 1.0]]
    """
    return (_relative_times(times)[:, :, None] <= np.asarray(ratios)[None, None, :]).mean(axis=1)


def profile_areas(times: np.ndarray, most: float) -> np.ndarray:
    """The area under each problem's step of a profile from factor 1 to ``most``, over ``most − 1``.

    Their mean over problems is the integral of the profile (Dahl et al. 2023, section 4.3): 1 for a method that is fastest on
    every problem, 0 for one that never comes within ``most`` times the fastest.

    Args:
        times: as in :func:`performance_profile`.
        most: the largest factor, above 1.

    Returns:
        Shape (methods, problems), from 0 to 1.

    Example:
        >>> profile_areas(np.array([[1.0, 4.0], [3.0, 2.0]]), most=4.0).round(3).tolist()
        [[1.0, 0.667], [0.333, 1.0]]
    """
    return np.clip((most - _relative_times(times)) / (most - 1), 0, 1)


def _relative_times(times: np.ndarray) -> np.ndarray:
    t = np.where(np.isnan(times), np.inf, np.asarray(times, dtype=np.float64))
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(t), t / t.min(axis=0), np.inf)
