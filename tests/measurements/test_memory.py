"""Memory of an update: what a run holds at most is seen, and grows with the examples that are in memory at once."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from descentlab.measurements.memory import MEMORY_COLUMNS, descent_update, measure_memory, peak_bytes
from descentlab.training.engine.trainable import initial_variables

pytestmark = [
    pytest.mark.usefixtures("device"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the most memory that a process held"),
]

FIRST_LAYER = 28 * 28 * 32 * 4  # bytes of its output for an example
GRADIENTS = 319_370 * 4  # bytes of them all


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    return measure_memory([1024, 64, 8], repeats=1)


@pytest.mark.parametrize("mebibytes", [64, 256])
def test_an_array_that_is_held_for_a_moment_is_seen(mebibytes: int) -> None:
    import tensorflow as tf

    def hold() -> None:
        tf.fill([mebibytes * 2**20], tf.constant(1, tf.uint8))

    more = peak_bytes(hold, "CPU") - peak_bytes(lambda: None, "CPU")
    assert more == pytest.approx(mebibytes * 2**20, rel=0.1)


@pytest.mark.parametrize("device", ["CPU", "a GPU"])
def test_part_by_part_it_is_the_same_step(device: str) -> None:
    """Of the weights of the slides' small network, on 64 examples, compiled as on either device."""
    from descentlab.problems.builtin.slides_mlp import PROBLEM

    data, initial = PROBLEM.load_data(None), initial_variables(PROBLEM, 0)
    steps = []
    for parts in (1, 8):
        model = PROBLEM.build_model()
        for variable, value in zip(model.variables, initial, strict=True):
            variable.assign(value)
        update = descent_update(replace(PROBLEM, build_model=lambda built=model: built), device)
        update(data.x[:64], data.y[:64], np.arange(64, dtype=np.int32).reshape(parts, -1))
        steps.append(np.concatenate([np.ravel(v) - w.ravel() for v, w in zip(model.variables, initial, strict=True)]))
    assert np.abs(steps[0]).max() > 1e-4
    np.testing.assert_allclose(steps[1], steps[0], atol=1e-8)


def test_every_size_has_a_row_and_the_largest_one_more_in_parts_of_64(measured: pd.DataFrame) -> None:
    assert list(measured.columns) == list(MEMORY_COLUMNS)
    cases = measured[["batch_size", "accumulated", "repeat"]].itertuples(index=False, name=None)
    assert list(cases) == [(8, 1, 0), (64, 1, 0), (1024, 1, 0), (1024, 16, 0)]
    assert (measured["update_microseconds"] > 0).all()


def test_memory_grows_with_the_examples_that_are_in_memory_at_once(measured: pd.DataFrame) -> None:
    """An example takes more than the first layer's output and its gradient, which are of one size.

    Nearly in proportion: 16.2 times with TensorFlow's kernels, 11.7 with oneDNN's (2026-11), which take other ways for larger
    batches.
    """
    peaks = measured.set_index(["batch_size", "accumulated"])["peak_bytes"]
    by_example = (peaks[1024, 1] - peaks[64, 1]) / (1024 - 64)
    assert 2 * FIRST_LAYER < by_example < 5 * FIRST_LAYER
    assert 10 < peaks[1024, 1] / peaks[64, 1] < 17


def test_accumulated_in_parts_a_large_batch_needs_what_a_part_does_and_the_sums_of_the_gradients(
    measured: pd.DataFrame,
) -> None:
    peaks = measured.set_index(["batch_size", "accumulated"])["peak_bytes"]
    part = (peaks[1024, 16] - GRADIENTS) / peaks[64, 1]
    assert 0.7 < part < 1.03  # 0.99 with TensorFlow's kernels, 0.83 to 0.89 with oneDNN's (2026-11)
