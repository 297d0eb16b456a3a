"""One training as a trainer takes it, and what a trainer finds at an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np


class Means(NamedTuple):
    """Mean loss, without the penalty on the weights, metric, and what the problem records beside them, over some examples."""

    loss: float
    metric: float
    beside: tuple[float, ...] = ()


@dataclass(frozen=True)
class Member:
    """One training.

    Attributes:
        initial: values of ``model.variables``.
        order: int32 (rows, batch size): row ``update % rows`` holds the examples of an update.
        rates: float32 (updates,): the learning rate of each update; those to come may change at an evaluation.
        parts: indices of the examples to evaluate, each part by itself, shape (n,) each.
        last_parts: likewise for the last evaluation; None if they are the same.
        seed: of random numbers that no variable of the model decides.
        scored: whether the scores of the last part's examples are wanted in the end, for a metric that is no mean over examples.
    """

    initial: list[np.ndarray]
    order: np.ndarray
    rates: np.ndarray
    parts: tuple[np.ndarray, ...]
    last_parts: tuple[np.ndarray, ...] | None = None
    seed: int = 0
    scored: bool = False

    def evaluated_parts(self, last: bool) -> tuple[np.ndarray, ...]:
        """The parts of an evaluation, which may be the last."""
        return self.last_parts if last and self.last_parts is not None else self.parts


@dataclass(frozen=True)
class Evaluation:
    """What a trainer finds after some updates.

    Attributes:
        updates: done so far.
        means: one for each part of the member: what ``model.evaluate`` gives for it, the loss without ``penalty``.
        penalty: what the weights' regularizers add to every loss.
        loss, score: of each example, shape (n,), part after part. Where the loss or the metric is no mean over examples, no
            losses, and in the end those of the last part's groups of examples
            (:meth:`~descentlab.training.engine.keras_model.KerasModel.group_scores`), if the member asks for them.
        train_seconds, evaluation_seconds: wall time so far, divided by the number of members that shared it.
    """

    updates: int
    means: tuple[Means, ...]
    penalty: float
    loss: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    score: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0

    def timed(self, train_seconds: float, evaluation_seconds: float) -> Evaluation:
        """The same with these clocks."""
        return replace(self, train_seconds=train_seconds, evaluation_seconds=evaluation_seconds)
