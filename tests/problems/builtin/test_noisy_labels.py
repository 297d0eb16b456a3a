"""Noisy labels: how many, which, and that the test labels are clean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from descentlab.problems.builtin.noisy_labels import PROBLEM, build_model
from descentlab.problems.datasets.mnist import load_mnist_5k
from descentlab.problems.splits import split_data

pytestmark = pytest.mark.usefixtures("device")


def test_parameters_as_counted() -> None:
    model = build_model()
    assert (
        model.count_params() == sum(int(np.prod(variable.shape)) for variable in model.trainable_variables) == 118_282
    )
    assert PROBLEM.count.endswith("= 118,282") and "118,282 parameters" in PROBLEM.title


def test_two_labels_in_five_are_wrong_outside_the_test_split_and_none_inside() -> None:
    noisy, clean = PROBLEM.load_data(None), load_mnist_5k()
    wrong = noisy.y != clean.y
    assert noisy.test is not None and clean.test is not None
    np.testing.assert_array_equal(noisy.test, clean.test)
    assert (wrong.sum(), wrong[noisy.test].sum(), len(wrong) - len(noisy.test)) == (1500, 0, 3750)
    np.testing.assert_array_equal(noisy.x, clean.x)
    assert (noisy.y.dtype, noisy.y.min(), noisy.y.max()) == (np.int32, 0, 9)
    assert noisy.hash() == PROBLEM.load_data(None).hash() != clean.hash()


def test_wrong_labels_are_spread_evenly_over_the_other_nine() -> None:
    """Whichever digit is meant; chi-square tests at 0.1 %."""
    noisy, clean = PROBLEM.load_data(None), load_mnist_5k()
    wrong = noisy.y != clean.y
    distance = np.bincount((noisy.y - clean.y)[wrong] % 10, minlength=10)
    assert distance[0] == 0
    assert stats.chisquare(distance[1:]).pvalue > 0.001
    assert stats.chisquare(np.bincount(clean.y[wrong])).pvalue > 0.001


@pytest.mark.parametrize("seed", [0, 1])
def test_validation_labels_are_as_noisy_as_those_of_training(seed: int) -> None:
    """So a model that is always right has an accuracy of about 0.6 where rates are chosen, and of 1 where they are judged."""
    noisy, clean = PROBLEM.load_data(None), load_mnist_5k()
    split = split_data(PROBLEM, noisy, seed, PROBLEM.batch_size)
    right = [np.mean(noisy.y[part] == clean.y[part]) for part in (split.train, split.val, split.test)]
    assert right == pytest.approx([0.6, 0.6, 1], abs=0.05)
    assert right[2] == 1
