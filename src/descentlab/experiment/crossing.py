"""Where a loss first falls to a target, between two evaluations."""

from __future__ import annotations

import numpy as np


def value_at_target(losses: np.ndarray, values: np.ndarray, target: float) -> float:
    """What ``values`` are where the loss first falls to ``target``; NaN if it never does.

    Interpolated linearly in the loss, between the first evaluation at or below the target and the one before; nothing is
    interpolated from a loss that is not finite.

    Args:
        losses: of evaluations in order, shape (evaluations,); NaN counts as above the target.
        values: at the same evaluations, such as updates or another loss.
        target: the loss to reach.

    Example:
        >>> value_at_target(np.array([2.3, 0.5, 0.1]), np.array([0, 10, 20]), target=0.3)
        15.0
    """
    reached = np.flatnonzero(losses <= target)
    if not len(reached):
        return float("nan")
    after = int(reached[0])
    if after == 0 or not np.isfinite(losses[after - 1 : after + 1]).all():
        return float(values[after])
    share = (losses[after - 1] - target) / (losses[after - 1] - losses[after])
    return float(values[after - 1] + share * (values[after] - values[after - 1]))
