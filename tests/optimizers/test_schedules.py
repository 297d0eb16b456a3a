"""Rates and evaluation steps against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descentlab.optimizers.schedules import MOST_EPOCH_EVALUATIONS, evaluation_steps, learning_rates, log_spaced_updates


def test_constant_rate() -> None:
    assert learning_rates(0.25, "constant", 3).tolist() == [0.25, 0.25, 0.25]


def test_linear_decay_reaches_zero_one_update_after_the_last() -> None:
    assert learning_rates(1.0, "linear", 4).tolist() == [1.0, 0.75, 0.5, 0.25]


def test_cosine_decay_is_half_a_period() -> None:
    """Loshchilov & Hutter 2017, equation 5 with the least rate 0: ½ (1 + cos(π t / T))."""
    half = np.sqrt(0.5) / 2
    assert learning_rates(1.0, "cosine", 4).tolist() == pytest.approx([1.0, 0.5 + half, 0.5, 0.5 - half])


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a schedule must be one of constant, linear, cosine; received 'step'$"):
        learning_rates(1.0, "step", 4)


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
