"""A functional model of two inputs with everything that a dense Sequential lacks, as a problem."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data, Metric, Problem

TOLERANCE = 1e-5


L2 = 0.02


def functional_model(inputs: str, dropout: float = 0.3) -> Any:
    import keras

    first, second = keras.Input((3,), name="first"), keras.Input((2,), name="second")
    hidden = keras.layers.Dense(6, use_bias=False, kernel_regularizer=keras.regularizers.L2(L2))(first)
    hidden = keras.layers.Activation("relu")(keras.layers.BatchNormalization(momentum=0.8)(hidden))
    joined = keras.layers.Concatenate()([hidden, second])
    output = keras.layers.Dense(1)(keras.layers.Dropout(dropout)(joined) if dropout else joined)
    return keras.Model({"first": first, "second": second} if inputs == "dict" else (first, second), output)


def log_cosh(y: Any, predicted: Any) -> Any:
    """A loss of the reader's own, one value an example."""
    import keras

    return keras.ops.mean(keras.ops.log(keras.ops.cosh(predicted - y)), axis=-1)


@functools.cache
def functional_problem(inputs: str, dropout: float = 0.3) -> Problem:
    import keras

    return Problem(
        name=f"functional_{inputs}",
        title="",
        build_model=lambda: functional_model(inputs, dropout),
        load_data=lambda path: functional_data(inputs),
        loss=log_cosh,
        metric=Metric("absolute error", False, keras.losses.mean_absolute_error),
    )


@functools.cache
def functional_data(inputs: str) -> Data:
    generator = np.random.default_rng(5)
    first, second = (generator.normal(size=(60, width)).astype(np.float32) for width in (3, 2))
    y = (first[:, :1] - second[:, 1:] + 0.1 * generator.normal(size=(60, 1))).astype(np.float32)
    weight = generator.uniform(0.1, 3, 60).astype(np.float32)
    return Data({"first": first, "second": second} if inputs == "dict" else (first, second), y, None, weight)


def make_adam() -> Any:
    return build(OPTIMIZERS["adam"], "default", 0.01)
