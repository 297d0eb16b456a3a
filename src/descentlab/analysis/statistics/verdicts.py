"""From an interval and a margin to a verdict, and the corrections for several of them: Holm's, and Benjamini & Hochberg's."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from scipy import stats

from descentlab.analysis.statistics.intervals import LEVEL


class Verdict(StrEnum):
    """The verdict on a difference; a positive one means that the first is better."""

    BETTER = "better"
    WORSE = "worse"
    NEGLIGIBLE = "negligible"
    INCONCLUSIVE = "inconclusive"
    IDENTICAL = "identical"
    NOT_TESTED = "not tested"


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p values, shape (m,); NaN stays NaN and doesn't count as a test.

    Not statsmodels' ``multipletests``, which runs the garbage collector: a tenth of a second per family.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()  # 3 · 0.01, then 2 · 0.03, then at least as much
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)  # NaN sorts last
    m = int((~np.isnan(p)).sum())
    adjusted = np.full(p.shape, np.nan)
    adjusted[order[:m]] = np.minimum(np.maximum.accumulate(p[order[:m]] * np.arange(m, 0, -1)), 1.0)
    return adjusted


def holm_levels(p_values: np.ndarray, alpha: float = LEVEL) -> np.ndarray:
    """The level at which Holm's procedure judges each test, shape (m,).

    ``alpha / (m − rank)`` as long as tests are rejected, in order of ascending p; from the first test that is not rejected,
    all share its level. An interval of confidence ``1 − level`` excludes 0 exactly if Holm rejects.

    So at most a share ``alpha`` of all families has a wrong direction. That does not promise that every interval of a
    family holds, nor that no ``negligible`` in it is wrong. Measured for ten differences as large as their margins, each
    clearly detected: all intervals hold in 90 % of the families, and 6 % contain a wrong ``negligible``.

    Example:
        The least p is below 0.05 / 3; the next is above 0.05 / 2, so the procedure stops there:

        >>> holm_levels(np.array([0.01, 0.04, 0.03])).tolist()
        [0.01667, 0.025, 0.025]
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


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Benjamini & Hochberg's adjusted p values, shape (m,); NaN stays NaN and doesn't count as a test.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).tolist()  # 0.01 · 3, then the least of 0.03 · 3 / 2 and 0.04 · 3 / 3
        [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted, known = np.full(p.shape, np.nan), ~np.isnan(p)
    adjusted[known] = stats.false_discovery_control(p[known]) if known.any() else []
    return adjusted


def benjamini_hochberg_levels(p_values: np.ndarray, alpha: float = LEVEL) -> np.ndarray:
    """The level at which Benjamini & Hochberg's procedure judges each test, shape (m,): the same for all.

    ``alpha · R / m`` with R rejected of m tests (``alpha / m`` if none is): an interval of confidence ``1 − level`` excludes 0
    exactly if the procedure rejects. Of the rejected tests a share ``alpha`` is expected to be false, and of the intervals of
    the rejected ones a share ``alpha`` to miss (Benjamini & Yekutieli 2005).

    Example:
        >>> benjamini_hochberg_levels(np.array([0.01, 0.2, 0.03])).tolist()  # two are below 2 / 3 of 0.05
        [0.0333, 0.0333, 0.0333]
    """
    adjusted = benjamini_hochberg(p_values)
    known = ~np.isnan(adjusted)
    rejected = int((adjusted <= alpha).sum())
    return np.where(known, alpha * max(1, rejected) / max(1, int(known.sum())), np.nan)


def verdict(low: float, high: float, mean: float, n: int, margin: float) -> Verdict:
    """The verdict on a difference; a positive one means that the first is better (docs/protocol.md, "Verdicts").

    The first that applies: no interval: ``not tested`` (n = 0) or ``inconclusive``; every pair equal: ``identical``; the
    whole interval inside (−margin, margin): ``negligible``; above 0: ``better``; below 0: ``worse``; else ``inconclusive``.

    Example:
        >>> print(verdict(low=0.002, high=0.03, mean=0.016, n=10, margin=0.01))
        better
        >>> print(verdict(low=0.002, high=0.008, mean=0.005, n=10, margin=0.01))
        negligible
        >>> print(verdict(low=-0.02, high=0.03, mean=0.005, n=10, margin=0.01))
        inconclusive
    """
    if n == 0:
        return Verdict.NOT_TESTED
    if np.isnan(low) or np.isnan(high):
        return Verdict.INCONCLUSIVE
    if low == high == mean == 0:
        return Verdict.IDENTICAL
    if -margin < low and high < margin:
        return Verdict.NEGLIGIBLE
    if low > 0:
        return Verdict.BETTER
    if high < 0:
        return Verdict.WORSE
    return Verdict.INCONCLUSIVE
