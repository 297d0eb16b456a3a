"""Metrics as compile takes them: objects, classes and strings."""

from __future__ import annotations

import keras
from keras import layers

from descentlab.problems.base import Data, Metric
from models.zoo.data import (
    SPARSE_ACCURACY,
    build_classifier,
    build_regressor,
    dense_model,
    load_clusters,
    load_line,
    small,
)
from models.zoo.losses import load_one_hot


def load_signs(path: str | None) -> Data:
    """The line's features; the class is whether its target is positive."""
    data = load_line(path)
    return Data(data.x, (data.y[:, 0] > 0).astype("int64"))


def build_probability() -> keras.Model:
    """One hidden layer of eight units and a probability."""
    return keras.Sequential([dense_model(layers.Dense(8, activation="relu")), layers.Activation("sigmoid")])


R2 = small(
    "r2_score", "R² as a class", build_regressor, load_line, "mse", Metric("r2_score", True, keras.metrics.R2Score)
)
AUC = small(
    "auc",
    "Area under the curve",
    build_probability,
    load_signs,
    "binary_crossentropy",
    Metric("auc", True, keras.metrics.AUC(name="auc")),
    stratified=True,
)
RECALL = small(
    "recall_at_precision",
    "Recall at a precision",
    build_probability,
    load_signs,
    keras.losses.BinaryFocalCrossentropy(gamma=1.0),
    Metric("recall", True, [keras.metrics.RecallAtPrecision(0.7, name="recall"), "accuracy"]),
    stratified=True,
)
F1 = small(
    "f1_score",
    "F1 score",
    build_classifier,
    load_one_hot,
    "categorical_crossentropy",
    Metric("f1_score", True, keras.metrics.F1Score(average="macro")),
)
TOP_TWO = small(
    "top_two",
    "Accuracy of the two likeliest classes",
    build_classifier,
    load_clusters,
    "sparse_categorical_crossentropy",
    Metric("top2", True, keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")),
    stratified=True,
)
MEAN_IOU = small(
    "mean_iou",
    "Mean intersection over union",
    build_classifier,
    load_clusters,
    "crossentropy",
    Metric("iou", True, keras.metrics.MeanIoU(3, sparse_y_pred=False, name="iou")),
    stratified=True,
)
PRECISION = small(
    "precision_and_recall",
    "Precision, and recall beside it",
    build_probability,
    load_signs,
    "crossentropy",
    Metric("precision", True, keras.metrics.Precision(0.4, name="precision")),
    metrics=(Metric("recall", True, keras.metrics.Recall(name="recall")),),
    stratified=True,
)
STRING = small("metric_string", "A metric by its name", build_regressor, load_line, "mse", Metric("mae", False, "mae"))
CLASS_WEIGHTS = small(
    "class_weights",
    "Weights of classes, and a metric beside the accuracy",
    build_classifier,
    load_clusters,
    "sparse_categorical_crossentropy",
    SPARSE_ACCURACY,
    class_weight={0: 4.0, 2: 0.25},
    metrics=(Metric("cross entropy", False, keras.metrics.sparse_categorical_crossentropy),),
    stratified=True,
)
CLASS_WEIGHTS_AUC = small(
    "class_weights_auc",
    "Weights of classes, and the accuracy beside the area under the curve",
    build_probability,
    load_signs,
    "binary_crossentropy",
    Metric("auc", True, keras.metrics.AUC(name="auc")),
    class_weight={1: 3.0},
    metrics=(Metric("right", True, "accuracy"),),
    stratified=True,
)
