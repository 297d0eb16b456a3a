"""A run's evaluations as rows: which losses are divergences."""

from __future__ import annotations

import pytest

from descentlab.problems.base import Problem
from descentlab.training.run_record import divergence


def test_a_metric_that_is_no_number_is_the_worst_result() -> None:
    row = {"updates": 7, "train_loss": 0.1, "val_loss": 0.1, "val_metric": 0.9, "test_metric": float("nan")}
    assert divergence(row, row, 10) == divergence(row, row, 10, ["val_metric"]) == ""
    assert divergence(row, row, 10, ["val_metric", "test_metric"]) == "test_metric not finite after 7 updates"


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize(("name", "other"), [("train_loss", "val_loss"), ("val_loss", "train_loss")])
def test_a_loss_of_ten_times_the_initial_one_is_a_divergence(name: str, other: str, unit: float) -> None:
    """In training and in validation, whatever the unit of the loss."""
    first = {"updates": 0, name: 2.0 * unit, other: 3.0 * unit}
    below, above = ({"updates": 4, name: times * unit, other: 29.0 * unit} for times in (19.9, 20.1))
    assert divergence(first, first, 10) == divergence(first, below, 10) == ""
    assert divergence(first, above, 10).startswith(name)
    assert divergence(first, above, 11) == ""


def test_a_negative_loss_has_a_bound_too() -> None:
    """A log density of the reader's: from -2 it may rise by nine times 2."""
    first, below, above = ({"updates": 1, "train_loss": loss, "val_loss": 0.0} for loss in (-2.0, 15.9, 16.1))
    assert (divergence(first, below, 10), bool(divergence(first, above, 10))) == ("", True)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize(
    ("initial", "peak", "diverged"),
    [
        (1.1, 18.0, False),
        (5.6, 18.0, False),
        (1.1, 1_099.0, False),
        (5.6, 5_599.0, False),
        (1.1, 1_101.0, True),
        (1.1, 10_127.0, True),
        (5.6, 10_127.0, True),
    ],
)
def test_only_a_peak_of_a_thousand_initial_losses_is_a_divergence(
    initial: float, peak: float, diverged: bool, unit: float
) -> None:
    """Of peaks of 18 to 10,127, seen in runs that began at 1.1 to 5.6: the highest is, from wherever; of the lowest, none."""
    first, row = ({"updates": 1, "train_loss": unit * loss, "val_loss": unit * loss} for loss in (initial, peak))
    assert bool(divergence(first, row, Problem.divergence_factor)) == diverged
