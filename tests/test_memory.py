"""Memory of an update: what a run holds at most is seen, and grows with the batch."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from descentlab.mechanisms.memory import MEMORY_COLUMNS, measure_memory, peak_growth

pytestmark = [
    pytest.mark.usefixtures("device"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the most memory that a process held"),
]


@pytest.mark.parametrize("mebibytes", [32, 128])
def test_an_array_that_is_held_for_a_moment_is_seen(mebibytes: int) -> None:
    def hold() -> None:
        np.ones(mebibytes * 2**20, dtype=np.uint8)

    assert peak_growth(hold, "CPU") == pytest.approx(mebibytes * 2**20, rel=0.1)


def test_what_was_held_before_is_not_counted() -> None:
    held = np.ones(128 * 2**20, dtype=np.uint8)
    assert peak_growth(lambda: held.sum(), "CPU") < 16 * 2**20


def test_a_large_batch_needs_more_memory_than_a_small_one() -> None:
    """The first layer alone gives 100,352 bytes an example: 512 examples hold 51 MB, 8 hold 0.8."""
    table = measure_memory([512, 8], repeats=2)
    assert list(table.columns) == list(MEMORY_COLUMNS)
    assert list(zip(table["batch_size"], table["repeat"], strict=True)) == [(8, 0), (8, 1), (512, 0), (512, 1)]
    by_size = table.groupby("batch_size")["peak_bytes"].median()
    assert by_size[512] > by_size[8] + 25e6
