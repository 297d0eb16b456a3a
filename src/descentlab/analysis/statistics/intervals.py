"""Statistics of paired runs: pure functions of arrays (docs/statistics.md, "Means over seeds")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from descentlab.experiment.crossing import value_at_target

LEVEL = 0.05  # of a test, or of a family of tests: how often it finds a difference where there is none
CONFIDENCE = 1 - LEVEL  # of intervals that are not corrected for several tests


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided t interval; the ends are NaN if n < 2."""

    mean: float
    low: float
    high: float
    n: int


def t_quantile(q: float, degrees: float) -> float:
    """Quantile of Student's t: what ``scipy.stats.t.ppf`` computes for scalars, without its slow checks."""
    return float(special.stdtrit(degrees, q))


def critical_value(degrees: Any, confidence: float = CONFIDENCE) -> Any:
    """Standard errors on each side of a mean in its two-sided t interval, for a number of degrees or an array of them.

    Example:
        >>> round(float(critical_value(2)), 3)
        4.303
    """
    return special.stdtrit(degrees, (1 + confidence) / 2)


def t_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Mean and t interval of ``values``, shape (n,), ignoring NaN.

    Example:
        >>> t_interval(np.array([1.0, 2.0, 3.0]))  # half of its width is 4.303 · 1 / √3
        Interval(mean=2.0, low=-0.484, high=4.484, n=3)
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[~np.isnan(finite)]
    n = len(finite)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean = float(finite.mean())
    if n == 1:
        return Interval(mean, np.nan, np.nan, 1)
    half = float(critical_value(n - 1, confidence) * finite.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def average_by(table: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Mean and 95 % t interval of columns by group, in order of appearance: :func:`t_interval`, vectorized.

    Returns:
        Columns ``by``; ``<column>_mean``, ``<column>_low``, ``<column>_high`` for each column; and ``n``, the largest count
        of values in any of them.

    Example:
        >>> runs = pd.DataFrame({"optimizer": ["adam", "sgd", "adam"], "loss": [1.0, 5.0, 3.0]})
        >>> average_by(runs, ["optimizer"], ["loss"])[["optimizer", "loss_mean", "n"]]
          optimizer  loss_mean  n
        0      adam        2.0  2
        1       sgd        5.0  1
    """
    grouped = table.groupby(by, sort=False, dropna=False)[columns]
    mean, deviation, n = grouped.mean(), grouped.std(ddof=1), grouped.count()
    half = deviation / np.sqrt(n) * critical_value((n - 1).where(n > 1))
    parts = {}
    for column in columns:
        parts[f"{column}_mean"] = mean[column]
        parts[f"{column}_low"] = mean[column] - half[column]
        parts[f"{column}_high"] = mean[column] + half[column]
    return pd.DataFrame(parts).assign(n=n.max(axis=1)).reset_index()


def reached_after(updates: np.ndarray, losses: np.ndarray, target: float) -> float:
    """Updates until the loss is at most ``target``, interpolated between two evaluations; inf if it never is.

    Runs are evaluated at few points. Without interpolation two runs that reach a target at different updates would have the same
    time, or times an epoch apart.

    Args:
        updates: in any order, shape (evaluations,).
        losses: same shape; one that is not finite never reaches, and nothing is interpolated from it.

    Example:
        >>> reached_after(np.array([0, 10, 20]), np.array([2.3, 0.5, 0.1]), target=0.3)
        15.0
        >>> reached_after(np.array([0, 10, 20]), np.array([2.3, 0.5, 0.1]), target=0.0)
        inf
    """
    order = np.argsort(updates, kind="stable")
    times, values = np.asarray(updates, dtype=np.float64)[order], np.asarray(losses, dtype=np.float64)[order]
    found = value_at_target(values, times, target)
    return float("inf") if np.isnan(found) else found


def ratio_interval(first: np.ndarray, second: np.ndarray) -> Interval:
    """Geometric mean of paired ratios ``first / second``, with the t interval of their logarithms, exponentiated.

    Args:
        first, second: positive, shape (n,); pairs with a zero or a NaN are left out.

    Example:
        >>> ratio_interval(np.array([2.0, 4.0, 8.0]), np.array([1.0, 1.0, 1.0]))
        Interval(mean=4.0, low=0.715, high=22.38, n=3)
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    valid = (a > 0) & (b > 0)
    logs = t_interval(np.log(a[valid] / b[valid]))
    return Interval(float(np.exp(logs.mean)), float(np.exp(logs.low)), float(np.exp(logs.high)), logs.n)
