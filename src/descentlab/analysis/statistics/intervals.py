"""Statistics of paired runs: pure functions of arrays (docs/statistics.md, "Means over seeds")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats


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
