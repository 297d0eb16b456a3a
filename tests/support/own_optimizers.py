"""Optimizers as readers write them: with states, averages and wrappers that Keras' own don't have."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf


@functools.cache
def only_one() -> Any:
    return keras.optimizers.SGD(0.1, momentum=0.9)


def shared(learning_rate: float = 0.1) -> Any:
    """The same object at every call."""
    only_one().learning_rate = learning_rate
    return only_one()


class Scaled(keras.optimizers.SGD):
    """Takes an argument that its config lacks, as most people write it."""

    def __init__(self, learning_rate: float = 0.01, factor: float = 1.0, **settings: Any) -> None:
        super().__init__(learning_rate, **settings)
        self.factor = factor


@functools.cache
def only_scaled() -> Any:
    return Scaled(factor=10.0)


@functools.cache
def only_excluding() -> Any:
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def shared_scaled(learning_rate: float = 0.01) -> Any:
    return only_scaled()


def shared_excluding(learning_rate: float = 0.01) -> Any:
    return only_excluding()


class Wrapper(keras.optimizers.SGD):
    """Holds another optimizer."""

    def __init__(self, inner: Any, learning_rate: float = 0.01) -> None:
        super().__init__(learning_rate)
        self.inner = inner


def shared_inner(learning_rate: float = 0.01) -> Any:
    return Wrapper(only_one(), learning_rate)


def averaged(learning_rate: float = 0.01) -> Any:
    return keras.optimizers.Adam(learning_rate, use_ema=True, ema_momentum=0.8)


def accumulated(learning_rate: float = 0.01) -> Any:
    return keras.optimizers.SGD(learning_rate, gradient_accumulation_steps=2)


def clipped(learning_rate: float = 0.01) -> Any:
    return keras.optimizers.RMSprop(learning_rate, global_clipnorm=0.05)


def clipped_by_variable(learning_rate: float = 0.01) -> Any:
    return keras.optimizers.SGD(learning_rate, clipnorm=0.01)


def scaled_loss(learning_rate: float = 0.01) -> Any:
    return keras.optimizers.SGD(learning_rate, loss_scale_factor=128.0)


def clipped_by_value(learning_rate: float = 0.01) -> Any:
    return keras.optimizers.Adam(learning_rate, clipvalue=0.01)


def averaged_often(learning_rate: float = 0.01) -> Any:
    """Every other update, the weights become their average."""
    return keras.optimizers.SGD(learning_rate, use_ema=True, ema_momentum=0.6, ema_overwrite_frequency=2)


def excluding(learning_rate: float = 0.01) -> Any:
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=10.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def scheduled(learning_rate: float = 0.1) -> Any:
    return keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(learning_rate, 2, 0.5))


def grouped() -> Any:
    """A rate for kernels, another for everything else."""
    rates = keras.optimizers.OptimizerMap(default_optimizer=keras.optimizers.SGD(0.05))
    rates[".*kernel"] = keras.optimizers.Adam(0.01)
    return keras.optimizers.MultiOptimizer(rates)


class Counting(keras.optimizers.SGD):
    """SGD with a variable of TensorFlow, so that Keras' own step trains with it."""

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.steps = tf.Variable(0.0)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        self.steps.assign_add(1.0)
        super().apply(grads, trainable_variables)


class Counted(Counting):
    """Slower with every step that it counts."""

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        super().apply([gradient / (self.steps + 1) for gradient in grads], trainable_variables)


class Noisy(keras.optimizers.SGD):
    """Adds noise from a generator of its own."""

    def __init__(self, learning_rate: float = 0.01, **more: Any) -> None:
        super().__init__(learning_rate, **more)
        self.generator = keras.random.SeedGenerator(5)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        noise = keras.random.normal(variable.shape, seed=self.generator)
        super().update_step(gradient + noise, variable, learning_rate)


class Signs(keras.optimizers.Optimizer):
    """Moves by the sign of an average of gradients, written with TensorFlow's own operations."""

    def __init__(self, learning_rate: float = 0.01, **more: Any) -> None:
        super().__init__(learning_rate=learning_rate, **more)

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.averages = {"m": [self.add_variable_from_reference(variable, "m") for variable in variables]}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        average = self.averages["m"][self._get_variable_index(variable)]
        average.assign(0.9 * average + 0.1 * tf.convert_to_tensor(gradient))
        variable.assign_sub(tf.cast(learning_rate, variable.dtype) * tf.sign(tf.convert_to_tensor(average)))
