"""Problems of readers that can't be trained, each for another reason, and one that only Keras' own step trains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from descentlab.problems.base import Data, Problem
from models.zoo.data import ABSOLUTE_ERROR, build_regressor, load_line, small


class Narrow(layers.Layer):
    """Takes seven features; the data have five."""

    def call(self, x: Any) -> Any:
        return x - tf.ones((1, 7))


class Pair(keras.Model):
    """Compiled with two optimizers, as the GANs of Keras' examples are."""

    def compile(self, g_optimizer: Any, d_optimizer: Any) -> None:
        super().compile()
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer


def load_dataset(path: str | None) -> Data:
    """As ``fit`` takes it."""
    data = load_line(path)
    return Data(tf.data.Dataset.from_tensor_slices((data.x, data.y)).batch(8), None)


def load_missing(path: str | None) -> Data:
    """A column that isn't there."""
    return Data(load_line(path).x, {}["age"])


def load_ragged(path: str | None) -> Data:
    """Texts of different lengths."""
    return Data([[1, 2], [3]] * 40, load_line(path).y)


def build_narrow() -> keras.Model:
    """Built on the data, as it doesn't say its input."""
    return keras.Sequential([Narrow(), layers.Dense(1)])


def build_pair() -> keras.Model:
    x = keras.Input((5,))
    return Pair(x, layers.Dense(1)(x))


def build_half_precision() -> keras.Model:
    """All of it in float16, but for the output; the policy of other models stays."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return keras.Sequential([keras.Input((5,)), layers.Dense(8, "relu"), layers.Dense(1, dtype="float32")])
    finally:
        keras.config.set_dtype_policy(policy)


def on_line(name: str, **changes: Any) -> Problem:
    """The regression of the zoo with other parts."""
    whole = small(name, name, build_regressor, load_line, "mse", ABSOLUTE_ERROR)
    return replace(whole, **changes)


def own_metric(y: Any, y_pred: Any) -> Any:
    raise ArithmeticError("no metric\ntoday")


UNKNOWN_LOSS = on_line("unknown_loss", loss="msee")
RAISING_METRIC = on_line("raising_metric", metric=replace(ABSOLUTE_ERROR, per_example=own_metric))
DATASET = on_line("dataset", load_data=load_dataset)
MISSING = on_line("missing", load_data=load_missing)
RAGGED = on_line("ragged", load_data=load_ragged)
NARROW = on_line("narrow", build_model=build_narrow)
PAIR = on_line("pair", build_model=build_pair)
HALF_PRECISION = on_line("half_precision", build_model=build_half_precision)
