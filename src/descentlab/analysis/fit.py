"""How well the training data are fitted: the training objective at the end, apart from how well a model generalizes.

A test metric alone doesn't say why one optimizer ends better: because it descends further, or because what it finds
generalizes better (docs/protocol.md, "Contrasts").
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.paired import Estimate, estimate_difference

FIT_MARGIN = 0.1  # decades: an objective a fifth lower is as good


def log_objective(runs: pd.DataFrame) -> pd.Series:
    """Common logarithm of the training loss plus penalty at the end; NaN where it isn't positive or the run didn't finish.

    Example:
        >>> ends = {"train_loss": [0.09, 0.0, 5.0], "penalty": [0.01, 0.0, 0.0], "status": ["finished", "finished", "diverged"]}
        >>> log_objective(pd.DataFrame(ends)).tolist()
        [-1.0, nan, nan]
    """
    objective = runs["train_loss"] + runs["penalty"]
    return pd.Series(np.log10(objective.where((runs["status"] == "finished") & (objective > 0))))


def estimate_fit(first: pd.Series, second: pd.Series, choice_noise: tuple[float, float]) -> Estimate:
    """By how many decades the first's training objective ends lower: paired by seed, positive where the first fits better.

    Args:
        first, second: what :func:`log_objective` finds of final runs, indexed by seed.
        choice_noise: what tuning adds to the variance of the mean difference, and its degrees of freedom.
    """
    decades = second.reindex(first.index).to_numpy() - first.to_numpy()
    return estimate_difference(decades[~np.isnan(decades)]).with_choice(*choice_noise)
