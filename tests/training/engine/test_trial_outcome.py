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


@pytest.mark.parametrize("end", [math.inf, -math.inf, math.nan])
def test_an_end_without_bounds_excuses_nothing_else(end: float) -> None:
    """A trial may diverge: what Keras' step makes infinite must be, and all else is compared as ever."""
    start = [np.array([1.0, 2.0]), np.array([3.0])]

    def diverging(first: float, last: float, *weights: float) -> Outcome:
        evaluations = [Evaluation(n, (Means(loss, 0.5),), 0.0) for n, loss in enumerate((first, last))]
        return Outcome([np.array(weights[:2]), np.array(weights[2:])], evaluations)

    theirs = diverging(1.0, end, 1.1, end, 3.3)
    assert compare(diverging(1.0, end, 1.1, end, 3.3), theirs, start) == ""
    assert compare(diverging(1.00001, end, 1.1, end, 3.3), theirs, start) == ""
    assert compare(diverging(1.02, end, 1.1, end, 3.3), theirs, start)
    assert compare(diverging(1.0, 2.0, 1.1, end, 3.3), theirs, start)
    assert compare(diverging(1.0, end, 1.2, end, 3.3), theirs, start)
    assert compare(diverging(1.0, end, 1.1, 2.2, 3.3), theirs, start)
    assert compare(diverging(1.0, end, 1.1, end, 3.5), theirs, start)


def test_whole_numbers_are_the_same_or_not() -> None:
    """The state of random numbers: a seed, and how many were drawn."""
    state, weight = np.array([7, 3]), np.array([0.5])
    assert compare_counts([state, weight], [state, 2 * weight]) == ""
    assert compare_counts([weight, state], [weight, np.array([7, 4])]) == "variable 1, of whole numbers, is not Keras'"
