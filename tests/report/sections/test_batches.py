"""What the size of a batch changes: every sentence follows hand-made tables."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.tables import Comparison
from descentlab.measurements.batch_size import BATCH_SIZE_COLUMNS
from descentlab.measurements.memory import MEMORY_COLUMNS
from descentlab.report.sections import Evidence
from descentlab.report.sections.batches import batches
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan
from support.report_evidence import found, table_named, titles, values_of

SIZES = (4, 16, 64)
UPDATES, CLOCK = {4: 900, 16: 400, 64: 50}, {4: 1.0, 16: 2.0, 64: 40.0}


def compared(gaps: dict[int, float], updates: dict[int, int] = UPDATES, missed: tuple[int, ...] = ()) -> pd.DataFrame:
    """Four seeds a batch size; seeds shift all sizes alike, so that pairs differ less than seeds do."""
    rows = [
        {
            "batch_size": size,
            "seed": seed,
            "learning_rate": 0.1,
            "updates": updates[size] + 2 * seed,
            "examples": (updates[size] + 2 * seed) * size,
            "update_microseconds": CLOCK[size],
            "train_loss": 0.3 if size in missed else 0.1,
            "test_loss_at_target": np.nan if size in missed else 0.1 + gap + seed / 10 + (seed * size) % 3 / 1000,
            "gap_at_target": np.nan if size in missed else gap + seed / 10 + (seed * size) % 3 / 1000,
            "reached": size not in missed,
        }
        for size, gap in gaps.items()
        for seed in range(4)
    ]
    return check_table(pd.DataFrame(rows), BATCH_SIZE_COLUMNS, "hand-made")


def memory(peaks: dict[int, float]) -> pd.DataFrame:
    rows = [
        {
            "batch_size": size,
            "repeat": repeat,
            "peak_bytes": peak * 1e6 * (1 + repeat / 100),
            "update_microseconds": 1e3,
        }
        for size, peak in peaks.items()
        for repeat in range(3)
    ]
    return check_table(pd.DataFrame(rows), MEMORY_COLUMNS, "hand-made")


def evidence(**measured: pd.DataFrame) -> Evidence:
    return Evidence(generated_plan(), cast(Comparison, SimpleNamespace()), [], measured)


def of_gaps(*gaps: float) -> str:
    return titles(batches(evidence(batch_size=compared(dict(zip(SIZES, gaps, strict=True))))))[0]


def test_nothing_measured_no_section() -> None:
    assert batches(evidence()) is None
    assert batches(evidence(batch_size=empty_table(BATCH_SIZE_COLUMNS), memory=empty_table(MEMORY_COLUMNS))) is None
    assert batches(evidence(memory=memory({1: np.nan, 64: np.nan}))) is None  # not on Linux


def test_who_overfits_more_follows_the_gap() -> None:
    less, more, alike = of_gaps(0.05, 0.05, 0.2), of_gaps(0.2, 0.2, 0.05), of_gaps(0.05, 0.05, 0.05)
    assert values_of(less)[:2] == [16, 0.15] and values_of(less)[-3:] == [2, 2, 0]  # sizes, clearly less, clearly more
    assert values_of(more)[:2] == [16, -0.15] and values_of(more)[-3:] == [2, 0, 2]
    assert "overfit less" in less.split("; ")[0] and "overfit more" in more.split("; ")[0]
    assert "no clear difference" in alike and values_of(alike)[-3:] == [2, 0, 0]


def test_the_smallest_batch_stands_for_16_where_that_was_not_measured() -> None:
    table = compared({4: 0.05, 64: 0.2})
    assert values_of(titles(batches(evidence(batch_size=table)))[0])[:2] == [4, 0.15]


def test_full_batch_that_never_got_there_is_not_compared() -> None:
    section = batches(evidence(batch_size=compared(dict.fromkeys(SIZES, 0.1), missed=(64,))))
    assert "never" in titles(section)[0] and "overfit" not in titles(section)[0]
    rows = table_named(section, "batch-table").rows
    assert [row[2] for row in rows] == ["4 of 4", "4 of 4", "0 of 4"]
    assert rows[2][3] == "" and rows[0][4] == ""


def test_without_a_run_that_got_there_no_gap_is_drawn() -> None:
    section = batches(evidence(batch_size=compared(dict.fromkeys(SIZES, 0.1), missed=SIZES)))
    assert [block.identity for block in found(section).blocks] == ["batch-speed", "batch-table"]
    assert "no batch size" in titles(section)[0] and "soonest" not in titles(section)[0]


@pytest.mark.parametrize(
    ("updates", "missed", "size", "seconds"),
    [
        (UPDATES, (), 16, 0.000806),  # 903 · 1, 403 · 2 and 53 · 40 µs
        ({4: 900, 16: 400, 64: 5}, (), 64, 0.00032),
        (UPDATES, (16,), 4, 0.000903),
    ],
)
def test_who_is_there_first_follows_updates_times_time(
    updates: dict[int, int], missed: tuple[int, ...], size: int, seconds: float
) -> None:
    table = compared(dict.fromkeys(SIZES, 0.1), updates, missed)
    title = titles(batches(evidence(batch_size=table)))[1]
    before, soonest = title.split("soonest")
    assert values_of(soonest)[:2] == [size, seconds] and values_of(soonest)[-1] == 4
    assert updates[4] + 3 in values_of(before) and values_of(before)[-2:] == [1, 40]  # µs of an update


def test_pairs_are_narrower_than_seeds() -> None:
    """Seeds shift the gap by 0.1 each: the interval of a mean is far wider than that of the paired difference."""
    row = table_named(batches(evidence(batch_size=compared({4: 0.05, 16: 0.05, 64: 0.05}))), "batch-table").rows[0]

    def width(text: str) -> float:
        low, high = text.replace("−", "-").split("[")[1].split("]")[0].split(", ")
        return float(high) - float(low)

    assert width(row[4]) < 0.05 * width(row[3])


def test_memory_is_held_against_64_where_it_was_measured() -> None:
    title = titles(batches(evidence(memory=memory({1: 40, 64: 50, 2048: 500}))))[0]
    assert values_of(title) == [2048, 505, 493, 517, 3, 64, 10, 10, 10, 3, 32]
    flat = titles(batches(evidence(memory=memory({1: 40, 2048: 40}))))[0]
    assert values_of(flat)[5:] == [1, 1, 1, 1, 3, 2048]
