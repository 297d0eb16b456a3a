"""Resampling of seeds: the variance of a number that is no mean over them (docs/statistics.md, "Resampled seeds")."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from descentlab.analysis.statistics.paired import Estimate

DRAWS = 1000


def resample_seeds(seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Resamplings of seeds, each different one once, with its share of DRAWS.

    ``seeds − 1`` are drawn with replacement, so that the variance of a resampled mean is that of the mean (Rao & Wu 1988): as
    many as there are would give a share ``1 − 1 / seeds`` of it, a fifth too little with five.

    Returns:
        Positions of seeds, shape (resamplings, seeds − 1), and weights of sum 1.
    """
    draws = np.sort(np.random.default_rng(0).integers(0, seeds, (DRAWS, seeds - 1)), axis=1)
    different, counts = np.unique(draws, axis=0, return_counts=True)
    return different, counts / DRAWS


def leave_one_out(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest mean when one of those it is over is left out: how much a mean leans on a single problem.

    Args:
        values: shape (k, n); the means are over n.

    Returns:
        Two arrays of shape (k,); NaN of fewer than two.

    Example:
        >>> least, most = leave_one_out(np.array([[1.0, 2.0, 6.0]]))
        >>> least.tolist(), most.tolist()
        ([1.5], [4.0])
    """
    count = values.shape[1]
    if count < 2:
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    means = (values.sum(axis=1, keepdims=True) - values) / (count - 1)
    return means.min(axis=1), means.max(axis=1)


def weighted_variance(values: np.ndarray, weights: np.ndarray) -> float:
    """The variance of values that occur with ``weights``, of sum 1; both of shape (values,)."""
    return float(weights @ (values - weights @ values) ** 2)


def estimate_resampled(statistic: Callable[[np.ndarray], float], seeds: int, resolution: float = 0.0) -> Estimate:
    """The estimate of a number that is computed from all seeds at once, such as the width of a mean curve.

    Its variance is that over resamplings of the seeds, its degrees of freedom are the seeds minus 1.

    Args:
        statistic: of positions of seeds, shape (drawn,).
        seeds: how many there are.
        resolution: the step in which the number is known; the variance is at least that of a uniform error of this width.

    Example:
        Of a mean, it is nearly the variance of the mean, 1 / 3:

        >>> values = np.array([1.0, 2.0, 3.0])
        >>> estimate = estimate_resampled(lambda positions: float(values[positions].mean()), 3)
        >>> estimate.mean, round(estimate.variance, 1), estimate.degrees
        (2.0, 0.3, 2)
    """
    mean = float(statistic(np.arange(seeds)))
    if seeds < 2:
        return Estimate(mean, np.nan, np.nan, np.nan, 0.0, seeds)
    positions, weights = resample_seeds(seeds)
    values = np.array([statistic(row) for row in positions])
    variance = max(weighted_variance(values, weights), resolution**2 / 12)
    return Estimate(mean, variance, seeds - 1, seeds * variance, 0.0, seeds)
