"""The averages of BatchNormalization measured anew, against what they are the averages of."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from descentlab.problems.base import Data
from descentlab.training.engine.batch_statistics import normalization_layers, renormalized

pytestmark = pytest.mark.usefixtures("device")

BATCH = 8


class Block(layers.Layer):
    """A layer that hides another."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.normal = layers.Dense(3), layers.BatchNormalization()

    def call(self, x: Any, training: bool = False) -> Any:
        return self.normal(self.dense(x), training=training)


def make_model() -> keras.Model:
    frozen = layers.BatchNormalization(trainable=False)
    return keras.Sequential([keras.Input((4,)), layers.BatchNormalization(), Block(), frozen, layers.Dense(1)])


def make_data() -> Data:
    generator = np.random.default_rng(0)
    return Data(generator.normal(3.0, 2.0, size=(32, 4)).astype(np.float32), np.zeros((32, 1), np.float32))


def test_the_first_layers_averages_are_the_batches_own() -> None:
    model, data, index = make_model(), make_data(), np.arange(27)  # the last three fill no batch
    assert len(normalization_layers(model)) == 2
    before = [np.asarray(variable).copy() for variable in model.variables]
    values = [value + 0.5 for value in before]
    anew = renormalized(model, values, data, index, BATCH)
    batches = data.x[:24].reshape(3, BATCH, 4).astype(np.float64)
    names = [variable.path for variable in model.variables]
    first = {name.rpartition("/")[2]: value for name, value in list(zip(names, anew, strict=True))[:4]}
    np.testing.assert_allclose(first["moving_mean"], batches.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(first["moving_variance"], batches.var(axis=1).mean(axis=0), rtol=1e-5)
    changed = [name for name, old, new in zip(names, values, anew, strict=True) if not np.array_equal(old, new)]
    assert len(changed) == 4 and all("moving_" in name for name in changed)
    for variable, value in zip(model.variables, before, strict=True):  # the model keeps nothing
        np.testing.assert_array_equal(np.asarray(variable), value)
    assert [layer.momentum for layer in normalization_layers(model)] == [0.99, 0.99]


def test_one_batch_gives_what_the_layer_computes_in_training() -> None:
    model, data = make_model(), make_data()
    values = [np.asarray(variable).copy() for variable in model.variables]
    in_training = np.asarray(model(data.x, training=True))
    for variable, value in zip(model.variables, renormalized(model, values, data, np.arange(32), 32), strict=True):
        variable.assign(value)
    np.testing.assert_allclose(np.asarray(model(data.x, training=False)), in_training, atol=1e-5)
