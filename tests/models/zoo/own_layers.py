"""Layers that are random, keep state, constrain weights or run Python, and models that are no stack of layers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from descentlab.problems.base import Metric, Problem
from models.zoo.data import ABSOLUTE_ERROR, dense_model, load_clusters, load_line, small


def on_line(name: str, title: str, build_model: Any) -> Problem:
    """The line's problem with a model of its own."""
    return small(name, title, build_model, load_line, "mse", ABSOLUTE_ERROR)


def build_spectral() -> keras.Model:
    """Weights divided by their norm."""
    return dense_model(layers.SpectralNormalization(layers.Dense(8, activation="relu")))


SPECTRAL = on_line("spectral_normalization", "Weights divided by their norm", build_spectral)


def build_noise() -> keras.Model:
    """Layers of Gaussian noise."""
    return dense_model(layers.GaussianNoise(0.2), layers.Dense(8, activation="relu"), layers.GaussianDropout(0.1))


GAUSSIAN_NOISE = on_line("gaussian_noise", "Layers of Gaussian noise", build_noise)


def build_dropout() -> keras.Model:
    """Two kinds of dropout."""
    return dense_model(layers.Dropout(0.2, seed=3), layers.Dense(8, activation="selu"), layers.AlphaDropout(0.2))


DROPOUT = on_line("dropout", "Two kinds of dropout", build_dropout)


class KerasNoise(layers.Layer):
    """Noise from Keras' global seed."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x * keras.random.uniform(ops.shape(x), 0.8, 1.2) if training else x


def build_keras_random() -> keras.Model:
    """keras.random without a seed."""
    return dense_model(KerasNoise(), layers.Dense(8, activation="relu"))


KERAS_RANDOM = on_line("keras_random", "keras.random without a seed", build_keras_random)


class TensorFlowNoise(layers.Layer):
    """Noise from TensorFlow's global seed."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x + tf.random.normal(tf.shape(x), stddev=0.3) if training else x


def build_tf_random() -> keras.Model:
    """tf.random in a layer."""
    return dense_model(layers.Dense(8, activation="relu"), TensorFlowNoise())


TF_RANDOM = on_line("tf_random", "tf.random in a layer", build_tf_random)


class TensorFlowCounter(layers.Layer):
    """Fades in by the number of training steps, in a tf.Variable that Keras doesn't know."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.steps = tf.Variable(0.0, trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self.steps.assign_add(1.0)
        return x * (1 - tf.exp(-0.5 * (1 + self.steps)))


def build_tf_counter() -> keras.Model:
    """A counter in a tf.Variable."""
    return dense_model(TensorFlowCounter(), layers.Dense(8, activation="relu"))


TF_COUNTER = on_line("tf_counter", "A counter in a tf.Variable", build_tf_counter)


class KerasCounter(layers.Layer):
    """Fades in by the number of training steps, in a weight of its own."""

    def build(self, shape: Any) -> None:
        self.steps = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, name="steps")

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self.steps.assign(self.steps + 1)
        return x * ops.minimum(ops.cast(1 + self.steps, x.dtype) / 4, 1)


def build_keras_counter() -> keras.Model:
    """A counter in a weight."""
    return dense_model(KerasCounter(), layers.Dense(8, activation="relu"))


KERAS_COUNTER = on_line("keras_counter", "A counter in a weight", build_keras_counter)


class NumpyFeatures(layers.Layer):
    """Features that NumPy computes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_jit = False

    def call(self, x: Any) -> Any:
        features = tf.numpy_function(lambda a: np.sign(a) * np.sqrt(np.abs(a)), [x], tf.float32)
        return tf.ensure_shape(features, x.shape)


def build_numpy_function() -> keras.Model:
    """NumPy inside a layer."""
    return dense_model(NumpyFeatures(), layers.Dense(8, activation="relu"))


NUMPY_FUNCTION = on_line("numpy_function", "NumPy inside a layer", build_numpy_function)


class NumpyNoise(layers.Layer):
    """Augmentation in NumPy, with its global random state."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_jit = False

    def call(self, x: Any, training: bool = False) -> Any:
        if not training:
            return x
        noisy = tf.numpy_function(lambda a: a + np.random.normal(0, 0.3, a.shape).astype("float32"), [x], tf.float32)
        return tf.ensure_shape(noisy, x.shape)


def build_numpy_random() -> keras.Model:
    """NumPy's random numbers inside a layer."""
    return dense_model(NumpyNoise(), layers.Dense(8, activation="relu"))


NUMPY_RANDOM = on_line("numpy_random", "NumPy's random numbers inside a layer", build_numpy_random)


class Stretch(layers.Layer):
    """Scales the features by a tf.Variable, which Keras doesn't train."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.factors = tf.Variable(tf.linspace(0.5, 1.5, 5), trainable=True)

    def call(self, x: Any) -> Any:
        return x * self.factors


def build_tf_variable() -> keras.Model:
    """A tf.Variable that Keras doesn't train."""
    return dense_model(Stretch(), layers.Dense(8, activation="relu"))


TF_VARIABLE = on_line("tf_variable", "A tf.Variable that Keras doesn't train", build_tf_variable)


