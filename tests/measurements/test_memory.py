"""Memory of an update: what a run holds at most is seen, and grows with the batch."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from descentlab.measurements.memory import MEMORY_COLUMNS, measure_memory, peak_bytes

pytestmark = [
    pytest.mark.usefixtures("device"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the most memory that a process held"),
]


@pytest.mark.parametrize("mebibytes", [64, 256])
def test_an_array_that_is_held_for_a_moment_is_seen(mebibytes: int) -> None:
    def hold() -> None:
        np.ones(mebibytes * 2**20, dtype=np.uint8)

    more = peak_bytes(hold, "CPU") - peak_bytes(lambda: None, "CPU")
    assert more == pytest.approx(mebibytes * 2**20, rel=0.1)


def test_accumulated_in_parts_a_large_batch_needs_less_than_at_once() -> None:
    table = measure_memory([64, 1024], repeats=1).set_index(["batch_size", "accumulated"])["peak_bytes"]
    assert list(table.index) == [(64, 1), (1024, 16), (1024, 1)]
    assert table[1024, 16] < 0.5 * table[1024, 1]


def test_a_large_batch_needs_more_memory_than_a_small_one() -> None:
    """The first layer alone gives 100,352 bytes an example: 1,024 examples hold 103 MB, 8 hold 0.8."""
    table = measure_memory([1024, 8], repeats=1)
    assert list(table.columns) == list(MEMORY_COLUMNS)
    assert list(zip(table["batch_size"], table["repeat"], strict=True)) == [(8, 0), (1024, 0)]
    small, large = table["peak_bytes"]
    assert large > small + 80e6
