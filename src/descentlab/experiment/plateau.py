"""The learning rates that are as good as the best: what the tuned arm chooses the middle of (docs/protocol.md, "Selection")."""

from __future__ import annotations

import numpy as np

from descentlab.experiment.records import DECIMALS


def plateau(goodness: np.ndarray, loss: np.ndarray, margin: float) -> tuple[int, int] | None:
    """The first and the last of the contiguous learning rates around the best that are within the margin of it.

    Args:
        goodness: mean score by learning rate, ascending, higher is better, shape (points,); NaN where a seed didn't finish.
        loss: mean loss, same shape; the lower one decides between equally good scores.
        margin: in the score's unit. Scores that differ only by rounding are equal.

    Returns:
        Two positions, which may be the same; None if no rate finished with every seed.

    Example:
        >>> plateau(np.array([0.5, 0.89, 0.9, 0.89, np.nan]), np.ones(5), margin=0.01)
        (1, 3)
    """
    scores = np.round(goodness, DECIMALS)
    if np.isnan(scores).all():
        return None
    best = int(np.lexsort((np.round(loss, DECIMALS), -scores))[0])  # NaN sorts last
    good = scores >= round(scores[best] - margin, DECIMALS)
    first = last = best
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(good) - 1 and good[last + 1]:
        last += 1
    return first, last


def middle(ends: tuple[int, int]) -> int:
    """The position in the middle of a plateau; of two the lower, which is farther from divergence.

    Example:
        >>> middle((1, 3)), middle((1, 4))
        (2, 2)
    """
    return sum(ends) // 2
