"""One update and one evaluation of a Keras model as functions of the variables' values alone.

Nothing is written to a variable: what Keras would assign is collected by ``keras.StatelessScope`` and returned. So the same
functions serve one member, or many whose values are stacked.
"""

from __future__ import annotations

from typing import Any

from descentlab.optimizers.evaluation_weights import evaluation_weights
from descentlab.problems.base import Problem
from descentlab.training.engine.stateless_optimizer import optimizer_scope, state_variables
from descentlab.training.engine.trainable import batch_loss, training_loss, unreduced


class MemberStep:
    """What is compiled: the model in training and in inference, and the optimizer's update.

    Args:
        problem: loss and metric.
        model: whose variables the values are those of.
        called: what is called instead of the model; it has the model's variables.
    """

    def __init__(self, problem: Problem, model: Any, called: Any) -> None:
        self.model = model
        self._called = called
        self._loss = training_loss(problem.loss)
        self._each_loss = unreduced(self._loss)
        self._score = problem.metric.per_example
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
                loss = batch_loss(self._loss, self._called, x, y, sample_weight)
            gradients = tape.gradient(loss, weights)
            optimizer.apply(gradients, self.model.trainable_variables)
        return scope.values()

    def evaluated(self, optimizer: Any, values: list[Any]) -> list[Any] | None:
        """Values of the model's variables that are evaluated, where they are not those that are trained."""
        import keras

        variables = [*self.model.variables, *state_variables(optimizer)]
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            averaged = evaluation_weights(optimizer, self.model.trainable_variables)
        if averaged is None:
            return None
        found = list(values[: len(self.model.variables)])
        for place, value in zip(self._trainable, averaged, strict=True):
            found[place] = value
        return found

    def predict(self, values: list[Any], x: Any) -> Any:
        """What the model of these values gives for a batch, in inference."""
        import keras

        with keras.StatelessScope(list(zip(self.model.variables, values, strict=True))):
            return self._called(x, training=False)

    def assess(self, y: Any, predicted: Any) -> tuple[Any, Any]:
        """Loss and score of each example, both of shape (n,)."""
        import tensorflow as tf

        found = self._each_loss(y, predicted), self._score(y, predicted)
        loss, score = (tf.reduce_mean(tf.reshape(tf.cast(each, tf.float32), (y.shape[0], -1)), 1) for each in found)
        return loss, score

    def penalty(self, values: list[Any]) -> Any:
        """What the regularizers of the weights add to the loss."""
        import tensorflow as tf

        penalised = [(place, getattr(self.model.variables[place], "regularizer", None)) for place in self._trainable]
        found = [tf.reduce_sum(regularize(values[place])) for place, regularize in penalised if regularize is not None]
        return tf.add_n(found) if found else tf.constant(0.0)
