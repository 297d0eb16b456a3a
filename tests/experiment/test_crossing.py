"""Where a loss first falls to a target."""

from __future__ import annotations

import math

import numpy as np
import pytest

from descentlab.experiment.crossing import value_at_target


def held_out_at(train: list[float], held_out: list[float], target: float) -> float:
    return value_at_target(np.array(train), np.array(held_out), target)


def test_the_other_loss_is_interpolated_in_training_loss() -> None:
    """From 0.5 to 0.3 the target 0.35 lies three quarters of the way: 1.0 + 0.75 × (2.0 − 1.0)."""
    assert held_out_at([0.9, 0.5, 0.3], [3.0, 1.0, 2.0], 0.35) == pytest.approx(1.75)
    assert held_out_at([0.9, 0.5, 0.3], [3.0, 1.0, 2.0], 0.5) == pytest.approx(1.0)
    assert held_out_at([0.2, 0.1], [0.7, 0.9], 0.35) == 0.7
    assert math.isnan(held_out_at([0.9, 0.5], [3.0, 1.0], 0.35))


def test_nothing_is_interpolated_from_a_loss_that_is_not_finite() -> None:
    assert held_out_at([math.inf, 0.2], [9.0, 1.0], 0.3) == 1.0
    assert held_out_at([math.nan, 0.2], [9.0, 1.0], 0.3) == 1.0
