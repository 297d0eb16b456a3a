"""One update and one evaluation of a Keras model as pure functions of the variables' values.

No variable is written to: ``keras.StatelessScope`` collects what Keras would assign, and it is returned. So the same
functions serve one member, or many whose values are stacked.
"""

from __future__ import annotations

from typing import Any

from descentlab.optimizers.evaluation_weights import evaluation_weights
from descentlab.problems.base import Problem
from descentlab.training.engine.example_loss import example_loss
from descentlab.training.engine.example_metric import example_metric
from descentlab.training.engine.stateless_optimizer import optimizer_scope, state_variables
from descentlab.training.engine.trainable import weight_penalty


class MemberStep:
    """The functions that are compiled: the model in training and in inference, and the optimizer's update.

    Args:
        problem: has the loss and the metric.
        model: the model whose variables the values belong to.
        called: called in place of the model; it has the model's variables.
    """

    def __init__(self, problem: Problem, model: Any, called: Any) -> None:
        self.model = model
        self._called = called
        self._example_loss = None if problem.loss is None else example_loss(problem.loss)
        scores = [example_metric(metric) for metric in (problem.metric, *problem.metrics)]
        self._scores = [score for score in scores if score is not None]  # without one, Keras evaluates
        self._trainable = [
            place
            for place, variable in enumerate(model.variables)
            if any(variable is weight for weight in model.trainable_variables)
        ]

    def update(
        self, optimizer: Any, values: list[Any], rate: Any, x: Any, y: Any, sample_weight: Any = None
    ) -> list[Any]:
        """Values of the model's and the optimizer's variables after one update.

        Args:
            values: in the order of ``model.variables`` and then of :func:`state_variables`.
            rate: the learning rate, or None for an optimizer without one.
            x, y, sample_weight: one batch.
        """
        import tensorflow as tf

        variables = [*self.model.variables, *state_variables(optimizer)]
        weights = [values[place] for place in self._trainable]
        with optimizer_scope(optimizer, variables, values) as scope:
            if rate is not None:
                optimizer.learning_rate.assign(rate)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                y_pred = self._called(x, training=True)
                loss = self.model.compute_loss(x, y, y_pred, sample_weight, training=True)
                loss = optimizer.scale_loss(loss)
            optimizer.apply(tape.gradient(loss, weights), self.model.trainable_variables)
        return scope.values()

    def evaluated(self, optimizer: Any, values: list[Any]) -> list[Any] | None:
        """The values of the model's variables to evaluate; None if they are simply the trained ones."""
        import keras

        variables = [*self.model.variables, *state_variables(optimizer)]
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            averaged = evaluation_weights(optimizer, self.model.trainable_variables)
        if averaged is None:
            return None
        evaluated_values = list(values[: len(self.model.variables)])
        for place, value in zip(self._trainable, averaged, strict=True):
            evaluated_values[place] = value
        return evaluated_values

    def predict(self, values: list[Any], x: Any) -> Any:
        """The model's predictions for a batch with these values, in inference."""
        import keras

        with keras.StatelessScope(list(zip(self.model.variables, values, strict=True))):
            return self._called(x, training=False)

    def assess(self, predicted: Any, y: Any, sample_weight: Any = None) -> list[Any]:
        """Loss, weighted where there are sample weights, and every metric of each example, all of shape (n,)."""
        import tensorflow as tf

        assert self._example_loss is not None  # else Keras evaluates
        raw = [self._example_loss(y, predicted, sample_weight), *(score(y, predicted) for score in self._scores)]
        return [tf.reduce_mean(tf.reshape(tf.cast(part, tf.float32), (y.shape[0], -1)), 1) for part in raw]

    def penalty(self, values: list[Any]) -> Any:
        """The penalty that the weights' regularizers add to the loss."""
        return weight_penalty(self.model.trainable_variables, [values[place] for place in self._trainable])
