"""A network of one hidden layer on digits, 64-64-10: the smallest nonconvex case."""

from __future__ import annotations

import keras

from descentlab.i18n.message import message
from descentlab.problems.base import Problem
from descentlab.problems.classification import (
    ACCURACY,
    CROSS_ENTROPY,
    DIGITS_MARGIN,
    DIGITS_MARGIN_REASON,
    DIGITS_TEST_SHARE,
    load_digits,
)


def build_model() -> keras.Model:
    """One hidden layer of 64 ReLU units, then 10 logits."""
    layers = [keras.Input((64,)), keras.layers.Dense(64, activation="relu", name="hidden")]
    return keras.Sequential([*layers, keras.layers.Dense(10, name="logits")], name="mlp")


PROBLEM = Problem(
    name="mlp",
    title=message("Multi-layer perceptron 64-64-10 (digits, 4,810 parameters)"),
    build_model=build_model,
    load_data=load_digits,
    dataset="digits",
    loss=CROSS_ENTROPY,
    metric=ACCURACY,
    margin=DIGITS_MARGIN,
    margin_reason=DIGITS_MARGIN_REASON,
    test_share=DIGITS_TEST_SHARE,
    epochs=30,
    count="64 × 64 + 64 + 64 × 10 + 10 = 4,810",
)
