"""A compiled loop of updates is as many updates of the optimizer on the same gradients."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from descentlab.measurements.standard_models import standard_problem
from descentlab.measurements.update_loop import UpdateLoop
from descentlab.measurements.workload import Workload
from descentlab.optimizers.table import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("device")


@functools.cache
def workload() -> Workload:
    return Workload.of(standard_problem("slides_mlp", "CPU"))


@functools.cache
def loop(optimizer: str, mode: str = "xla") -> UpdateLoop:
    return UpdateLoop(OPTIMIZERS[optimizer], workload(), mode)


def weights_after(optimizer: str, *stretches: int, mode: str = "xla") -> list[np.ndarray]:
    advance = loop(optimizer, mode).begin()
    assert all(advance(updates) > 0 for updates in stretches)
    return [np.asarray(weight).copy() for weight in workload().weights]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "schedule_free_adamw"])
def test_a_loop_of_updates_is_as_many_updates(optimizer: str) -> None:
    together, one_by_one = weights_after(optimizer, 5), weights_after(optimizer, 1, 1, 0, 1, 1, 1)
    for one, other, start in zip(together, one_by_one, workload().initial, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
        assert np.abs(one - start).max() > 1e-4


@pytest.mark.parametrize("mode", ["xla", "graph"])
def test_updates_use_the_constant_gradients(mode: str) -> None:
    """Plain SGD by hand: 3 updates are 3 times rate × gradient."""
    rate = OPTIMIZERS["sgd"].center_learning_rate
    assert rate is not None
    for found, start, gradient in zip(
        weights_after("sgd", 3, mode=mode), workload().initial, workload().gradients, strict=True
    ):
        np.testing.assert_allclose(found, start - 3 * rate * np.asarray(gradient), rtol=0, atol=1e-6)


def test_a_call_without_turns_changes_nothing() -> None:
    for found, start in zip(weights_after("adam", 0), workload().initial, strict=True):
        np.testing.assert_array_equal(found, start)
