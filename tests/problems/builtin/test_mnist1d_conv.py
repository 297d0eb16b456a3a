"""MNIST-1D: the package's own series, without a download or a trace in the global generators."""

from __future__ import annotations

import random
import socket

import mnist1d.data
import numpy as np
import pytest
from mnist1d.data import get_dataset_args

from descentlab.problems.base import Data
from descentlab.problems.builtin.mnist1d_conv import EXAMPLES, LENGTH, PROBLEM, TEST, load_data
from descentlab.problems.splits import split_data

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def data() -> Data:
    """All of it, which takes three seconds."""
    return load_data(None)


@pytest.fixture
def only_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as tests of how they are made need."""
    arguments = get_dataset_args()
    arguments.num_samples = 200
    monkeypatch.setattr(mnist1d.data, "get_dataset_args", lambda: arguments)


def test_parameters_are_as_counted() -> None:
    assert PROBLEM.build_model().count_params() == 2474
    assert PROBLEM.count.endswith("= 2,474") and "2,474 parameters" in PROBLEM.title


@pytest.mark.usefixtures("only_few")
def test_the_global_generators_are_left_as_they_were() -> None:
    draws = []
    for load in (lambda: None, lambda: load_data(None)):
        random.seed(1)
        np.random.seed(1)
        load()
        draws.append((random.random(), np.random.random()))
    assert draws[0] == draws[1]


@pytest.mark.usefixtures("only_few")
def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("load_data opened a connection")

    monkeypatch.setattr(socket, "socket", refuse)
    assert len(load_data(None)) == 200


def test_sizes_and_classes(data: Data) -> None:
    data.check("mnist1d_conv")
    assert (data.x.shape, data.x.dtype, data.y.dtype) == ((EXAMPLES, LENGTH), np.float32, np.int32)
    assert get_dataset_args().num_samples == EXAMPLES
    assert np.bincount(data.y).tolist() == 10 * [EXAMPLES // 10]
    np.testing.assert_array_equal(data.test, np.arange(EXAMPLES - TEST, EXAMPLES))
    split = split_data(PROBLEM, data, 0, PROBLEM.batch_size)
    assert [len(part) for part in (split.train, split.val, split.test)] == [3200, 800, 1000]


def test_series_are_standardized_without_the_test_split(data: Data) -> None:
    outside = data.x[: EXAMPLES - TEST].astype(np.float64)
    assert outside.mean() == pytest.approx(0, abs=1e-6) and outside.std() == pytest.approx(1, abs=1e-6)
    assert abs(data.x.mean()) > 1e-6  # with the test split they aren't


def test_no_series_is_in_two_splits(data: Data) -> None:
    """Each is drawn on its own, so none is a copy of another."""
    assert len(np.unique(data.x, axis=0)) == EXAMPLES


@pytest.mark.usefixtures("only_few")
def test_data_are_the_same_at_every_call() -> None:
    np.random.seed(7)
    first = load_data(None).hash()
    np.random.seed(8)  # whatever state the generators are in
    assert load_data(None).hash() == first
