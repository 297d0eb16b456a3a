"""The convolutional network of the slides' table, 319,370 parameters, on MNIST (slide "Cuenta de parámetros")."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.problems.classification import ACCURACY, CROSS_ENTROPY

ARRAYS = {"x_train": (28, 28), "y_train": (), "x_test": (28, 28), "y_test": ()}


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


def read_arrays(path: Path) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The four arrays of ``keras.datasets.mnist`` from an .npz file.

    Raises:
        ProblemError: the file is missing, is not an .npz file, or holds other arrays.
    """
    rule = f"the data of slides_cnn must be an .npz file with {', '.join(ARRAYS)}"
    if not path.is_file():
        raise ProblemError(f"{rule}; no file at '{path}'")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS if name in stored}
            names = list(stored)
    except Exception as error:  # zipfile, numpy and zlib each raise their own errors for a damaged file
        raise ProblemError(f"{rule}; '{path}' can't be read: {error}") from error
    for name, shape in ARRAYS.items():
        if name not in arrays:
            raise ProblemError(f"{rule}; '{path}' has {', '.join(names) or 'nothing'}")
        if arrays[name].shape[1:] != shape:
            raise ProblemError(
                f"{rule}; {name} must have shape {('n', *shape)}; '{path}' has {arrays[name].shape}".replace("'n'", "n")
            )
    for split in ("train", "test"):
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if len(images) != len(labels):
            raise ProblemError(f"{rule}; '{path}' has {len(images)} images in x_{split} and {len(labels)} labels")
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def load_data(path: str | None) -> Data:
    """MNIST: 60,000 training and 10,000 canonical test images, pixels scaled to [0, 1].

    Args:
        path: an .npz file; without one, the file named by the environment variable DESCENTLAB_DATA; without that,
            ``keras.datasets``, which downloads the data.
    """
    path = path or os.environ.get("DESCENTLAB_DATA")
    (x_train, y_train), (x_test, y_test) = read_arrays(Path(path)) if path else keras.datasets.mnist.load_data()
    images = np.concatenate([x_train, x_test])[..., None].astype(np.float32) / 255
    labels = np.concatenate([y_train, y_test]).astype(np.int32)
    return Data(images, labels, test=np.arange(len(x_train), len(images)))


PROBLEM = Problem(
    name="slides_cnn",
    title=message("The slides' convolutional network (MNIST, 319,370 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=CROSS_ENTROPY,
    metric=ACCURACY,
    epochs=5,
    batch_size=128,
    margin=0.002,
    margin_reason=message(
        "two images in a thousand; where two models answer 1 % of the 10,000 test images differently, twice the standard error "
        "of their difference is as much"
    ),
    validation_share=1 / 6,
    count="c1 320 + c2 18,496 + fc1 295,424 + fc2 5,130 = 319,370",
)
