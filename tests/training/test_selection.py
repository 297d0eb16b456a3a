"""The rule that chooses a learning rate."""

from __future__ import annotations

import math
from typing import Any

import pytest

from descentlab.experiment.run_spec import RunSpec
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.training.tuning import select_learning_rate, select_trial


def specs_and_records(
    metrics: dict[float, list[float]], losses: dict[float, list[float]] | None = None
) -> tuple[list[RunSpec], list[dict[str, Any]]]:
    """Tuning runs with given final validation metrics by rate and seed; NaN for a diverged run."""
    specs, records = [], []
    for rate, values in metrics.items():
        for seed, value in enumerate(values):
            specs.append(RunSpec("p", "adam", "tuned", "tuning", rate, "linear", 32, 2, 32, False, 1000 + seed))
            loss = losses[rate][seed] if losses else 1.0
            status = "diverged" if math.isnan(value) else "finished"
            records.append({"status": status, "val_metric": 0.9 if math.isnan(value) else value, "val_loss": loss})
    return specs, records


def choose(metrics: dict[float, list[float]], sign: int = 1, **more: Any) -> dict[str, Any]:
    return select_learning_rate(OPTIMIZERS["adam"], "p", *specs_and_records(metrics, **more), sign)


def test_the_best_mean_is_chosen_in_the_metrics_direction() -> None:
    metrics = {0.1: [0.5, 0.7], 0.3: [0.8, 0.6], 1.0: [0.65, 0.65]}
    assert choose(metrics)["learning_rate"] == 0.3
    assert choose(metrics, sign=-1)["learning_rate"] == 0.1
    chosen = choose(metrics)
    assert chosen["val_metric"] == pytest.approx([0.6, 0.7, 0.65])
    assert (chosen["edge"], chosen["neighbors"], chosen["tuning_seeds"]) == ("", [0.1, 1.0], [1000, 1001])


def test_the_order_of_the_runs_does_not_matter() -> None:
    specs, records = specs_and_records({0.1: [0.5, 0.7], 0.3: [0.8, 0.6], 1.0: [0.65, 0.65]})
    forwards = select_learning_rate(OPTIMIZERS["adam"], "p", specs, records, 1)
    assert select_learning_rate(OPTIMIZERS["adam"], "p", specs[::-1], records[::-1], 1) == forwards


def test_a_rate_that_diverged_once_is_out() -> None:
    chosen = choose({0.1: [0.5, 0.5], 0.3: [0.6, 0.6], 1.0: [0.9, math.nan]})
    assert chosen["learning_rate"] == 0.3
    assert chosen["val_metric"][2] is None


def test_ties_go_to_the_lower_loss() -> None:
    metrics = {0.1: [0.5, 0.5], 0.3: [0.5, 0.5], 1.0: [0.5, 0.5]}
    assert choose(metrics, losses={0.1: [3, 3], 0.3: [2, 2], 1.0: [1, 1]})["learning_rate"] == 1.0


def test_means_that_differ_by_the_order_of_their_seeds_are_tied() -> None:
    """0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1 to the last bit: whichever is greater, the lower loss decides."""
    one, other = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert sum(one) != sum(other)
    for first, second in ((one, other), (other, one)):
        metrics = {0.1: first, 0.3: second, 1.0: [0.0] * 3}
        assert choose(metrics, losses={0.1: [2] * 3, 0.3: [1] * 3, 1.0: [3] * 3})["learning_rate"] == 0.3
        assert choose(metrics, losses={0.1: [1] * 3, 0.3: [2] * 3, 1.0: [3] * 3})["learning_rate"] == 0.1
        trials = [specs_and_records({0.1: values}, {0.1: [loss] * 3})[1] for values, loss in ((first, 2), (second, 1))]
        assert select_trial(trials, 1) == 1
        assert select_trial(trials[::-1], 1) == 0


@pytest.mark.parametrize(
    ("rates", "edge", "neighbors"), [((0.9, 0.5, 0.4), "low", [0.3]), ((0.4, 0.5, 0.9), "high", [0.3])]
)
def test_an_optimum_on_an_edge_is_named(rates: tuple[float, ...], edge: str, neighbors: list[float]) -> None:
    chosen = choose({rate: [value] for rate, value in zip((0.1, 0.3, 1.0), rates, strict=True)})
    assert (chosen["edge"], chosen["neighbors"]) == (edge, neighbors)


def test_where_every_rate_diverged_the_center_is_taken() -> None:
    chosen = choose({0.1: [math.nan], 0.3: [math.nan], 1.0: [math.nan]})
    assert (chosen["learning_rate"], chosen["edge"], chosen["val_metric"]) == (0.3, "", [None, None, None])


def test_without_a_rate_there_is_none_to_choose() -> None:
    spec = RunSpec("p", "adam", "tuned", "tuning", None, "constant", 32, 2, 32, False, 1000)
    records = [{"status": "finished", "val_metric": 0.5, "val_loss": 1.0}]
    chosen = select_learning_rate(OPTIMIZERS["adam"], "p", [spec], records, 1)
    assert (chosen["learning_rate"], chosen["grid"], chosen["neighbors"], chosen["edge"]) == (None, [None], [], "")
    assert chosen["val_metric"] == [0.5]
