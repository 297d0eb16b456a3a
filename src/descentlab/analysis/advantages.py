"""When does Adam beat plain SGD? Its advantage on each problem beside the problem's traits (docs/protocol.md, "When").

The rule is fixed before any run: a trait goes with the advantage if the rank correlation over the problems has an interval that
excludes 0, at 95 % for all traits together, and there are LEAST_PROBLEMS problems. Below that nothing is said.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from descentlab.analysis.statistics.intervals import LEVEL
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.experiment.plan import Plan
from descentlab.experiment.traits import TRAITS
from descentlab.optimizers.roles import ADAM, PLAIN
from descentlab.storage.tables import Column, check_table

LEAST_PROBLEMS = 15

ADVANTAGE_COLUMNS: dict[str, Column] = {
    "problem": Column("str", "", "", "problem"),
    "arm": Column("str", "", "", "arm"),
    "advantage": Column(
        "float64", "margins", "higher", "mean paired difference of test goodness, Adam − plain SGD; NaN without pairs"
    ),
    "low": Column("float64", "margins", "higher", "interval at its level in its family"),
    "high": Column("float64", "margins", "higher", "likewise"),
    "n": Column("int64", "runs", "", "pairs of seeds"),
    "verdict": Column("str", "", "", "a Verdict"),
    **TRAITS,
}
ASSOCIATION_COLUMNS: dict[str, Column] = {
    "arm": Column("str", "", "", "arm"),
    "trait": Column("str", "", "", "trait"),
    "correlation": Column("float64", "", "", "Spearman's rank correlation of trait and advantage over problems"),
    "low": Column("float64", "", "", "its interval at 95 % for all traits together"),
    "high": Column("float64", "", "", "likewise"),
    "least": Column("float64", "", "", "the least correlation if one problem is left out"),
    "most": Column("float64", "", "", "the largest correlation if one problem is left out"),
    "n": Column("int64", "problems", "", "problems that have the trait measured and the pair tested"),
}


def measure_advantages(plan: Plan, contrasts: pd.DataFrame, traits: pd.DataFrame) -> pd.DataFrame:
    """Adam's advantage over plain SGD, and each problem's traits.

    Args:
        plan: the experiment's plan.
        contrasts: of the comparison.
        traits: of :mod:`~descentlab.measurements.traits`; may be empty.

    Returns:
        A table of ADVANTAGE_COLUMNS, one row per (arm, problem) that has both optimizers.
    """
    both = contrasts[(contrasts["first"] == ADAM) & (contrasts["second"] == PLAIN)]
    scaled = both.assign(
        advantage=both["difference_mean"] / both["margin"],
        low=both["low_corrected"] / both["margin"],
        high=both["high_corrected"] / both["margin"],
    )
    known = traits.set_index("problem") if len(traits) else pd.DataFrame(columns=list(TRAITS), dtype=float)
    for trait in TRAITS:
        scaled[trait] = scaled["problem"].map(known[trait]).astype(float)
    return check_table(scaled[list(ADVANTAGE_COLUMNS)].reset_index(drop=True), ADVANTAGE_COLUMNS, "advantages")


def rank_correlation(first: np.ndarray, second: np.ndarray, level: float) -> tuple[float, float, float]:
    """Spearman's correlation and its interval by Fisher's transformation.

    The standard error is that of Bonett & Wright 2000, √((1 + ρ² / 2) / (n − 3)), as ranks are no normal variables.

    Args:
        first, second: shape (n,), n > 3, neither constant.
        level: of the two-sided interval.

    Returns:
        The correlation, and the interval's ends.

    Example:
        >>> rank_correlation(np.arange(20.0), np.arange(20.0) ** 3, 0.05)[0]
        1.0
    """
    rho = float(rank_correlations(first[None], second[None])[0])
    within = float(np.clip(rho, -0.999999, 0.999999))  # a perfect order has no finite transform
    error = np.sqrt((1 + within**2 / 2) / (len(first) - 3))
    half = float(stats.norm.isf(level / 2)) * error
    return rho, float(np.tanh(np.arctanh(within) - half)), float(np.tanh(np.arctanh(within) + half))


def rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row of ``first`` and ``second``, shape (k, n), as shape (k,); NaN where one is constant.

    Example:
        >>> rank_correlations(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 8.0, 27.0]])).tolist()
        [1.0]
    """
    ranks = [stats.rankdata(side, axis=1) for side in (first, second)]
    x, y = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        return np.asarray((x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)))


def ordered_advantage(advantages: pd.DataFrame) -> pd.Series:
    """The advantage as it is ranked: a verdict without a difference, where one side diverged, is beyond all others."""
    beyond = advantages["verdict"].map({Verdict.BETTER: np.inf, Verdict.WORSE: -np.inf}).astype(float)
    return advantages["advantage"].fillna(beyond)


def associate_traits(advantages: pd.DataFrame) -> pd.DataFrame:
    """Which traits go with Adam's advantage, arm by arm.

    Args:
        advantages: from :func:`measure_advantages`.

    Returns:
        A table of ASSOCIATION_COLUMNS, one row for each trait that is known of LEAST_PROBLEMS problems and is not the same for
        all of them.
    """
    rows = []
    for arm, group in advantages.groupby("arm", sort=False):
        ordered = ordered_advantage(group)
        known = {trait: group[trait].notna() & ordered.notna() for trait in TRAITS}
        tested = [
            trait
            for trait, here in known.items()
            if here.sum() >= LEAST_PROBLEMS and group.loc[here, trait].nunique() > 1 and ordered[here].nunique() > 1
        ]
        for trait in tested:
            here = known[trait]
            values, gains = group.loc[here, trait].to_numpy(), ordered[here].to_numpy()
            rho, low, high = rank_correlation(gains, values, LEVEL / len(tested))
            # NaN where all the rest have the same trait, so that the trait rests on one problem alone.
            kept = np.array([np.delete(np.arange(len(values)), left_out) for left_out in range(len(values))])
            others = rank_correlations(gains[kept], values[kept])
            about = {"arm": arm, "trait": trait, "correlation": rho, "low": low, "high": high, "n": len(values)}
            rows.append({**about, "least": float(others.min()), "most": float(others.max())})
    return check_table(pd.DataFrame(rows, columns=list(ASSOCIATION_COLUMNS)), ASSOCIATION_COLUMNS, "associations")
