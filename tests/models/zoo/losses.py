"""Losses as users write them, with targets and weights of several shapes and types."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from descentlab.problems.base import Data, Metric
from models.zoo.data import (
    ABSOLUTE_ERROR,
    SPARSE_ACCURACY,
    build_classifier,
    build_regressor,
    build_tagger,
    dense_model,
    load_clusters,
    load_flat_line,
    load_line,
    load_tags,
    small,
)

LABELS = 4  # of a spoken word; 0 is the blank


def load_speech(path: str | None) -> Data:
    """Sixteen frames that hold two or three labels, each for a few frames, and the labels, padded with 0."""
    random = np.random.default_rng(71)
    x, y = 0.1 * random.normal(size=(64, 16, LABELS + 1)), np.zeros((64, 3), "int64")
    for frames, labels in zip(x, y, strict=True):
        n = random.integers(2, 4)
        labels[:n] = random.integers(1, LABELS + 1, n)
        said = np.zeros(16, int)
        for number in range(n):
            start = 5 * number + random.integers(0, 2)
            said[start : start + 3] = labels[number]
        frames[np.arange(16), said] += 1
    return Data(x.astype("float32"), y)


def build_recognizer() -> keras.Model:
    """A convolution over the frames and the logits of the labels and the blank."""
    frames = keras.Input((16, LABELS + 1))
    x = layers.Conv1D(8, 3, padding="same", activation="relu")(frames)
    return keras.Model(frames, layers.Dense(LABELS + 1)(x))


def labels_heard(y: Any, y_pred: Any) -> Any:
    """The share of each word's labels that any frame is taken for."""
    heard = ops.any(
        ops.equal(ops.expand_dims(ops.argmax(y_pred, axis=-1), 1), ops.expand_dims(ops.cast(y, "int64"), 2)), 2
    )
    real = ops.cast(ops.not_equal(y, 0), "float32")
    return ops.sum(ops.cast(heard, "float32") * real, axis=1) / ops.sum(real, axis=1)


def ctc(y: Any, y_pred: Any) -> Any:
    """The CTC loss of each word, from the number of its labels."""
    lengths = ops.sum(ops.cast(ops.not_equal(y, 0), "int32"), axis=1)
    frames = ops.full((ops.shape(y_pred)[0],), y_pred.shape[1], dtype="int32")
    return ops.ctc_loss(ops.cast(y, "int32"), y_pred, lengths, frames)


def ctc_per_label(y: Any, y_pred: Any) -> Any:
    """The CTC loss of each word, for each of its labels."""
    return ctc(y, y_pred) / ops.sum(ops.cast(ops.not_equal(y, 0), "float32"), axis=1)


CTC = small(
    "ctc",
    "CTC as Keras' own loss",
    build_recognizer,
    load_speech,
    keras.losses.CTC(),
    Metric("labels_heard", True, labels_heard),
)
CTC_FUNCTION = small(
    "ctc_function",
    "CTC as a function",
    build_recognizer,
    load_speech,
    ctc,
    Metric("ctc_per_label", False, ctc_per_label),
)


class MaskedLoss(keras.losses.Loss):
    """The mean over all of a batch's tokens but padding: a scalar."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        real = ops.cast(ops.not_equal(y_true, 0), y_pred.dtype)
        losses = ops.sparse_categorical_crossentropy(ops.cast(y_true, "int32"), y_pred, from_logits=True)
        return ops.sum(losses * real) / ops.sum(real)


def tag_accuracy(y: Any, y_pred: Any) -> Any:
    """The share of right tags among each text's tokens without padding."""
    real = ops.cast(ops.not_equal(y, 0), "float32")
    right = ops.cast(ops.equal(ops.cast(y, "int64"), ops.cast(ops.argmax(y_pred, axis=-1), "int64")), "float32")
    return ops.sum(right * real, axis=-1) / ops.sum(real, axis=-1)


TAG_ACCURACY = Metric("tag_accuracy", True, tag_accuracy)
MASKED_LOSS = small(
    "masked_loss", "A loss class that gives a scalar", build_tagger, load_tags, MaskedLoss(), TAG_ACCURACY
)
IGNORE_CLASS = small(
    "ignore_class",
    "A loss that ignores a class",
    build_tagger,
    load_tags,
    keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
    TAG_ACCURACY,
)


def load_weighted_tags(path: str | None) -> Data:
    """Tags with a weight for each token, shape (n, T); none for padding and two for tag 1."""
    data = load_tags(path)
    return Data(data.x, data.y, sample_weight=np.where(data.y == 1, 2.0, 1.0) * (data.y > 0))


