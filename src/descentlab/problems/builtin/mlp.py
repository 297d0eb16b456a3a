"""A network of one hidden layer on digits, 64-64-10: the smallest nonconvex case."""

from __future__ import annotations

import keras

from descentlab.i18n.message import message
from descentlab.problems.classification import digits_problem


def build_model() -> keras.Model:
    """One hidden layer of 64 ReLU units, then 10 logits."""
    layers = [keras.Input((64,)), keras.layers.Dense(64, activation="relu", name="hidden")]
    return keras.Sequential([*layers, keras.layers.Dense(10, name="logits")], name="mlp")


PROBLEM = digits_problem(
    name="mlp",
    title=message("Multi-layer perceptron 64-64-10 (digits, 4,810 parameters)"),
    build_model=build_model,
    epochs=30,
    count="64 × 64 + 64 + 64 × 10 + 10 = 4,810",
)
