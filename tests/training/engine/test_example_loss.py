"""A loss by example: of the ranks that ``compile`` gives a function, and without a reduction."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from descentlab.training.engine.example_loss import example_loss, match_ranks, resolve_loss

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize(
    ("y", "predicted", "both"),
    [
        ((3,), (3, 1), (3, 1)),
        ((3, 1), (3,), (3, 1)),
        ((3, 2), (3, 2, 1), (3, 2)),
        ((3, 2, 1), (3, 2), (3, 2)),
        ((3, 2), (3, 2), (3, 2)),
    ],
)
def test_targets_and_predictions_get_one_rank(y: Any, predicted: Any, both: Any) -> None:
    assert [tuple(part.shape) for part in match_ranks(np.zeros(y), np.zeros(predicted))] == [both, both]


def test_ranks_that_do_not_belong_together_stay() -> None:
    """Labels beside the scores of three classes."""
    y, predicted = match_ranks(np.zeros(4), np.zeros((4, 3)))
    assert (tuple(y.shape), tuple(predicted.shape)) == ((4,), (4, 3))


@pytest.mark.parametrize(
    "loss",
    [
        "mean_squared_error",
        keras.losses.MeanSquaredError,
        lambda y, predicted: keras.ops.mean((predicted - y) ** 2, axis=-1),
    ],
)
def test_flat_targets_of_one_output_are_no_matrix(loss: Any) -> None:
    """(n,) beside (n, 1): n losses, not n times n; weighted as Keras does."""
    y, predicted = np.array([1.0, 2.0], np.float32), np.array([[3.0], [2.5]], np.float32)
    np.testing.assert_allclose(example_loss(loss)(y, predicted, None), [4, 0.25])
    np.testing.assert_allclose(example_loss(loss)(y, predicted, np.array([1.0, 4.0], np.float32)), [4, 1])
    assert float(resolve_loss(loss)(y, predicted)) == pytest.approx(4.25 / 2)
