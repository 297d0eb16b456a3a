"""Copies by a config: everything of Keras' own comes through; what a reader's class forgets is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest

from descentlab.optimizers.build import build
from descentlab.optimizers.copies import lost_in_copy
from descentlab.optimizers.table import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("device")

METRICS: list[Callable[[], Any]] = [
    lambda: keras.metrics.AUC(num_thresholds=50),
    lambda: keras.metrics.F1Score(average="macro"),
    lambda: keras.metrics.Precision(0.3),
    lambda: keras.metrics.MeanIoU(3),
    lambda: keras.metrics.TopKCategoricalAccuracy(2),
    lambda: keras.metrics.R2Score(),
]


def copy_of(original: Any) -> Any:
    return type(original).from_config(original.get_config())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_keras_optimizers_lose_nothing_used_or_not(name: str) -> None:
    optimizer = build(OPTIMIZERS[name], "tuned", 0.03)
    assert lost_in_copy(optimizer, copy_of(optimizer)) == ""
    optimizer.build([keras.Variable([[1.0, 2.0]])])
    assert lost_in_copy(optimizer, copy_of(optimizer)) == ""


@pytest.mark.parametrize("make_metric", METRICS)
def test_keras_metrics_lose_nothing(make_metric: Callable[[], Any]) -> None:
    metric = make_metric()
    assert lost_in_copy(metric, copy_of(metric)) == ""


class Within(keras.metrics.Mean):
    """Has an argument that its config lacks."""

    def __init__(self, tolerance: float = 0.1, name: str = "within", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.tolerance = tolerance


def test_an_argument_without_a_config_is_found() -> None:
    assert lost_in_copy(Within(1.5), copy_of(Within(1.5))) == "tolerance"
    assert lost_in_copy(Within(), copy_of(Within())) == ""
