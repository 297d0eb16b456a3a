"""When two outcomes of a trial are the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from descentlab.training.engine.member import Evaluation, Means
from descentlab.training.engine.trial_outcome import Outcome, compare, compare_counts


def outcome(loss: float, *weights: float, metric: float = 0.5) -> Outcome:
    return Outcome([np.array(weights)], [Evaluation(3, (Means(loss, metric),), 0.0)])


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e6])
def test_numbers_of_any_size_are_compared_by_their_size(scale: float) -> None:
    """A loss or a weight's movement that is off by a hundredth is another one, however small it is."""
    start = [np.array([scale, 2 * scale])]
    moved = 1.1 * scale, 2.2 * scale
    ours, theirs = outcome(scale, *moved), outcome(scale, *moved)
    assert compare(ours, theirs, start) == ""
    assert compare(outcome(1.00001 * scale, *moved), theirs, start) == ""
    assert compare(outcome(1.014 * scale, *moved), theirs, start)
    assert compare(outcome(scale, *moved, metric=0.51), theirs, start)
    assert compare(outcome(scale, 1.102 * scale, 2.2 * scale), theirs, start)
    assert compare(outcome(scale, math.nan, 2.2 * scale), theirs, start)


def test_whole_numbers_are_the_same_or_not() -> None:
    """The state of random numbers: a seed, and how many were drawn."""
    state, weight = np.array([7, 3]), np.array([0.5])
    assert compare_counts([state, weight], [state, 2 * weight]) == ""
    assert compare_counts([weight, state], [weight, np.array([7, 4])]) == "variable 1, of whole numbers, is not Keras'"
