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
        Two positions, which may be the same; None if no rate finished with every seed. Rates at the ends that change nothing,
        neither score nor loss, count as one: Adafactor, say, caps its rate, so that a grid would grow without end.

    Example:
        >>> plateau(np.array([0.5, 0.89, 0.9, 0.89, np.nan]), np.array([3.0, 1.2, 1.0, 1.1, np.nan]), margin=0.01)
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

    def same(one: int, other: int) -> bool:
        return bool(scores[one] == scores[other] and loss[one] == loss[other])

    steps = [i for i in range(first, last) if not same(i, i + 1)]
    if not steps:  # one rate, or none that changes anything
        return middle((first, last)), middle((first, last))
    return steps[0], steps[-1] + 1


def middle(ends: tuple[int, int]) -> int:
    """The position in the middle of a plateau; of two the lower, which is farther from divergence.

    Example:
        >>> middle((1, 3)), middle((1, 4))
        (2, 2)
    """
    return sum(ends) // 2
