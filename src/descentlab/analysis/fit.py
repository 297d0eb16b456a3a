"""How well the training data are fitted: the training objective at the end, apart from how well a model generalizes.

A test metric alone doesn't say why one optimizer ends better: because it descends further, or because what it finds
generalizes better (docs/protocol.md, "Contrasts").
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.pair_test import PairTest

FIT_MARGIN = 0.1  # decades: an objective a fifth lower is as good


def log_objective(runs: pd.DataFrame) -> pd.Series:
    """Common logarithm of the training loss plus penalty at the end.

    A run that diverged has the worst fit, inf; one that ends at exactly 0 the best, −inf. NaN where a run failed or is missing,
    and where the objective is negative.

    Example:
        >>> ends = {"train_loss": [0.09, 0.0, 5.0], "penalty": [0.01, 0.0, 0.0], "status": ["finished", "finished", "diverged"]}
        >>> log_objective(pd.DataFrame(ends)).tolist()
        [-1.0, -inf, inf]
    """
    objective = (runs["train_loss"] + runs["penalty"]).where(runs["status"] == "finished")
    with np.errstate(divide="ignore"):
        decades = np.log10(objective.where(objective >= 0))
    return pd.Series(decades.mask(runs["status"] == "diverged", np.inf))


def compare_fit(first: pd.Series, second: pd.Series, choice_noise: tuple[float, float]) -> PairTest:
    """By how many decades the first's training objective ends lower: paired by seed, positive where the first fits better.

    Pairs of which neither has a logarithm, such as two runs that diverged, are no evidence.

    Args:
        first, second: what :func:`log_objective` finds of final runs, indexed by seed.
        choice_noise: what tuning adds to the variance of the mean difference, and its degrees of freedom.
    """
    ours, theirs = first.to_numpy(), second.reindex(first.index).to_numpy()
    with np.errstate(invalid="ignore"):
        decades = np.where((ours == theirs) & (ours < 0), 0.0, theirs - ours)  # both at exactly 0 are level
    return PairTest.of(decades[~np.isnan(decades)], FIT_MARGIN, choice_noise)
