"""Mean ranks over problems, with the test and the critical difference of Demšar 2006 (Friedman, Nemenyi).

Only with ten problems or more: on four, the critical difference of 18 optimizers is 13 of 17 ranks (docs/protocol.md, "Ranks").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from descentlab.analysis.statistics.intervals import LEVEL
from descentlab.analysis.statistics.resampling import leave_one_out
from descentlab.experiment.records import DECIMALS
from descentlab.problems.base import metric_sign
from descentlab.storage.tables import Column, check_table, empty_table

LEAST_PROBLEMS = 10
LEAST_OPTIMIZERS = 3  # with two, a mean rank says no more than the share of wins

RANK_COLUMNS: dict[str, Column] = {
    "arm": Column("str", "", "", "arm"),
    "optimizer": Column("str", "", "", "optimizer that all problems have"),
    "mean_rank": Column("float64", "ranks", "lower", "mean over problems; 1 = best mean test metric, ties share"),
    "least": Column("float64", "ranks", "lower", "the least mean rank if one problem is left out"),
    "most": Column("float64", "ranks", "lower", "the largest mean rank if one problem is left out"),
    "n_first": Column(
        "int64", "problems", "", "without how many of the problems, one at a time, its mean rank is the best"
    ),
    "n": Column("int64", "problems", "", "problems"),
    "n_optimizers": Column("int64", "optimizers", "", "optimizers that are ranked"),
    "friedman": Column("float64", "", "", "Friedman's chi-squared, corrected for ties"),
    "p": Column("float64", "", "", "Friedman's: that all optimizers have the same mean rank"),
    "critical_difference": Column(
        "float64", "ranks", "", "Nemenyi's: mean ranks closer than this are not distinguished"
    ),
}


def rank_means(means: pd.Series, higher_is_better: bool, complete: pd.Series, diverged: pd.Series) -> pd.Series:
    """Ranks by a mean over finished runs: 1 is best, equal means share a rank (docs/protocol.md, "Ranks").

    An optimizer with an unfinished run ranks behind all whose runs finished, whatever its finished runs say. One without a
    finished run shares the last rank if a run diverged, the worst possible result; if all failed or are missing there is
    nothing to rank, and the rank is NaN.

    Args:
        means: one entry per optimizer; NaN without a finished run.
        higher_is_better: direction of the means.
        complete: whether every planned run finished.
        diverged: whether any run diverged.

    Example:
        >>> finished, lost = pd.Series([True, True, False]), pd.Series([False, False, True])
        >>> rank_means(pd.Series([0.9, 0.95, float("nan")]), True, finished, lost).tolist()
        [2.0, 1.0, 3.0]
    """
    # Means that differ only by rounding are equal.
    goodness = (metric_sign(higher_is_better) * means).round(DECIMALS)
    complete = complete & goodness.notna()
    ahead = goodness.where(complete).rank(ascending=False, method="min")
    behind = goodness.mask(goodness.isna() & diverged, -np.inf).where(~complete).rank(ascending=False, method="min")
    return ahead.fillna(behind + complete.sum())


def critical_difference(optimizers: int, problems: int, level: float = LEVEL) -> float:
    """Nemenyi's critical difference of two mean ranks, family-wise over all pairs (Demšar 2006, section 3.2.2).

    The studentized range over the square root of 2, times the standard error of a difference of mean ranks.

    Example:
        >>> critical_difference(optimizers=5, problems=30)  # 2.728 · √(5 · 6 / (6 · 30))
        1.114
    """
    critical = float(stats.studentized_range.isf(level, optimizers, np.inf)) / np.sqrt(2)
    return float(critical * np.sqrt(optimizers * (optimizers + 1) / (6 * problems)))


def measure_ranks(summary: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Mean rank over problems of every optimizer that all of them have (columns RANK_COLUMNS), best first.

    The summary's ranks (:func:`rank_means`) are ranked again among these optimizers. One without a rank on some problem is
    left out.

    Args:
        summary: one row per problem, arm and optimizer.
        arm: the arm to rank in.

    Returns:
        Empty below ten problems or three optimizers.
    """
    arm_rows = summary[summary["arm"] == arm]
    by_problem = arm_rows.pivot(index="problem", columns="optimizer", values="rank")
    ranks = by_problem.dropna(axis="columns").rank(axis="columns", method="average")
    problems, optimizers = ranks.shape
    if problems < LEAST_PROBLEMS or optimizers < LEAST_OPTIMIZERS:
        return empty_table(RANK_COLUMNS)
    tied = bool((ranks.nunique(axis="columns") == 1).all())  # the tie correction would divide 0 by 0
    statistic, p = (0.0, 1.0) if tied else stats.friedmanchisquare(*ranks.to_numpy().T)
    values = ranks.to_numpy().T
    least, most = leave_one_out(values)
    without = (values.sum(axis=1, keepdims=True) - values).round(DECIMALS)  # sums of the ranks without each problem
    means = ranks.mean().rename("mean_rank").rename_axis("optimizer").reset_index()
    means = means.assign(least=least, most=most, n_first=(without == without.min(axis=0)).sum(axis=1))
    table = means.sort_values(["mean_rank", "optimizer"]).assign(
        arm=arm,
        n=problems,
        n_optimizers=optimizers,
        friedman=float(statistic),
        p=float(p),
        critical_difference=critical_difference(optimizers, problems),
    )
    return check_table(table.reset_index(drop=True), RANK_COLUMNS, "ranks")


def alike(mean_ranks: Sequence[float], least: float) -> list[tuple[int, int]]:
    """The groups of two or more whose mean ranks all lie closer than ``least``: the bars of a critical-difference diagram.

    Args:
        mean_ranks: ascending, shape (k,).
        least: the critical difference.

    Returns:
        First and last position of each group, none inside another.

    Example:
        >>> alike([1.0, 1.5, 2.2, 4.0], least=1.0)
        [(0, 1), (1, 2)]
    """
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(mean_ranks):
        last = max(i for i, later in enumerate(mean_ranks) if i >= first and (i == first or later - rank < least))
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups
