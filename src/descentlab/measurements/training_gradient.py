"""The gradient of a problem's training loss: what operations are counted of, and what traits are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from descentlab.measurements.attempt import NotMeasurableError
from descentlab.problems.base import Data, Problem
from descentlab.training.engine.class_weight import for_training
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.trainable import for_keras, overrides


class TrainingGradient:
    """The gradient of a problem's loss as a training step computes it, with every weight of outputs, classes and examples.

    Args:
        problem: its models are built.
        data: all examples.
        initial: values of ``model.variables``.

    Raises:
        NotMeasurableError: only the model's own training step knows its gradients.
    """

    def __init__(self, problem: Problem, data: Data, initial: Sequence[np.ndarray]) -> None:
        compiled = KerasModel(problem, None, problem.batch_size)
        compiled.assign(initial)
        self.model = compiled.model
        if overrides(self.model, "train_step"):
            raise NotMeasurableError("the model has its own train_step, and only that knows its gradients")
        self._data = for_training(problem, data)

    @property
    def weights(self) -> list[Any]:
        """The trainable variables."""
        return list(self.model.trainable_variables)

    def batch(self, index: np.ndarray) -> tuple[Any, ...]:
        """Inputs, targets and any weights of the examples of ``index``, as tensors."""
        return tuple(part for part in for_keras(self._data.rows(index).fields()) if part is not None)

    def loss(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        """The loss of a batch, a scalar."""
        return self.model.compute_loss(x, y, self.model(x, training=True), sample_weight)

    def __call__(self, *batch: Any) -> list[Any]:
        """The gradient for each weight: a tensor, rows of one (``tf.IndexedSlices``), or None where the loss has none."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self.loss(*batch)
        return list(tape.gradient(loss, [weight.value for weight in self.weights]))
