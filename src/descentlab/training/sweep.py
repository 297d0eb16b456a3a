"""Which learning rate the robustness sweep tries next."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

MOST_STEPS = 8  # half-decades from the chosen rate, each way


def next_step(goodness: Mapping[float, np.ndarray], chosen: int, margin: float) -> float | None:
    """The step to try next, or None once both ends are reached (or lie 4 decades away) and refined by half a step.

    An end is reached once a seed has diverged there, or the mean over seeds has left the margin of the best mean so far. The
    best can only rise, so an end stays reached.

    Args:
        goodness: scores by step (half-decades from the grid's center), higher is better, NaN where a seed diverged; each
            of shape (seeds,). Whole steps are contiguous.
        chosen: the step of the chosen rate.
        margin: the margin, in the score's unit.
    """
    if not goodness:
        return chosen
    means = {step: -math.inf if np.isnan(scores).any() else float(scores.mean()) for step, scores in goodness.items()}
    least = max(means.values()) - margin
    for direction in (-1, 1):
        end = (min if direction < 0 else max)(means)
        if abs(end - chosen) >= MOST_STEPS:
            continue
        # If an end is the chosen rate itself, go at least one step.
        if end == chosen or is_good(means[end], least):
            return end + direction
    within = [step for step, mean in means.items() if step == int(step) and is_good(mean, least)]
    for direction in (-1, 1) if within else ():
        last = (min if direction < 0 else max)(within)
        if last + direction in means and last + direction / 2 not in means:
            return last + direction / 2
    return None


def is_good(mean: float, least: float) -> bool:
    """Whether a rate finished and is as good as the best, within the margin."""
    return math.isfinite(mean) and mean >= least