def build_max_norm() -> keras.Model:
    """Constrained weights."""
    hidden = layers.Dense(
        8, activation="relu", kernel_constraint=keras.constraints.MaxNorm(0.7), bias_constraint="non_neg"
    )
    return dense_model(hidden)


MAX_NORM = on_line("max_norm", "Constrained weights", build_max_norm)


def build_activity() -> keras.Model:
    """Penalties of activities."""
    return dense_model(
        layers.Dense(8, activation="relu", activity_regularizer=keras.regularizers.L1(0.01)),
        layers.ActivityRegularization(l2=0.001),
    )


ACTIVITY = on_line("activity_regularizer", "Penalties of activities", build_activity)


def build_mixed_precision() -> keras.Model:
    """Layers in mixed precision."""
    features = keras.Input((5,))
    x = layers.Dense(16, activation="relu", dtype="mixed_bfloat16")(features)
    x = layers.LayerNormalization(dtype="mixed_bfloat16")(x)
    x = layers.Dense(8, activation="relu", dtype=keras.DTypePolicy("mixed_bfloat16"))(x)
    return keras.Model(features, layers.Dense(1, dtype="float32")(x))


MIXED_BFLOAT16 = on_line("mixed_bfloat16", "Layers in mixed precision", build_mixed_precision)


def build_half_precision() -> keras.Model:
    """A model in half precision, whose loss Keras scales."""
    policy = keras.DTypePolicy("mixed_float16")
    inner = [layers.Dense(16, activation="relu", dtype=policy), layers.Dense(8, activation="relu", dtype=policy)]
    model = keras.Sequential([keras.Input((5,)), *inner, layers.Dense(1, dtype="float32")])
    model.dtype_policy = policy
    return model


MIXED_FLOAT16 = on_line("mixed_float16", "Half precision, whose loss Keras scales", build_half_precision)


class Residual(layers.Layer):
    """A layer that makes its layers when it is built, with a gate of its own."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, shape: Any) -> None:
        self.inner = layers.Dense(self.units, activation="relu")
        self.outer = layers.Dense(shape[-1])
        self.gate = self.add_weight(shape=(shape[-1],), initializer="ones", name="gate")

    def call(self, x: Any) -> Any:
        return x + self.gate * self.outer(self.inner(x))


class Subclassed(keras.Model):
    """A model that is written as a class and loops over its blocks."""

    def __init__(self, blocks: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.blocks = [Residual(6, name=f"block_{number}") for number in range(blocks)]
        self.norm, self.out = layers.BatchNormalization(), layers.Dense(1)

    def call(self, x: Any, training: bool = False) -> Any:
        for block in self.blocks:
            x = self.norm(block(x), training=training)
        return self.out(x)


def build_subclassed() -> keras.Model:
    """A model that is a class."""
    model = Subclassed()
    model(np.zeros((2, 5), "float32"))
    return model


SUBCLASSED = on_line("subclassed", "A model that is a class", build_subclassed)


class Experts(layers.Layer):
    """A gated mixture of dense layers that adds a loss where the gates are uneven."""

    def __init__(self, units: int, experts: int, **options: Any) -> None:
        super().__init__(**options)
        self.experts = [layers.Dense(units, activation="relu") for _ in range(experts)]
        self.gate = layers.Dense(experts, activation="softmax")

    def call(self, x: Any) -> Any:
        gates = self.gate(x)
        self.add_loss(0.01 * ops.sum(ops.square(ops.mean(gates, axis=0))))
        return ops.sum(ops.stack([e(x) for e in self.experts], axis=1) * ops.expand_dims(gates, 2), axis=1)


def build_experts() -> keras.Model:
    """A mixture of experts with a loss of its own."""
    return dense_model(Experts(6, 3))


EXPERTS = on_line("experts", "A mixture of experts with a loss of its own", build_experts)


class Classifier(keras.Model):
    """A class that makes its layers and is never told its inputs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.hidden, self.out = layers.Dense(8, activation="relu"), layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.out(self.hidden(x))


def margin(y: Any, y_pred: Any) -> Any:
    """How far the largest score of another class comes near the label's: a hinge loss with whole labels."""
    label = ops.one_hot(ops.cast(y, "int32"), 3)
    return ops.relu(1 + ops.max(y_pred - 1e9 * label, axis=-1) - ops.sum(y_pred * label, axis=-1))


SUBCLASSED_CLASSIFIER = small(
    "subclassed_classifier",
    "A classifier that is a class, with a loss of its own",
    Classifier,
    load_clusters,
    margin,
    Metric("accuracy", True, "accuracy"),
    stratified=True,
)


class Centered(layers.Layer):
    """Passes on what it gets, and asks it to be near one."""

    def call(self, x: Any) -> Any:
        self.add_loss(ops.mean(ops.square(x - 1)))
        return x


def build_centered() -> keras.Model:
    """No loss but a layer's own."""
    features = keras.Input((5,))
    return keras.Model(features, Centered()(layers.Dense(1)(layers.Dense(8, activation="relu")(features))))


ADDED_LOSS = small("added_loss", "No loss but a layer's own", build_centered, load_line, None, ABSOLUTE_ERROR)
