"""The graph convolution: its examples hold the paper's network, and no label of another node."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from descentlab.problems.base import Data
from descentlab.problems.builtin import graph
from descentlab.problems.builtin.graph import MOST, NEIGHBORS, PROBLEM, load_data, normalized_adjacency
from descentlab.problems.classification import load_digits
from descentlab.problems.splits import split_data
from descentlab.problems.splits import test_indices as indices_of_test
from descentlab.problems.table import builtin_problem

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(None)


@pytest.fixture(scope="module")
def adjacency() -> np.ndarray:
    return normalized_adjacency(load_digits(None).x)


def test_parameters_are_as_counted() -> None:
    assert PROBLEM.build_model().count_params() == 2410
    assert PROBLEM.count.endswith("= 2,410") and "2,410 parameters" in PROBLEM.title


def test_the_normalized_adjacency_of_a_path() -> None:
    """Three points on a line, each joined to one neighbor: degrees with self-loops are 2, 3 and 2."""
    points = np.array([[0.0], [1.0], [2.5]])
    root6 = 1 / np.sqrt(6)
    expected = [[1 / 2, root6, 0], [root6, 1 / 3, root6], [0, root6, 1 / 2]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "NEIGHBORS", 1)
        np.testing.assert_allclose(normalized_adjacency(points), expected)


def test_the_graph_of_the_digits(adjacency: np.ndarray) -> None:
    """Its norm is that of any such matrix: 1, with the roots of the degrees as eigenvector."""
    degrees = (adjacency > 0).sum(axis=1)
    assert degrees.min() >= NEIGHBORS + 1 and degrees.max() == MOST
    np.testing.assert_array_equal(adjacency, adjacency.T)
    np.testing.assert_allclose(adjacency @ np.sqrt(degrees), np.sqrt(degrees))


def test_data_are_sound(data: Data) -> None:
    data.check("graph")
    assert (data.x["weights"].shape, data.x["features"].shape) == ((1797, MOST), (1797, MOST, 64))
    assert {array.dtype for array in data.inputs()} == {np.dtype(np.float32)} and data.y.dtype == np.int32
    assert data.hash() == load_data(None).hash()


def test_logits_are_those_of_the_whole_graph(data: Data, adjacency: np.ndarray) -> None:
    """Z = Â ReLU(Â X W1 + b1) W2 + b2, with the dense matrices in double precision."""
    model = PROBLEM.build_model()
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(0, 0.3, w.shape) for w in model.get_weights()])
    w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    hidden = np.maximum(adjacency @ load_digits(None).x.astype(np.float64) @ w1 + b1, 0)
    logits = keras.ops.convert_to_numpy(model(data.x))
    np.testing.assert_allclose(logits, adjacency @ hidden @ w2 + b2, rtol=1e-3, atol=1e-4)


def test_a_tenth_of_the_labels_train_and_splits_share_none(data: Data) -> None:
    split = split_data(PROBLEM, data, 0, PROBLEM.batch_size)
    assert [len(part) for part in (split.train, split.val, split.test)] == [176, 722, 899]
    assert len(np.union1d(np.union1d(split.train, split.val), split.test)) == 1797
    for part in (split.train, split.val, split.test):
        assert np.abs(np.bincount(data.y[part]) / len(part) - 0.1).max() < 0.02


def test_inputs_depend_on_no_label(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_digits(None)
    monkeypatch.setattr(graph, "load_digits", lambda path: Data(digits.x, np.zeros_like(digits.y)))
    for ours, theirs in zip(load_data(None).inputs(), data.inputs(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_change_of_one_feature_is_seen_in_the_hash(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_digits(None)
    x = digits.x.copy()
    x[5, 20] += 1e-3
    monkeypatch.setattr(graph, "load_digits", lambda path: Data(x, digits.y))
    assert load_data(None).hash() != data.hash()


def test_the_test_split_is_its_own(data: Data) -> None:
    """Not that of the other problems on digits: half of the nodes, drawn by its own name."""
    digits = builtin_problem("mlp")
    assert not set(indices_of_test(digits, load_digits(None))) <= set(indices_of_test(PROBLEM, data))
