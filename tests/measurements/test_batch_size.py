"""The gap at matched training loss: interpolation by hand, budgets, and one measurement of two batch sizes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from descentlab.measurements import batch_size as module
from descentlab.measurements.batch_size import (
    BATCH_SIZE_COLUMNS,
    budget_updates,
    evaluation_updates,
    first_at_target,
    grid,
    measure_batch_size,
)

pytestmark = pytest.mark.usefixtures("device")


def test_a_loss_that_is_no_number_never_reaches() -> None:
    assert first_at_target(np.array([math.nan, 0.2]), 0.3) == 1
    assert first_at_target(np.array([math.nan, math.inf]), 0.3) is None


def test_evaluations_ascend_from_zero_to_the_budget() -> None:
    steps = evaluation_updates(20_000)
    assert steps[0] == 0 and steps[1] == 1 and steps[-1] == 20_000
    assert (np.diff(steps) > 0).all()


def test_budgets_and_grids() -> None:
    assert budget_updates(1024, 1) == 20_000
    assert budget_updates(1024, 0) == 3000
    assert grid(32) == [0.03, 0.0949, 0.3, 0.949, 3.0]
    assert grid(1024) == grid(32)
    assert grid(8)[2] == 0.15


@pytest.fixture
def two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_SIZES", (64, 0))
    monkeypatch.setattr(module, "COMPARED_SIZES", (64, 0))
    monkeypatch.setattr(module, "MATCHED_LOSSES", (1.0, 0.5))
    monkeypatch.setattr(module, "TARGET", 0.5)


@pytest.mark.usefixtures("two_sizes")
def test_a_seed_is_the_same_beside_others_and_other_seeds_differ() -> None:
    table, gaps = measure_batch_size([0, 1])
    assert list(table.columns) == list(BATCH_SIZE_COLUMNS)
    assert table[["batch_size", "seed"]].to_numpy().tolist() == [[64, 0], [64, 1], [768, 0], [768, 1]]
    assert table["reached"].all()
    assert (table["examples"] == table["updates"] * table["batch_size"]).all()
    np.testing.assert_allclose(table["gap_at_target"], table["test_loss_at_target"] - 0.5)
    timeless = [name for name in table if name != "update_microseconds"]
    alone, gaps_alone = measure_batch_size([1])
    same = table[table["seed"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone[timeless], same[timeless], check_exact=True)
    assert table.groupby("batch_size")["gap_at_target"].nunique().eq(2).all()
    pd.testing.assert_frame_equal(gaps_alone, gaps[gaps["seed"] == 1].reset_index(drop=True), check_exact=True)
    assert set(zip(gaps["problem"], gaps["train_loss"], strict=True)) == {
        (problem, loss) for problem in ("mlp", "slides_mlp") for loss in (1.0, 0.5)
    }
    at_target = gaps[(gaps["problem"] == "mlp") & (gaps["train_loss"] == 0.5)]
    np.testing.assert_allclose(at_target["gap"], table["gap_at_target"])
