"""Models of time series and of point clouds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from descentlab.problems.base import Data, Metric
from models.zoo.data import SPARSE_ACCURACY, load_waves, small


def build_fcn() -> keras.Model:
    """Convolutions with batch normalization on waves."""
    waves = keras.Input((16, 1))
    x = waves
    for _ in range(2):
        x = layers.Conv1D(filters=8, kernel_size=3, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(waves, layers.Dense(3, activation="softmax")(x))


FCN = small(
    "series_fcn",
    "Convolutions with batch normalization on waves",
    build_fcn,
    load_waves,
    "sparse_categorical_crossentropy",
    Metric("sparse_categorical_accuracy", True, "sparse_categorical_accuracy"),
    stratified=True,
)


def build_transformer() -> keras.Model:
    """Attention with dropout on waves."""
    waves = keras.Input((16, 1))
    x = layers.MultiHeadAttention(key_dim=8, num_heads=2, dropout=0.1)(waves, waves)
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Dropout(0.1)(x))
    attended = x + waves
    x = layers.Conv1D(filters=4, kernel_size=1, activation="relu")(attended)
    x = layers.Conv1D(filters=1, kernel_size=1)(layers.Dropout(0.1)(x))
    x = layers.LayerNormalization(epsilon=1e-6)(x) + attended
    x = layers.GlobalAveragePooling1D(data_format="channels_first")(x)
    x = layers.Dense(8, activation="relu")(x)
    return keras.Model(waves, layers.Dense(3, activation="softmax")(x))


TRANSFORMER = small(
    "series_transformer",
    "Attention with dropout on waves",
    build_transformer,
    load_waves,
    "sparse_categorical_crossentropy",
    SPARSE_ACCURACY,
    stratified=True,
)


class Orthogonal(keras.regularizers.Regularizer):
    """Penalizes flat square matrices that are not orthogonal."""

    def __init__(self, size: int, strength: float = 0.001) -> None:
        self.size, self.strength = size, strength

    def __call__(self, x: Any) -> Any:
        matrices = ops.reshape(x, (-1, self.size, self.size))
        products = ops.matmul(matrices, ops.transpose(matrices, (0, 2, 1)))
        return self.strength * ops.sum(ops.square(products - ops.eye(self.size)))

    def get_config(self) -> dict[str, Any]:
        return {"size": self.size, "strength": self.strength}


def point_convolution(x: Any, filters: int) -> Any:
    """The same dense layer for each point, batch normalization and ReLU."""
    x = layers.Conv1D(filters, kernel_size=1, padding="valid")(x)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.0)(x))


def transformed(points: Any, size: int) -> Any:
    """The points times a matrix that a small network derives from them; it begins as the identity."""
    x = layers.GlobalMaxPooling1D()(point_convolution(points, 8))
    x = layers.Dense(
        size * size,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(np.eye(size).flatten()),
        activity_regularizer=Orthogonal(size),
    )(x)
    return layers.Dot(axes=(2, 1))([points, layers.Reshape((size, size))(x)])


def load_points(path: str | None) -> Data:
    """Clouds of 32 points on a sphere, in a cube or along a line."""
    random = np.random.default_rng(41)
    classes = np.arange(72) % 3
    cube = random.uniform(-1, 1, (72, 32, 3))
    sphere = cube / np.linalg.norm(cube, axis=2, keepdims=True)
    line = cube[:, :, :1] * sphere[:, :1]
    return Data(np.stack([sphere, cube, line])[classes, np.arange(72)].astype("float32"), classes)


def build_pointnet() -> keras.Model:
    """Point clouds, turned by learned matrices."""
    points = keras.Input((32, 3))
    x = point_convolution(transformed(points, 3), 8)
    x = point_convolution(transformed(x, 8), 16)
    x = layers.Dropout(0.1)(layers.Dense(8, activation="relu")(layers.GlobalMaxPooling1D()(x)))
    return keras.Model(points, layers.Dense(3, activation="softmax")(x))


POINTNET = small(
    "pointnet",
    "Point clouds, turned by learned matrices",
    build_pointnet,
    load_points,
    "sparse_categorical_crossentropy",
    Metric("sparse_categorical_accuracy", True, "sparse_categorical_accuracy"),
    stratified=True,
)
