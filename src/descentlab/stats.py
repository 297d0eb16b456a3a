"""Statistics of paired runs: pure functions of arrays (protocol, sections 5 and 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

VERDICTS = ("better", "worse", "negligible", "inconclusive", "identical", "not tested")


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided t interval; NaN ends where n < 2."""

    mean: float
    low: float
    high: float
    n: int


def t_quantile(q: float, degrees: float) -> float:
    """Student's quantile: what ``scipy.stats.t.ppf`` computes for one pair, without its checks."""
    return float(special.stdtrit(degrees, q))


def t_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Mean and t interval of ``values``, shape (n,), NaN left out."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[~np.isnan(finite)]
    n = len(finite)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean = float(finite.mean())
    if n == 1:
        return Interval(mean, np.nan, np.nan, 1)
    half = float(t_quantile((1 + confidence) / 2, n - 1) * finite.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def average_by(table: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Mean and 95 % t interval of columns by group, in order of appearance: :func:`t_interval`, vectorised.

    Returns:
        Columns ``by``, ``<column>_mean``, ``<column>_low``, ``<column>_high`` of each, and ``n``, the most values of any.
    """
    grouped = table.groupby(by, sort=False, dropna=False)[columns]
    mean, deviation, n = grouped.mean(), grouped.std(ddof=1), grouped.count()
    half = deviation / np.sqrt(n) * stats.t.ppf(0.975, (n - 1).where(n > 1))
    parts = {}
    for column in columns:
        parts[f"{column}_mean"] = mean[column]
        parts[f"{column}_low"] = mean[column] - half[column]
        parts[f"{column}_high"] = mean[column] + half[column]
    return pd.DataFrame(parts).assign(n=n.max(axis=1)).reset_index()


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p values, shape (m,); NaN stays NaN and doesn't count as a test.

    Not statsmodels' ``multipletests``, whose call collects all garbage of the process: a tenth of a second a family.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)  # NaN sorts last
    m = int((~np.isnan(p)).sum())
    adjusted = np.full(p.shape, np.nan)
    adjusted[order[:m]] = np.minimum(np.maximum.accumulate(p[order[:m]] * np.arange(m, 0, -1)), 1.0)
    return adjusted


def holm_levels(p_values: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """The level at which Holm's procedure judges each test, shape (m,).

    ``alpha / (m − rank)`` while tests are rejected, from the least p on; the tests from the first that is not rejected
    on share its level. An interval of confidence ``1 − level`` excludes 0 exactly where Holm rejects.

    So in at most ``alpha`` of all families a direction is wrong. It is no promise that every interval of a family holds, nor
    that no ``negligible`` in it is wrong. Measured for ten differences as large as their margins, each beyond doubt: all
    intervals hold in 90 % of the families, a wrong ``negligible`` is in 6 %.
    """
    p = np.asarray(p_values, dtype=np.float64)
    levels = np.full(p.shape, np.nan)
    order = [i for i in np.argsort(p) if not np.isnan(p[i])]
    m = len(order)
    level, stopped = alpha, False
    for rank, index in enumerate(order):
        if not stopped:
            level = alpha / (m - rank)
            stopped = p[index] > level
        levels[index] = level
    return levels


def verdict(low: float, high: float, mean: float, n: int, margin: float) -> str:
    """The protocol's rule (section 6) on a difference where positive means that the first is better.

    In this order: no interval: ``not tested`` (n = 0) or ``inconclusive``; every pair equal: ``identical``; whole
    interval inside (−margin, margin): ``negligible``; above 0: ``better``; below 0: ``worse``; else ``inconclusive``.
    """
    if n == 0:
        return "not tested"
    if np.isnan(low) or np.isnan(high):
        return "inconclusive"
    if low == high == mean == 0:
        return "identical"
    if -margin < low and high < margin:
        return "negligible"
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "inconclusive"


def updates_to_target(updates: np.ndarray, losses: np.ndarray, target: float) -> float:
    """Updates of the first evaluation whose loss is at most ``target``; inf where none is.

    Args:
        updates: in any order, shape (evaluations,).
        losses: same shape; NaN never reaches.
    """
    reached = np.asarray(updates, dtype=np.float64)[np.asarray(losses) <= target]
    return float(reached.min(initial=np.inf))


def ratio_interval(first: np.ndarray, second: np.ndarray) -> Interval:
    """Geometric mean of paired ratios ``first / second``, with the t interval of their logarithms taken back.

    Args:
        first, second: positive, shape (n,); pairs with a zero or a NaN are left out.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    valid = (a > 0) & (b > 0)
    logs = t_interval(np.log(a[valid] / b[valid]))
    return Interval(float(np.exp(logs.mean)), float(np.exp(logs.low)), float(np.exp(logs.high)), logs.n)


def good_range(rates: np.ndarray, goodness: np.ndarray, margin: float) -> tuple[float, float, bool]:
    """The learning rates around the best whose score lies within ``margin`` of the best score.

    Args:
        rates: ascending, shape (points,).
        goodness: mean score, higher is better, same shape; NaN where a run diverged.

    Returns:
        Lowest and highest rate, interpolated on a logarithmic scale between grid points (a diverged neighbour ends the range
        at the last good point), NaN where all diverged; and whether an end lies outside the grid.
    """
    x, y = np.log10(np.asarray(rates, dtype=np.float64)), np.asarray(goodness, dtype=np.float64)
    if np.isnan(y).all():
        return float("nan"), float("nan"), False
    best = int(np.nanargmax(y))
    threshold = y[best] - margin
    ends, censored = [], False
    for step in (-1, 1):
        i = best
        while 0 <= i + step < len(y) and y[i + step] >= threshold:
            i += step
        j = i + step
        if not 0 <= j < len(y):
            censored = True
            ends.append(x[i])
        elif np.isnan(y[j]):
            ends.append(x[i])
        else:
            ends.append(x[i] + (x[j] - x[i]) * (y[i] - threshold) / (y[i] - y[j]))
    return float(10 ** ends[0]), float(10 ** ends[1]), censored


def width_in_decades(rates: np.ndarray, goodness: np.ndarray, margin: float) -> tuple[float, bool]:
    """Decades from the lowest to the highest rate of :func:`good_range`, and whether that is a lower bound."""
    low, high, censored = good_range(rates, goodness, margin)
    return float(np.log10(high) - np.log10(low)), censored
