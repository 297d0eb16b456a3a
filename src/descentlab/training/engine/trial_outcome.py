"""What a way of training makes of a trial's updates, and how it differs from what Keras makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from descentlab.training.engine.member import Evaluation

# Two ways of computing the same update differ by float32's rounding; a mask, a mean or a random number that is not the same
# differs by a hundredth or more.
TOLERANCE = 1e-3
# A weight may differ by more where the input of a ReLU is 0 within rounding, and its gradient jumps: a channel of a ResNet by
# 0.5 % of its movement in three updates.
WEIGHT_TOLERANCE = 3e-3
ROUNDING = 1e-5


@dataclass(frozen=True)
class Outcome:
    """What a way of training made of the trial's updates.

    Attributes:
        weights: values of ``model.variables`` at the end.
        evaluations: before, after the first update, and at the end.
    """

    weights: list[np.ndarray]
    evaluations: list[Evaluation]


def compare(outcome: Outcome, expected: Outcome, initial: Sequence[np.ndarray], beside: Sequence[str] = ()) -> str:
    """How an outcome differs from Keras' by more than rounding; empty if it doesn't.

    Args:
        outcome, expected: ours and Keras'.
        initial: the weights before the updates, by whose movement a difference is measured.
        beside: names of what is recorded beside the loss and the metric.
    """
    return (
        compare_values(outcome.evaluations, expected.evaluations, beside)
        or compare_counts(outcome.weights, expected.weights)
        or compare_weights(outcome.weights, expected.weights, initial)
    )


def compare_values(ours: Sequence[Evaluation], by_keras: Sequence[Evaluation], beside: Sequence[str] = ()) -> str:
    """How evaluations differ from Keras'; empty if they don't."""
    expected_values = np.abs([values_of(evaluation) for evaluation in by_keras])
    # Where training diverges within the trial, by the values before: beside an infinite one any would be rounding.
    sizes = expected_values.max(axis=(0, 1), initial=0, where=np.isfinite(expected_values))
    for evaluation, expected in zip(ours, by_keras, strict=True):
        for both in zip(values_of(evaluation), values_of(expected), strict=True):
            for what, size, first, second in zip(("loss", "metric", *beside), sizes, *both, strict=True):
                if not np.isclose(first, second, TOLERANCE, ROUNDING * size, equal_nan=True):
                    return f"{what} {first:.6g} after {evaluation.updates} updates, {second:.6g} by Keras"
    return ""


def compare_counts(ours: Sequence[np.ndarray], by_keras: Sequence[np.ndarray]) -> str:
    """Which variable of whole numbers, such as the state of random numbers, isn't Keras'; empty if each is."""
    for place, (values, expected) in enumerate(zip(ours, by_keras, strict=True)):
        if expected.dtype.kind in "biu" and not np.array_equal(values, expected):
            return f"variable {place}, of whole numbers, is not Keras'"
    return ""


def compare_weights(ours: Sequence[np.ndarray], by_keras: Sequence[np.ndarray], initial: Sequence[np.ndarray]) -> str:
    """How weights differ from Keras' by more than a share of their movement; empty if they don't.

    Where Keras' are infinite or NaN, so must ours be.
    """
    moved = [gap_between(start, expected) for expected, start in zip(by_keras, initial, strict=True)]
    for place, (weight, expected) in enumerate(zip(ours, by_keras, strict=True)):
        if expected.dtype.kind == "f":
            # A weight whose gradient is 0 but for rounding moves at random, by far less than the others.
            size = gap_between(np.zeros_like(expected), expected)
            rounding = 10 * np.finfo(np.float32).eps * size + ROUNDING * max(moved)
            gap = gap_between(weight, expected)
            diverged = ~np.isfinite(expected)
            alike = np.array_equal(weight[diverged], expected[diverged], equal_nan=True)
            if not (alike and gap <= WEIGHT_TOLERANCE * moved[place] + rounding):
                return f"variable {place} is {gap:.2g} from Keras' after the updates; it moved by {moved[place]:.2g}"
    return ""


def gap_between(values: np.ndarray, expected: np.ndarray) -> float:
    """Root mean square of ``expected - values``, as 0 where ``expected`` is infinite or NaN; 0 of whole numbers."""
    if expected.dtype.kind != "f" or not expected.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        gaps = np.where(np.isfinite(expected), expected - values, 0)
    return float(np.sqrt(np.mean(np.square(gaps, dtype=np.float64))))


def values_of(evaluation: Evaluation) -> list[tuple[float, ...]]:
    """Loss with the weights' penalty, metric and what is recorded beside them, for each part that was evaluated."""
    return [(means.loss + evaluation.penalty, means.metric, *means.beside) for means in evaluation.means]
