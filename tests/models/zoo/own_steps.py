"""Models that compute their own loss or step, and one that takes a graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from descentlab.problems.base import Data, Metric
from models.zoo.data import ABSOLUTE_ERROR, dense_model, load_clusters, small
from models.zoo.own_layers import on_line


class Distiller(keras.Model):
    """A student whose compute_loss also compares it with a frozen teacher."""

    def __init__(self, student: keras.Model, teacher: keras.Model, temperature: float = 3.0, **options: Any) -> None:
        super().__init__(**options)
        self.student, self.teacher, self.temperature = student, teacher, temperature
        self.teacher.trainable = False
        self.share = 0.3

    def call(self, x: Any, training: bool = False) -> Any:
        return self.student(x, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        teacher = ops.softmax(self.teacher(x, training=False) / self.temperature)
        student = ops.softmax(y_pred / self.temperature)
        distance = self.temperature**2 * ops.mean(keras.losses.kl_divergence(teacher, student))
        return self.share * loss + (1 - self.share) * distance


def build_distiller() -> keras.Model:
    """A student with a frozen teacher."""
    data = load_clusters(None)
    centers = np.stack([data.x[data.y == number].mean(axis=0) for number in range(3)], axis=1)
    teacher = keras.Sequential([keras.Input((5,)), layers.Dense(3, name="teacher")], name="teacher")
    teacher.set_weights([centers, -0.5 * np.square(centers).sum(axis=0)])
    model = Distiller(dense_model(layers.Dense(4, activation="relu"), outputs=3), teacher)
    model(np.zeros((1, 5), "float32"))
    return model


DISTILLATION = small(
    "distillation",
    "A student with a frozen teacher",
    build_distiller,
    load_clusters,
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    Metric("sparse_categorical_accuracy", True, keras.metrics.sparse_categorical_accuracy),
    stratified=True,
)


class Adversarial(keras.Model):
    """A functional model whose train_step moves the inputs against it before the update."""

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = self.compute_loss(y=y, y_pred=self(x, training=True), sample_weight=weight)
        harder = x + 0.05 * ops.sign(inner.gradient(loss, x))
        with tf.GradientTape() as tape:
            y_pred = self(harder, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=weight)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


def build_adversarial() -> keras.Model:
    """A training step on inputs made harder."""
    features = keras.Input((5,))
    return Adversarial(features, layers.Dense(1)(layers.Dense(8, activation="relu")(features)))


ADVERSARIAL = on_line("adversarial_step", "A training step on inputs made harder", build_adversarial)


def load_graphs(path: str | None) -> Data:
    """Graphs of six nodes: their features and normalized adjacency; the target is a mean over neighbors."""
    random = np.random.default_rng(81)
    nodes = random.normal(size=(64, 6, 4))
    edges = np.maximum((random.random((64, 6, 6)) < 0.4), np.eye(6))
    adjacency = edges / edges.sum(axis=2, keepdims=True)
    return Data((nodes.astype("float32"), adjacency.astype("float32")), (adjacency @ nodes).max(axis=(1, 2))[:, None])


def build_graph() -> keras.Model:
    """Graph convolutions from keras.ops."""
    nodes, adjacency = keras.Input((6, 4)), keras.Input((6, 6))
    x = nodes
    for _ in range(2):
        x = layers.Dense(8, activation="relu")(ops.matmul(adjacency, x))
    return keras.Model([nodes, adjacency], layers.Dense(1)(ops.max(x, axis=1)))


GRAPH = small(
    "graph", "Graph convolutions from keras.ops", build_graph, load_graphs, keras.losses.LogCosh(), ABSOLUTE_ERROR
)
