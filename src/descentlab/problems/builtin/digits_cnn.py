"""A small convolutional network on the 8×8 digits."""

from __future__ import annotations

import keras

from descentlab.i18n.message import message
from descentlab.problems.classification import digits_problem


def build_model() -> keras.Model:
    """Two convolutions with 8 and 16 filters and pooling, then 10 logits."""
    layers = [
        keras.Input((64,)),
        keras.layers.Reshape((8, 8, 1), name="image"),
        keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="c1"),
        keras.layers.MaxPooling2D(name="mp1"),
        keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="c2"),
        keras.layers.MaxPooling2D(name="mp2"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(10, name="logits"),
    ]
    return keras.Sequential(layers, name="digits_cnn")


PROBLEM = digits_problem(
    name="digits_cnn",
    title=message("Convolutional network (digits 8×8, 1,898 parameters)"),
    build_model=build_model,
    epochs=15,
    batch_size=64,
    count="c1 80 + c2 1,168 + logits 650 = 1,898",
)
