"""What the size of a batch changes: verdicts and numbers follow hand-made tables."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.comparison import Comparison
from descentlab.analysis.statistics.intervals import Interval
from descentlab.measurements.batch_size import BATCH_SIZE_COLUMNS
from descentlab.measurements.memory import MEMORY_COLUMNS
from descentlab.report.blocks import interval_text
from descentlab.report.sections import Evidence
from descentlab.report.sections.batches import (
    OVERFITTING,
    GapComparison,
    batches,
    compare_gaps,
    gap_differences,
    soonest,
)
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
            "accumulated": 1,
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


def judged(gaps: dict[int, float], missed: tuple[int, ...] = ()) -> GapComparison | None:
    return compare_gaps(gap_differences(compared(gaps, missed=missed)))


def test_nothing_measured_no_section() -> None:
    assert batches(evidence()) is None
    assert batches(evidence(batch_size=empty_table(BATCH_SIZE_COLUMNS), memory=empty_table(MEMORY_COLUMNS))) is None
    assert batches(evidence(memory=memory({1: np.nan, 64: np.nan}))) is None  # not on Linux


@pytest.mark.parametrize(
    ("gaps", "verdict", "difference", "less", "more"),
    [
        ((0.05, 0.05, 0.2), "less", 0.15, 2, 0),
        ((0.2, 0.2, 0.05), "more", -0.15, 0, 2),
        ((0.05, 0.05, 0.05), "unclear", 0.0, 0, 0),
    ],
)
def test_who_overfits_more_follows_the_gap(
    gaps: tuple[float, ...], verdict: str, difference: float, less: int, more: int
) -> None:
    of_sizes = dict(zip(SIZES, gaps, strict=True))
    verdicts = judged(of_sizes)
    assert verdicts is not None
    assert (verdicts.size, verdicts.judged, verdicts.sizes, verdicts.less, verdicts.more) == (
        16,
        verdict,
        2,
        less,
        more,
    )
    assert verdicts.difference.mean == pytest.approx(difference, abs=2e-3)
    title = titles(batches(evidence(batch_size=compared(of_sizes))))[0]
    assert values_of(title)[0] == 16 and values_of(title)[-3:] == [2, less, more]
    assert interval_text(verdicts.difference, signed=True) in title and OVERFITTING[verdict] in title


@pytest.mark.parametrize("sign", [1, -1])
def test_an_interval_that_holds_0_decides_nothing(sign: int) -> None:
    wide, narrow = Interval(0.1 * sign, 0.1 * sign - 0.2, 0.1 * sign + 0.2, 4), Interval(-0.1, -0.2, -0.01, 4)
    assert compare_gaps({4: narrow, 16: wide}) == GapComparison(16, wide, "unclear", sizes=2, less=0, more=1)


def test_the_smallest_batch_stands_for_16_where_that_was_not_measured() -> None:
    verdicts = judged({4: 0.05, 64: 0.2})
    assert verdicts is not None and (verdicts.size, verdicts.sizes, verdicts.judged) == (4, 1, "less")


def test_full_batch_that_never_got_there_is_not_compared() -> None:
    assert judged(dict.fromkeys(SIZES, 0.1), missed=(64,)) is None
    section = batches(evidence(batch_size=compared(dict.fromkeys(SIZES, 0.1), missed=(64,))))
    assert values_of(titles(section)[0]) == [math.inf]  # never, and no difference
    rows = table_named(section, "batch-table").rows
    assert [values_of(row[2]) for row in rows] == [[4, 4], [4, 4], [0, 4]]
    assert rows[2][3] == "" and rows[0][4] == ""


def test_without_a_run_that_got_there_no_gap_is_drawn() -> None:
    table = compared(dict.fromkeys(SIZES, 0.1), missed=SIZES)
    section = batches(evidence(batch_size=table))
    assert [block.identity for block in found(section).blocks] == ["batch-speed", "batch-table"]
    assert soonest(table.assign(seconds=1.0)) is None
    assert values_of(titles(section)[0])[-2:] == [1, 40]  # the title ends with the time of an update


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
    timed = table.assign(seconds=table["updates"] * table["update_microseconds"] * 1e-6)
    assert soonest(timed) == size
    values = values_of(titles(batches(evidence(batch_size=table)))[1])
    # From the smallest to the full batch: updates with their intervals, µs of an update; who is soonest, with its interval.
    assert values[:3] == [4, 64, updates[4] + 3] and values[-7:] == [1, 40, size, seconds, *values[-3:-1], 4]


def test_a_size_that_one_seed_missed_is_not_the_soonest() -> None:
    timed = compared(dict.fromkeys(SIZES, 0.1)).assign(seconds=lambda table: table["updates"] * 1e-6)
    assert soonest(timed) == 64
    missed = timed["reached"].mask((timed["batch_size"] == 64) & (timed["seed"] == 0), False)
    assert soonest(timed.assign(reached=missed)) == 16


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
