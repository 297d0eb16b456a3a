"""The heavy-tailed classes: their sizes in every split, and the loss of the rarest against NumPy."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from descentlab.problems.base import Data
from descentlab.problems.builtin.heavy_tail import CLASSES, DISTANCE, PROBLEM, RAREST, load_data, rarest_loss
from descentlab.problems.splits import split_data

pytestmark = pytest.mark.usefixtures("device")

GROUP = np.repeat(np.arange(7), 2 ** np.arange(7))  # of each class


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(None)


def test_parameters_are_as_counted() -> None:
    assert PROBLEM.build_model().count_params() == 8255
    assert PROBLEM.count.endswith("= 8,255") and "8,255 parameters" in PROBLEM.title


def test_groups_are_of_one_size_and_their_classes_double(data: Data) -> None:
    data.check("heavy_tail")
    assert (data.x.shape, data.x.dtype, data.y.dtype) == ((14336, 64), np.float32, np.int32)
    counts = np.bincount(data.y)
    assert len(counts) == CLASSES == len(GROUP) == 127
    np.testing.assert_array_equal(counts, 2048 / 2**GROUP)
    np.testing.assert_array_equal(np.bincount(GROUP[data.y]), 7 * [2048])
    assert (GROUP[RAREST], GROUP[RAREST - 1]) == (6, 5)


def test_inputs_lie_around_the_mean_of_their_class(data: Data) -> None:
    """Of the three classes with 1,024 examples or more, whose means are known to 1/32 in each direction."""
    for label in range(3):
        x = data.x[data.y == label].astype(np.float64)
        assert np.linalg.norm(x.mean(0)) == pytest.approx(DISTANCE, abs=0.25)
        assert x.std(0) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_split_has_a_seventh_of_each_group(data: Data, seed: int) -> None:
    """Exactly, or the mean of the scores would not be the loss of the rarest group."""
    split = split_data(PROBLEM, data, seed, PROBLEM.batch_size)
    assert [len(part) for part in (split.train, split.val, split.test)] == [5376, 1792, 7168]
    for part in (split.train, split.val, split.test):
        np.testing.assert_array_equal(np.bincount(data.y[part]), len(part) / 7 / 2**GROUP)


def test_the_metric_is_the_mean_loss_of_the_rarest_group(data: Data) -> None:
    test = split_data(PROBLEM, data, 0, PROBLEM.batch_size).test
    y = data.y[test]
    logits = np.random.default_rng(0).normal(size=(len(y), CLASSES)).astype(np.float32)
    scores = keras.ops.convert_to_numpy(rarest_loss(y, logits))
    losses = -log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(y)), y]
    assert scores.shape == y.shape
    assert scores.mean() == pytest.approx(losses[GROUP[y] == 6].mean(), rel=1e-5)
    assert scores.mean() != pytest.approx(losses.mean(), rel=1e-3)
    np.testing.assert_array_equal(scores, keras.ops.convert_to_numpy(rarest_loss(y[:, None], logits)))


def test_known_losses_of_constant_predictions(data: Data) -> None:
    """Equal chances cost log 127; the true frequencies cost the entropy, and the rarest group log(7 · 64), which is more."""
    train = split_data(PROBLEM, data, 0, PROBLEM.batch_size).train
    y = data.y[train]
    frequency = np.bincount(y) / len(y)
    equal, prior = (np.tile(row, (len(y), 1)).astype(np.float32) for row in (np.zeros(CLASSES), np.log(frequency)))
    entropy = -float(np.sum(frequency * np.log(frequency)))
    assert entropy == pytest.approx(math.log(7) + 3 * math.log(2))  # the group, and i bits in group i, 3 on average
    assert float(PROBLEM.loss(y, equal)) == pytest.approx(math.log(127), rel=1e-5)
    assert float(PROBLEM.loss(y, prior)) == pytest.approx(entropy, rel=1e-5)
    assert float(keras.ops.mean(rarest_loss(y, equal))) == pytest.approx(math.log(127), rel=1e-5)
    assert float(keras.ops.mean(rarest_loss(y, prior))) == pytest.approx(math.log(448), rel=1e-5)


def test_data_are_the_same_at_every_call(data: Data) -> None:
    assert data.hash() == load_data(None).hash()
