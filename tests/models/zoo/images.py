"""Models of images."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from descentlab.problems.base import Data, Metric
from models.zoo.data import SPARSE_ACCURACY, load_images, small

LOGITS_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Patches(layers.Layer):
    """The patches of an image, flattened, shape (n, patches, values)."""

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.size = size

    def call(self, images: Any) -> Any:
        patches = ops.image.extract_patches(images, self.size, strides=self.size)
        return ops.reshape(patches, (ops.shape(images)[0], -1, patches.shape[-1]))


class PatchEncoder(layers.Layer):
    """A projection of each patch plus its position's embedding."""

    def __init__(self, patches: int, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.patches = patches
        self.projection = layers.Dense(units)
        self.position = layers.Embedding(patches, units)

    def call(self, patch: Any) -> Any:
        return self.projection(patch) + self.position(ops.expand_dims(ops.arange(self.patches), 0))


def build_vit() -> keras.Model:
    """Vision transformer on 16 patches."""
    images = keras.Input((16, 16, 3))
    x = PatchEncoder(16, 12)(Patches(4)(images))
    normal = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Add()([x, layers.MultiHeadAttention(num_heads=2, key_dim=6)(normal, normal)])
    normal = layers.LayerNormalization(epsilon=1e-6)(x)
    hidden = layers.Dense(24, activation=keras.activations.gelu)(normal)
    x = layers.Add()([x, layers.Dense(12)(hidden)])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(images, layers.Dense(4)(x))


VIT = small(
    "vision_transformer",
    "Vision transformer on 16 patches",
    build_vit,
    load_images,
    LOGITS_LOSS,
    SPARSE_ACCURACY,
    stratified=True,
)


def build_xception() -> keras.Model:
    """Separable convolutions with residual connections."""
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(images)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for filters in (12, 16):
        shortcut = layers.Conv2D(filters, 1, strides=2, padding="same")(x)
        x = layers.Activation("relu")(x)
        x = layers.BatchNormalization()(layers.SeparableConv2D(filters, 3, padding="same")(x))
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        x = layers.add([x, shortcut])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(4, activation=None)(x))


XCEPTION = small(
    "xception",
    "Separable convolutions with residual connections",
    build_xception,
    load_images,
    LOGITS_LOSS,
    Metric("acc", True, keras.metrics.SparseCategoricalAccuracy(name="acc")),
    stratified=True,
)


def residual(x: Any, filters: int, stride: int) -> Any:
    """Two convolutions around a shortcut, which is projected where the shape changes."""
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = layers.BatchNormalization()(layers.Conv2D(filters, 1, strides=stride, use_bias=False)(x))
    x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(x))
    return layers.ReLU()(x + shortcut)


def build_resnet() -> keras.Model:
    """Residual network with batch normalization."""
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(images)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = residual(residual(x, 6, 1), 12, 2)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(4, activation="softmax")(x))


RESNET = small(
    "resnet",
    "Residual network with batch normalization",
    build_resnet,
    load_images,
    "sparse_categorical_crossentropy",
    Metric("accuracy", True, "accuracy"),
    stratified=True,
)


def build_mixer() -> keras.Model:
    """Dense layers across patches and along channels."""
    images = keras.Input((16, 16, 3))
    x = layers.Reshape((16, 12))(layers.Conv2D(12, 4, strides=4)(images))
    across = layers.Permute((2, 1))(layers.LayerNormalization()(x))
    across = layers.Dense(16)(layers.Dense(16, activation="gelu")(across))
    x = x + layers.Permute((2, 1))(across)
    along = layers.Dense(24, activation="gelu")(layers.LayerNormalization()(x))
    x = x + layers.Dense(12)(along)
    return keras.Model(images, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


MIXER = small(
    "mlp_mixer",
    "Dense layers across patches and along channels",
    build_mixer,
    load_images,
    LOGITS_LOSS,
    SPARSE_ACCURACY,
    stratified=True,
)


def load_pixels(path: str | None) -> Data:
    """The same images as bytes."""
    data = load_images(path)
    return Data((255 * data.x).clip(0, 255).astype("uint8"), data.y)


def build_augmented() -> keras.Model:
    """Random flips and rotations of images in bytes."""
    augment = keras.Sequential([layers.RandomFlip("vertical"), layers.RandomRotation(0.02)], name="augment")
    images = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(augment(images))
    x = layers.Conv2D(6, 3, strides=2, activation="relu")(x)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return keras.Model(images, layers.Dense(4)(x))


AUGMENTED = small(
    "augmented",
    "Random flips and rotations of images in bytes",
    build_augmented,
    load_pixels,
    LOGITS_LOSS,
    SPARSE_ACCURACY,
    stratified=True,
)


def build_base() -> keras.Model:
    """Convolutions with batch normalization; stands for a network trained elsewhere."""
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2)(images)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(images, layers.DepthwiseConv2D(3, activation="relu")(x), name="base")


def build_transfer() -> keras.Model:
    """A new output on a frozen base."""
    base = build_base()
    base.trainable = False
    images = keras.Input((16, 16, 3))
    x = base(images, training=False)
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    return keras.Model(images, layers.Dense(4)(x))


TRANSFER = small(
    "transfer",
    "A new output on a frozen base",
    build_transfer,
    load_images,
    LOGITS_LOSS,
    SPARSE_ACCURACY,
    stratified=True,
)


def build_fine_tuning() -> keras.Model:
    """A base whose batch normalization alone is frozen."""
    base = build_base()
    for layer in base.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    images = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(base(images))
    return keras.Model(images, layers.Dense(4)(x))


FINE_TUNING = small(
    "fine_tuning",
    "A base whose batch normalization alone is frozen",
    build_fine_tuning,
    load_images,
    LOGITS_LOSS,
    SPARSE_ACCURACY,
    stratified=True,
)


def load_masks(path: str | None) -> Data:
    """Images of 16×16 pixels with a bright square, and the square's mask."""
    random = np.random.default_rng(31)
    masks = np.zeros((64, 16, 16, 1), "float32")
    for mask, (row, column) in zip(masks, random.integers(0, 10, (64, 2)), strict=True):
        mask[row : row + 6, column : column + 6] = 1
    return Data(masks + 0.3 * random.normal(size=masks.shape).astype("float32"), masks)


def dice(y: Any, y_pred: Any) -> Any:
    """Twice the overlap over the sum of both areas, of each image."""
    axes = (1, 2, 3)
    return (2 * ops.sum(y * y_pred, axis=axes) + 1) / (ops.sum(y, axis=axes) + ops.sum(y_pred, axis=axes) + 1)


def build_unet() -> keras.Model:
    """Small U-Net."""
    images = keras.Input((16, 16, 1))
    fine = layers.Conv2D(6, 3, padding="same", activation="relu")(images)
    coarse = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D()(fine))
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu")(coarse)
    x = layers.Concatenate()([layers.UpSampling2D()(coarse), x, fine])
    return keras.Model(images, layers.Conv2D(1, 1, activation="sigmoid")(x))


UNET = small(
    "unet_segmentation", "Small U-Net", build_unet, load_masks, "binary_crossentropy", Metric("dice", True, dice)
)
