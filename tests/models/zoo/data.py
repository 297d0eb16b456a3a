"""What the models of this folder share: how small a problem is, and synthetic data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from descentlab.problems.base import Data, Metric, Problem

TOKENS = 20  # token ids, with 0 for padding
LENGTH = 12  # tokens of a text
SPARSE_ACCURACY = Metric("sparse_categorical_accuracy", True, keras.metrics.sparse_categorical_accuracy)
ABSOLUTE_ERROR = Metric("mean_absolute_error", False, keras.losses.mean_absolute_error)


def small(
    name: str,
    title: str,
    build_model: Callable[[], keras.Model],
    load_data: Callable[[str | None], Data],
    loss: Any,
    metric: Metric,
    **more: Any,
) -> Problem:
    """A problem of two epochs with batches of eight; its splits are drawn without regard to classes."""
    more = {"epochs": 2, "batch_size": 8, "stratified": False, **more}
    return Problem(name, title, build_model, load_data, loss, metric, **more)


def outside_test(data: Data) -> Data:
    """What a layer may be adapted to."""
    return data.rows(np.setdiff1d(np.arange(len(data)), data.test))


def padded_tokens(seed: int, n: int = 80, length: int = LENGTH, shortest: int = 4) -> np.ndarray:
    """Random token ids, shape (n, length), with zeros after a random end."""
    random = np.random.default_rng(seed)
    tokens = random.integers(1, TOKENS, (n, length))
    ends = random.integers(shortest, length + 1, n)
    tokens[np.arange(length)[None] >= ends[:, None]] = 0
    return tokens


def load_texts(path: str | None) -> Data:
    """Full texts of token ids; the class is 1 where the ids are large on average."""
    tokens = np.random.default_rng(1).integers(1, TOKENS, (80, LENGTH))
    return Data(tokens, (tokens.mean(axis=1) > TOKENS / 2).astype("int64"))


def load_padded_texts(path: str | None) -> Data:
    """Padded texts of token ids; the class is 1 where most of the ids are large."""
    tokens = padded_tokens(seed=2)
    large = (tokens > TOKENS // 2).sum(axis=1)
    return Data(tokens, (2 * large > (tokens > 0).sum(axis=1)).astype("int64"))


def load_tags(path: str | None) -> Data:
    """Padded texts of token ids with a tag from 1 to 4 for each token and 0 for padding."""
    tokens = padded_tokens(seed=3)
    return Data(tokens, np.where(tokens > 0, tokens % 4 + 1, 0))


def load_line(path: str | None) -> Data:
    """Five features and a target of shape (n, 1) that is nearly linear in them."""
    random = np.random.default_rng(4)
    x = random.normal(size=(80, 5)).astype("float32")
    y = x @ np.array([[1.0], [-2.0], [0.5], [0.0], [1.5]], "float32") + 0.1 * np.sin(3 * x[:, :1])
    return Data(x, y.astype("float32"))


def load_flat_line(path: str | None) -> Data:
    """The same features with targets of shape (n,)."""
    data = load_line(path)
    return Data(data.x, data.y[:, 0])


def load_clusters(path: str | None) -> Data:
    """Five features around one of three centers, which is the class."""
    random = np.random.default_rng(5)
    classes = np.arange(90) % 3
    centers = 2 * random.normal(size=(3, 5))
    return Data((centers[classes] + random.normal(size=(90, 5))).astype("float32"), classes)


def load_images(path: str | None) -> Data:
    """Images of 16×16 pixels and three channels; the class is the brighter quadrant's number."""
    random = np.random.default_rng(6)
    classes = np.arange(80) % 4
    images = random.uniform(0, 0.5, (80, 16, 16, 3))
    for image, number in zip(images, classes, strict=True):
        row, column = 8 * (number // 2), 8 * (number % 2)
        image[row : row + 8, column : column + 8] += 0.5
    return Data(images.astype("float32"), classes)


def load_waves(path: str | None) -> Data:
    """Noisy waves of 16 steps; the class is the number of their periods, less one."""
    random = np.random.default_rng(7)
    classes = np.arange(90) % 3
    phase = random.uniform(0, 2 * np.pi, (90, 1))
    angle = 2 * np.pi * (classes[:, None] + 1) * np.arange(16) / 16 + phase
    waves = np.sin(angle) + 0.1 * random.normal(size=(90, 16))
    return Data(waves[..., None].astype("float32"), classes)


def dense_model(*inner: Any, outputs: int = 1, features: int = 5) -> keras.Model:
    """The given layers, then a dense one."""
    return keras.Sequential([keras.Input((features,)), *inner, keras.layers.Dense(outputs)])


def build_regressor() -> keras.Model:
    """One hidden layer of eight units and one output."""
    return dense_model(keras.layers.Dense(8, activation="relu"))


def build_classifier() -> keras.Model:
    """One hidden layer of eight units and the probabilities of three classes."""
    return keras.Sequential([dense_model(keras.layers.Dense(8, activation="relu"), outputs=3), keras.layers.Softmax()])


def build_tagger() -> keras.Model:
    """Five logits for each token, from its embedding."""
    tokens = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(TOKENS, 8)(tokens)
    x = keras.layers.Dense(8, activation="relu")(x)
    return keras.Model(tokens, keras.layers.Dense(5)(x))
