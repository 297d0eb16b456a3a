"""The robustness sweep: how far from its best value a learning rate may be (protocol, section 2).

From the chosen rate outwards in half-decades, first down, then up, until no seed's score is within the margin of its best;
then once in the middle of the last half-decade either way. A score that falls off a cliff (or diverges) somewhere between
two rates is taken to fall at the nearer one, and the optimizer whose range ends so would seem too narrow by as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

MOST_STEPS = 8  # half-decades from the chosen rate, each way


def next_step(goodness: Mapping[float, np.ndarray], chosen: int, margin: float) -> float | None:
    """The half-decade to try next, or None where both ends were reached (or lie 4 decades away) and halved.

    An end is reached where every seed's score has left the margin of that seed's own best so far, or has diverged. The best
    can only rise, so an end that was reached stays so.

    Args:
        goodness: scores by step (half-decades from the grid's centre), higher is better, NaN where a seed diverged; each
            of shape (seeds,). Whole steps are contiguous.
        chosen: the step of the chosen rate.
        margin: in the score's unit.
    """
    if not goodness:
        return chosen
    tried = np.stack(list(goodness.values()))
    best = np.where(np.isnan(tried), -math.inf, tried).max(axis=0)
    for direction in (-1, 1):
        end = (min if direction < 0 else max)(goodness)
        if abs(end - chosen) >= MOST_STEPS:
            continue
        # From an end at the chosen rate itself, at least one step either way.
        if end == chosen or (goodness[end] >= best - margin).any():
            return end + direction
    within = [step for step, scores in goodness.items() if step == int(step) and (scores >= best - margin).any()]
    for direction in (-1, 1) if within else ():
        last = (min if direction < 0 else max)(within)
        if last + direction in goodness and last + direction / 2 not in goodness:
            return last + direction / 2
    return None
