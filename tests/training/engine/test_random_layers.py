"""Random layers over many updates: each draws from its distribution, anew at every update, the same for the same seed.

The model's output is a weighted sum of what the layer gives, and the loss is the output. So the gradient in the weights is what
the layer gave, and plain SGD with rate 1 writes every draw into the weights.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy import stats

from descentlab.problems.base import Data, Metric, Problem
from descentlab.training.engine.any_trainer import make_trainer
from descentlab.training.engine.member import Member
from descentlab.training.engine.trainable import initial_variables
from models.zoo.generative import Sampling

pytestmark = pytest.mark.usefixtures("device")

UPDATES, PIXELS = 400, 6
X = np.arange(1, PIXELS + 1, dtype=np.float32).reshape(1, 1, PIXELS, 1)  # one image of one row
RATE, DEVIATION = 0.3, 0.5
MODES = ["graph", "xla", "keras"]


class Noise(layers.Layer):
    """Adds to its inputs what a function draws for their shape."""

    supports_jit = False

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        super().__init__()
        self.draw = draw

    def call(self, x: Any, training: bool = False) -> Any:
        return x + self.draw(x.shape) if training else x


class AroundInputs(Sampling):
    """The sampling layer of a variational autoencoder, with its inputs as the means of what it draws."""

    def call(self, x: Any) -> Any:
        return super().call([x, keras.ops.full_like(x, 2 * np.log(DEVIATION))])


def in_numpy(shape: Any) -> Any:
    return tf.ensure_shape(
        tf.numpy_function(lambda: np.random.normal(0, DEVIATION, shape).astype(np.float32), [], tf.float32), shape
    )


LAYERS: dict[str, Callable[[], Any]] = {
    "dropout": lambda: layers.Dropout(RATE),
    "noise": lambda: layers.GaussianNoise(DEVIATION),
    "flip": lambda: layers.RandomFlip("horizontal"),
    "sampling": AroundInputs,
    "keras_random": lambda: Noise(lambda shape: keras.random.normal(shape, stddev=DEVIATION)),
    "tf_random": lambda: Noise(lambda shape: tf.random.normal(shape, stddev=DEVIATION)),
    "numpy_random": lambda: Noise(in_numpy),
}
GLOBAL = ["keras_random", "tf_random", "numpy_random"]  # seeds; only Keras' own step follows them


def make_problem(layer: str) -> Problem:
    def build_model() -> Any:
        end = [layers.Flatten(), layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
        return keras.Sequential([keras.Input(batch_shape=X.shape), LAYERS[layer](), *end])

    return Problem(
        layer, "", build_model, lambda path: Data(X, np.zeros((1, 1))), output, Metric("output", False, output)
    )


def output(y: Any, y_pred: Any) -> Any:
    del y
    return y_pred[:, 0]


@functools.cache
def draws(layer: str, mode: str, seed: int = 0, momentum: float = 0.0, updates: int = UPDATES) -> np.ndarray:
    """What the layer gave at each update, shape (updates, pixels); of many by Keras' own step, their sum, shape (1, pixels)."""
    problem = make_problem(layer)

    def make_optimizer() -> Any:
        return keras.optimizers.SGD(1.0, momentum=momentum)

    trainer = make_trainer(problem, make_optimizer, mode, batch_size=1)
    order, rates = np.zeros((1, 1), np.int32), np.ones(updates, np.float32)
    member = Member(initial_variables(problem, seed), order, rates, (np.arange(1),), seed=seed)
    every = UPDATES if mode == "keras" and updates == UPDATES else 1  # an evaluation by Keras takes long
    weights = [
        trainer.variables()
        for _ in trainer.train_members(problem.load_data(None), [member], [*range(0, updates + 1, every)])
    ]
    path = np.array(
        [next(value for value in values if value.shape == (PIXELS, 1))[:, 0] for values in weights], np.float64
    )
    steps = np.diff(path, axis=0)
    return momentum * np.vstack([np.zeros(PIXELS), steps[:-1]]) - steps


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_dropout_keeps_each_unit_by_a_coin_of_its_own(mode: str) -> None:
    kept = draws("dropout", mode) * (1 - RATE) / X.ravel()
    np.testing.assert_allclose(kept, np.rint(kept), atol=1e-2)  # 0 or 1: what is kept is scaled up
    kept = np.rint(kept)
    assert set(np.unique(kept)) == {0.0, 1.0}
    share, deviation = 1 - RATE, np.sqrt(RATE * (1 - RATE) / UPDATES)
    assert kept.mean(axis=0) == pytest.approx([share] * PIXELS, abs=4 * deviation)
    between = np.corrcoef(kept.T)[np.triu_indices(PIXELS, 1)]
    after = [np.corrcoef(unit[1:], unit[:-1])[0, 1] for unit in kept.T]
    assert np.abs([*between, *after]).max() < 4 / np.sqrt(UPDATES)


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_noise_is_normal_with_its_deviation(mode: str) -> None:
    noise = (draws("noise", mode) - X.ravel()) / DEVIATION
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert noise.std() == pytest.approx(1, abs=4 / np.sqrt(2 * noise.size))
    assert abs(np.corrcoef(noise[1:, 0], noise[:-1, 0])[0, 1]) < 4 / np.sqrt(UPDATES)


def test_an_image_is_flipped_whole_half_of_the_time() -> None:
    given = draws("flip", "graph")
    flipped = np.isclose(given, X.ravel()[::-1], atol=1e-2).all(axis=1)
    assert (flipped | np.isclose(given, X.ravel(), atol=1e-2).all(axis=1)).all()
    assert flipped.mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / UPDATES))


@pytest.mark.parametrize(
    ("layer", "mode"),
    [*itertools.product(["dropout", "noise", "sampling"], MODES), *((layer, "keras") for layer in GLOBAL)],
)
def test_the_sum_of_all_draws_is_that_of_the_distribution(layer: str, mode: str) -> None:
    """By Keras' own step too, of which only the sum is seen: mean and variance are the layer's."""
    total = draws(layer, mode).sum(axis=0) / UPDATES
    variance = X.ravel() ** 2 * RATE / (1 - RATE) if layer == "dropout" else np.full(PIXELS, DEVIATION**2)
    assert (np.abs(total - X.ravel()) < 4 * np.sqrt(variance / UPDATES)).all()
    assert (total != X.ravel()).all()


@pytest.mark.parametrize(
    ("layer", "mode"),
    [*itertools.product(["dropout", "noise"], ["graph", "xla"]), *((layer, "keras") for layer in GLOBAL)],
)
def test_the_same_seed_draws_the_same_for_every_optimizer(layer: str, mode: str) -> None:
    updates = 12 if mode == "keras" else UPDATES
    first = draws(layer, mode, updates=updates)
    assert len(first) == updates
    np.testing.assert_allclose(draws(layer, mode, momentum=0.9, updates=updates), first, atol=2e-2)
    assert not np.allclose(draws(layer, mode, seed=1, updates=updates), first, atol=2e-2)