TOKEN_WEIGHTS = small(
    "token_weights",
    "A weight for each token",
    build_tagger,
    load_weighted_tags,
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    SPARSE_ACCURACY,
)

SUM_REDUCTION = small(
    "sum_reduction",
    "A loss that sums",
    build_regressor,
    load_line,
    keras.losses.MeanSquaredError(reduction="sum"),
    ABSOLUTE_ERROR,
)


def mean_over_all(y: Any, y_pred: Any) -> Any:
    """The mean squared error of a batch: a scalar."""
    return ops.mean(ops.square(y - y_pred))


SCALAR_FUNCTION = small(
    "scalar_function", "A loss function that gives a scalar", build_regressor, load_line, mean_over_all, ABSOLUTE_ERROR
)


def log_cosh_of_each(y: Any, y_pred: Any) -> Any:
    """The mean log cosh over the last axis."""
    return ops.mean(ops.log(ops.cosh(y_pred - y)), axis=-1)


FLAT_TARGETS = small(
    "flat_targets",
    "Targets of shape (n,) for predictions of shape (n, 1)",
    build_regressor,
    load_flat_line,
    log_cosh_of_each,
    ABSOLUTE_ERROR,
)


def load_doubles(path: str | None) -> Data:
    """The line in double precision."""
    data = load_line(path)
    return Data(data.x.astype("float64"), data.y.astype("float64"))


FLOAT64_TARGETS = small(
    "float64_targets", "Double precision data", build_regressor, load_doubles, mean_over_all, ABSOLUTE_ERROR
)


def load_weighted(path: str | None) -> Data:
    """The line with a weight for each example."""
    data = load_line(path)
    return Data(data.x, data.y, sample_weight=np.random.default_rng(72).uniform(0.2, 2, len(data)))


def build_regularized() -> keras.Model:
    """Weights of examples and penalties."""
    regularizer = keras.regularizers.L1L2(l1=1e-4, l2=1e-2)
    return dense_model(layers.Dense(8, activation="elu", kernel_regularizer=regularizer, bias_regularizer="l2"))


WEIGHTED_L2 = small(
    "weighted_l2", "Weights of examples and penalties", build_regularized, load_weighted, "mse", ABSOLUTE_ERROR
)


class Pinball(keras.losses.Loss):
    """The quantile loss, for three quantiles at once."""

    def __init__(self, quantiles: tuple[float, ...] = (0.1, 0.5, 0.9), name: str = "pinball", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.quantiles = quantiles

    def call(self, y_true: Any, y_pred: Any) -> Any:
        error = y_true - y_pred
        quantiles = ops.convert_to_tensor(self.quantiles, dtype=error.dtype)
        return ops.mean(ops.maximum(quantiles * error, (quantiles - 1) * error), axis=-1)


def median_error(y: Any, y_pred: Any) -> Any:
    """The absolute error of each example's median."""
    return ops.abs(y[:, 0] - y_pred[:, 1])


def build_quantiles() -> keras.Model:
    """Three quantiles of one target."""
    return dense_model(layers.Dense(8, activation="relu"), outputs=3)


QUANTILES = small(
    "quantiles",
    "Three quantiles of one target",
    build_quantiles,
    load_line,
    Pinball(),
    Metric("median_error", False, median_error),
)


def load_one_hot(path: str | None) -> Data:
    """The clusters with classes in one-hot form."""
    data = load_clusters(path)
    return Data(data.x, np.eye(3)[data.y])


SMOOTHED = small(
    "smoothed_labels",
    "Smoothed labels in one-hot form",
    build_classifier,
    load_one_hot,
    keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
    Metric("accuracy", True, "accuracy"),
)
FOCAL = small(
    "focal",
    "Focal loss",
    build_classifier,
    load_one_hot,
    keras.losses.CategoricalFocalCrossentropy,
    Metric("categorical_accuracy", True, keras.metrics.CategoricalAccuracy),
)


def load_counts(path: str | None) -> Data:
    """Integer counts, which grow with a feature."""
    random = np.random.default_rng(73)
    x = random.normal(size=(80, 5))
    return Data(x.astype("float32"), random.poisson(np.exp(0.5 * x[:, :1])))


def build_rate() -> keras.Model:
    """One hidden layer and a positive rate."""
    return keras.Sequential([keras.Input((5,)), layers.Dense(8, "softplus"), layers.Dense(1, "exponential")])


POISSON = small("poisson", "Counts as integer targets", build_rate, load_counts, "poisson", ABSOLUTE_ERROR)
