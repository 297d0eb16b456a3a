"""The convolutional network of the slides' table, 319,370 parameters, on MNIST (slide "Cuenta de parámetros").

Of MNIST it has 5,000 images. One line of a config gives it all 70,000, for which its budget and its margin are not meant:
``data: keras.datasets.mnist``, or the path of an .npz file. 10,000 test images tell apart 0.2 in a hundred.
"""

from __future__ import annotations

import keras

from descentlab.i18n.message import message
from descentlab.problems.classification import mnist_problem
from descentlab.problems.datasets.mnist import load_mnist


def build_model() -> keras.Model:
    """The slides' layers, with logits at the end."""
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu", name="c1"),
        keras.layers.MaxPooling2D(name="mp1"),
        keras.layers.Conv2D(64, 3, strides=2, padding="same", activation="relu", name="c2"),
        keras.layers.MaxPooling2D(name="mp2"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(512, activation="relu", name="fc1"),
        keras.layers.Dense(10, name="fc2"),
    ]
    return keras.Sequential(layers, name="slides_cnn")


PROBLEM = mnist_problem(
    name="slides_cnn",
    title=message("The slides' convolutional network (MNIST, 319,370 parameters)"),
    build_model=build_model,
    load_data=load_mnist,
    epochs=5,
    batch_size=64,
    count="c1 320 + c2 18,496 + fc1 295,424 + fc2 5,130 = 319,370",
)
