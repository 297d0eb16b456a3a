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
    first, last = find_plateaus(goodness[None], loss[None], margin)[0]
    return None if first < 0 else (int(first), int(last))


def find_plateaus(goodness: np.ndarray, loss: np.ndarray, margin: float) -> np.ndarray:
    """:func:`plateau` of many curves at once.

    Args:
        goodness, loss: as there, shape (curves, points).
        margin: as there.

    Returns:
        The two positions by curve, shape (curves, 2); −1 where there is none.
    """
    scores, positions = np.round(goodness, DECIMALS), np.arange(goodness.shape[1])
    best = np.lexsort((np.round(loss, DECIMALS), -scores))[:, :1]  # NaN sorts last
    bad = ~(scores >= np.round(np.take_along_axis(scores, best, 1) - margin, DECIMALS))
    first = np.where(bad & (positions < best), positions + 1, 0).max(axis=1)
    last = np.where(bad & (positions > best), positions - 1, positions[-1]).min(axis=1)
    changes = (scores != np.roll(scores, -1, axis=1)) | (loss != np.roll(loss, -1, axis=1))  # from one to the next
    steps = changes & (positions >= first[:, None]) & (positions < last[:, None])
    center = (first + last) // 2  # of one rate, or of some that change nothing
    ends = np.where(
        steps.any(axis=1),
        [steps.argmax(axis=1), len(positions) - steps[:, ::-1].argmax(axis=1)],
        [center, center],
    )
    return np.where(np.isnan(scores).all(axis=1), -1, ends).T


def middle(ends: tuple[int, int]) -> int:
    """The position in the middle of a plateau; of two the lower, which is farther from divergence.

    Example:
        >>> middle((1, 3)), middle((1, 4))
        (2, 2)
    """
    return sum(ends) // 2
