"""The reference that the engine is held against: a plain eager Keras loop, one GradientTape and one apply an update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from descentlab.problems.base import Data


def taken(x: Any, index: np.ndarray) -> Any:
    """The examples of ``index`` from an array, or from a tuple or dict of arrays."""
    if isinstance(x, dict):
        return {name: array[index] for name, array in x.items()}
    return tuple(array[index] for array in x) if isinstance(x, tuple) else x[index]


def train_eagerly(
    model: Any,
    optimizer: Any,
    loss: Any,
    data: Data,
    initial: Sequence[np.ndarray],
    order: np.ndarray,
    rates: Sequence[float | None],
) -> list[list[np.ndarray]]:
    """Values of ``model.variables`` before the first update and after each.

    ``loss`` is a keras.losses.Loss; a rate of None leaves the optimizer's alone.
    """
    import tensorflow as tf

    for variable, value in zip(model.variables, initial, strict=True):
        variable.assign(value)
    weights = model.trainable_variables
    optimizer.build(weights)
    path = [[np.asarray(variable).copy() for variable in model.variables]]
    for update, rate in enumerate(rates):
        index = order[update % len(order)]
        weight = None if data.sample_weight is None else data.sample_weight[index]
        with tf.GradientTape() as tape:
            value = loss(data.y[index], model(taken(data.x, index), training=True), weight)
            value += sum(tf.reduce_sum(own) for own in model.losses)
        if rate is not None:
            optimizer.learning_rate.assign(rate)
        optimizer.apply(tape.gradient(value, weights), weights)
        path.append([np.asarray(variable).copy() for variable in model.variables])
    return path
