"""MNIST for the slides' network: from a path, from the environment, from Keras; files that can't be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descentlab.problems.base import ProblemError
from descentlab.problems.table import builtin_problem

ARRAYS = "the data of slides_cnn must be an .npz file with x_train, y_train, x_test, y_test"


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


def test_mnist_from_a_path_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = builtin_problem("slides_cnn")
    path = images(tmp_path / "tiny.npz")
    data = problem.load_data(str(path))
    data.check("slides_cnn")
    assert (data.x.shape, data.x.dtype, data.y.dtype) == ((17, 28, 28, 1), np.float32, np.int32)
    assert data.test is not None
    np.testing.assert_array_equal(data.test, np.arange(12, 17))
    np.testing.assert_array_equal(data.y[data.test], np.arange(5))
    stored = np.load(path)
    np.testing.assert_array_equal(np.rint(data.x[..., 0] * 255)[:12], stored["x_train"])
    monkeypatch.setenv("DESCENTLAB_DATA", str(path))
    assert problem.load_data(None).hash() == data.hash()
    other = images(tmp_path / "other.npz", y_test=np.full(5, 9, np.uint8))
    assert problem.load_data(str(other)).hash() != data.hash()


def test_mnist_from_keras_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path Keras is asked, which knows where it keeps the file, and downloads it where it doesn't."""
    path = images(tmp_path / "mnist.npz")
    asked = []

    def get_file(fname: str, origin: str, file_hash: str) -> str:
        asked.append((fname, origin.rpartition("/")[2], len(file_hash)))
        return str(path)

    monkeypatch.setattr("keras.src.datasets.mnist.get_file", get_file)
    problem = builtin_problem("slides_cnn")
    assert problem.load_data(None).hash() == problem.load_data(str(path)).hash()
    assert asked == [("mnist.npz", "mnist.npz", 64)]


def test_mnist_files_that_cant_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtin_problem("slides_cnn").load_data
    path = tmp_path / "bad.npz"
    assert message(lambda: load(str(path))) == f"{ARRAYS}; no file at '{path}'"
    monkeypatch.setenv("DESCENTLAB_DATA", str(tmp_path))
    assert message(lambda: load(None)) == f"{ARRAYS}; no file at '{tmp_path}'"

    images(path, y_test=None)
    assert message(lambda: load(str(path))) == f"{ARRAYS}; '{path}' has x_train, y_train, x_test"
    np.savez(path)
    assert message(lambda: load(str(path))) == f"{ARRAYS}; '{path}' has nothing"

    images(path, x_train=np.zeros((12, 8, 8), np.uint8))
    assert message(lambda: load(str(path))) == (
        f"{ARRAYS}; x_train must have shape (n, 28, 28); '{path}' has (12, 8, 8)"
    )
    images(path, y_train=np.zeros((12, 10), np.uint8))
    assert message(lambda: load(str(path))) == f"{ARRAYS}; y_train must have shape (n,); '{path}' has (12, 10)"
    images(path, y_train=np.zeros(11, np.uint8), y_test=np.zeros(6, np.uint8))
    assert message(lambda: load(str(path))) == f"{ARRAYS}; '{path}' has 12 images in x_train and 11 labels"

    images(path)
    path.write_bytes(path.read_bytes()[:5000])
    assert message(lambda: load(str(path))) == f"{ARRAYS}; '{path}' can't be read: File is not a zip file"
    path.write_text("images")
    assert message(lambda: load(str(path))) == (
        f"{ARRAYS}; '{path}' can't be read: This file contains pickled (object) data. If you trust the file you can "
        "load it unsafely using the `allow_pickle=` keyword argument or `pickle.load()`."
    )
    images(path, x_train=np.array([{"an": "object"}], dtype=object))
    assert message(lambda: load(str(path))) == (
        f"{ARRAYS}; '{path}' can't be read: Object arrays cannot be loaded when allow_pickle=False"
    )
