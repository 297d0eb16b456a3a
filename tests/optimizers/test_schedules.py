"""Rates and evaluation steps against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descentlab.optimizers.import_path import ImportPathError
from descentlab.optimizers.schedules import (
    MOST_EPOCH_EVALUATIONS,
    SCHEDULES,
    SHAPES,
    StalledLoss,
    evaluation_steps,
    learning_rates,
    log_spaced_updates,
)


def test_constant_rate() -> None:
    assert learning_rates(0.25, "constant", 3).tolist() == [0.25, 0.25, 0.25]


def test_linear_decay_reaches_zero_one_update_after_the_last() -> None:
    assert learning_rates(1.0, "linear", 4).tolist() == [1.0, 0.75, 0.5, 0.25]


def test_cosine_decay_is_half_a_period() -> None:
    """Loshchilov & Hutter 2017, equation 5 with the least rate 0: ½ (1 + cos(π t / T))."""
    half = np.sqrt(0.5) / 2
    assert learning_rates(1.0, "cosine", 4).tolist() == pytest.approx([1.0, 0.5 + half, 0.5, 0.5 - half])


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^unknown schedule 'liner', did you mean 'linear'\? Valid: constant, linear, "
    ):
        learning_rates(1.0, "liner", 4)


def test_exponential_decay_multiplies_by_the_same_factor_down_to_a_hundredth() -> None:
    rates = learning_rates(1.0, "exponential", 10).astype(float)
    assert rates[1:] / rates[:-1] == pytest.approx([0.01**0.1] * 9)


def test_steps_divide_by_ten_after_a_half_and_after_three_quarters() -> None:
    assert learning_rates(1.0, "step", 8).tolist() == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_wsd_is_constant_until_the_last_fifth() -> None:
    assert learning_rates(1.0, "wsd", 10).tolist() == pytest.approx([1] * 9 + [0.5])


@pytest.mark.parametrize("schedule", SHAPES)
def test_warmup_rises_linearly_and_leaves_the_rest_to_the_schedule(schedule: str) -> None:
    rates = learning_rates(0.4, f"warmup_{schedule}", 100)
    assert rates[:5].tolist() == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4])
    assert rates[5:].tobytes() == learning_rates(0.4, schedule, 95).tobytes()
    assert len(learning_rates(0.4, f"warmup_{schedule}", 1)) == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(st.integers(1, 300))
def test_a_schedule_starts_at_the_rate_or_below_and_never_leaves_zero_to_the_rate(schedule: str, updates: int) -> None:
    rates = learning_rates(0.5, schedule, updates)
    assert rates.shape == (updates,) and rates.dtype == np.float32
    assert (rates >= 0).all() and rates.max() == 0.5


def falling_by_powers(initial: float, updates: int) -> Callable[[int], float]:
    """A schedule of a reader's own."""
    del updates
    return lambda update: initial / 2**update


def never_a_rate(initial: float, updates: int) -> Callable[[int], float]:
    return lambda update: initial - update


@pytest.mark.usefixtures("device")
def test_a_schedule_of_the_readers_own() -> None:
    assert learning_rates(1.0, f"{__name__}:falling_by_powers", 3).tolist() == [1.0, 0.5, 0.25]
    with pytest.raises(ImportPathError, match=r"finite and at least 0; received -1.0 at update 2$"):
        learning_rates(1.0, f"{__name__}:never_a_rate", 3)
    own = learning_rates(0.1, f"{__name__}:cosine_restarts", 6)
    keras_own = cosine_restarts(0.1, 6)
    assert own.tolist() == [float(keras_own(update)) for update in range(6)]


def cosine_restarts(initial: float, updates: int) -> Any:
    """One of Keras' own."""
    import keras

    return keras.optimizers.schedules.CosineDecayRestarts(initial, updates // 2)


def test_a_loss_stalls_after_its_patience_and_counts_anew() -> None:
    losses = [5.0, 4.0, 4.0, 4.0, 3.9, 3.95, 3.95]
    stalled = StalledLoss(patience=2)
    assert [stalled.stalled(epoch, loss) for epoch, loss in enumerate(losses)] == [
        *(False, False, False, True, False, False, True)
    ]
    choosy = StalledLoss(patience=2, least_fall=0.2)
    assert [choosy.stalled(epoch, loss) for epoch, loss in enumerate(losses)] == [
        *(False, False, False, True, False, True, False)
    ]
    assert StalledLoss(patience=1).stalled(1, np.nan)  # a loss that is no number is no fall


def test_evaluations_double_inside_the_first_epoch_then_follow_epochs() -> None:
    assert evaluation_steps(10, 3) == [0, 1, 2, 4, 8, 10, 20, 30]
    assert evaluation_steps(8, 2) == [0, 1, 2, 4, 8, 16]
    assert evaluation_steps(1, 3) == [0, 1, 2, 3]


@given(st.integers(1, 500), st.integers(1, 3000))
def test_evaluations_ascend_from_zero_to_the_budget(updates_per_epoch: int, epochs: int) -> None:
    steps = np.array(evaluation_steps(updates_per_epoch, epochs))
    assert steps[0] == 0
    assert steps[-1] == updates_per_epoch * epochs
    assert (np.diff(steps) > 0).all()
    ends = steps[steps >= updates_per_epoch]
    assert (ends % updates_per_epoch == 0).all()
    assert len(ends) <= MOST_EPOCH_EVALUATIONS
    assert updates_per_epoch in steps


def test_without_a_learning_rate_every_update_has_none() -> None:
    rates = learning_rates(None, "constant", 3)
    assert (rates.dtype, rates.shape) == (np.float32, (3,))
    assert np.isnan(rates).all()


@given(st.integers(1, 100_000), st.integers(2, 200))
def test_log_spaced_updates_ascend_from_zero_over_one_to_the_budget(budget: int, count: int) -> None:
    updates = np.array(log_spaced_updates(budget, count))
    assert updates[:2].tolist() == [0, 1] and updates[-1] == budget
    assert (np.diff(updates) > 0).all() and len(updates) <= count + 1
