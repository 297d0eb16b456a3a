"""What an update and a step cost: state by optimizer, compiled loops beside single updates, ratios on known tables.

No time is asserted: what is timed is held to what it computes.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from descentlab.analysis.step_cost import STEP_RATIO_COLUMNS, summarize_step_cost
from descentlab.experiment.config import parse_config
from descentlab.measurements.step_cost import (
    LEAST_CALL_SECONDS,
    LEAST_STEPS,
    MOST_STEPS,
    STEP_COST_COLUMNS,
    choose_turns,
    measure_step_cost,
    plan_step_cost,
    round_orders,
    time_turn,
)
from descentlab.measurements.step_loops import CompiledLoops, Workload, build_large_model, build_workload
from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.training.engine.stateless_optimizer import state_bytes
from descentlab.training.make_plan import make_plan

pytestmark = pytest.mark.usefixtures("device")

# Muon keeps two variables for what Adam trains (biases, the last layer), Adafactor a row and a column for a matrix but as
# much as it finds for a vector: on the 319,370 parameters both keep between 1 and 1.1.
SLOTS = {
    0: ("gd", "sgd"),
    1: ("momentum", "nesterov", "adagrad", "rmsprop", "lion"),
    2: ("adam", "adamw", "adamax", "nadam", "adadelta", "ftrl", "lamb", "schedule_free_adamw"),
    3: ("amsgrad",),
}


@functools.cache
def workload(name: str) -> Workload:
    return build_workload(name, 0, "CPU")


@functools.cache
def loops(optimizer: str, model: str = "slides_mlp") -> CompiledLoops:
    return CompiledLoops(OPTIMIZERS[optimizer], workload(model))


def weights(name: str = "slides_mlp") -> list[np.ndarray]:
    return [np.asarray(variable).copy() for variable in workload(name).model.trainable_variables]


def generated(updates: dict[str, list[float]], steps: dict[str, list[float]]) -> pd.DataFrame:
    """A table of one model with given microseconds by optimizer and round."""
    rows = [
        {
            "model": "m",
            "parameters": 7,
            "batch_size": 32,
            "optimizer": name,
            "round": number,
            "steps": 9,
            "device": "CPU",
            "update_microseconds": update,
            "step_microseconds": steps[name][number],
            "state_bytes_per_parameter": 8.0,
            "device_peak_bytes": math.nan,
        }
        for name, values in updates.items()
        for number, update in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_slots_are_the_protocols() -> None:
    """Section 7's table, on the slides' convolutional network; sizes of variables only, so nothing is compiled."""
    found = {}
    for name, entry in OPTIMIZERS.items():
        optimizer = build(entry, "tuned", entry.center_learning_rate)
        optimizer.build(workload("slides_cnn").model.trainable_variables)
        found[name] = state_bytes(optimizer) / 4 / workload("slides_cnn").parameters
    assert workload("slides_cnn").parameters == 319_370
    exact = {name: slots for slots, names in SLOTS.items() for name in names}
    assert {name: found[name] for name in exact} == exact
    assert set(found) - set(exact) == {"muon", "adafactor"}
    assert 1 < found["muon"] < 1.1
    assert 1 < found["adafactor"] < 1.1


@pytest.mark.parametrize(("model", "parameters"), [("slides_mlp", 53), ("mlp", 4_810), ("slides_cnn", 319_370)])
def test_workloads_have_real_gradients(model: str, parameters: int) -> None:
    """Those of the loss on the batch: a small step against them lessens it as much as their squares say."""
    work = workload(model)
    assert work.parameters == parameters
    assert work.mode == ("graph" if model == "slides_cnn" else "xla")

    def loss(step: float) -> float:
        for variable, value, gradient in zip(work.model.trainable_variables, work.initial, work.gradients, strict=True):
            variable.assign(value - step * np.asarray(gradient))
        return float(work.model.compute_loss(work.x, work.y, work.model(work.x, training=True)))

    squares = sum(float(np.sum(np.asarray(gradient, np.float64) ** 2)) for gradient in work.gradients)
    slope = (loss(-1e-2) - loss(1e-2)) / 2e-2
    assert slope == pytest.approx(squares, rel=0.05)


def test_the_large_model_has_ten_million_parameters() -> None:
    assert build_large_model().count_params() == 10_041_354


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "schedule_free_adamw"])
def test_a_loop_of_updates_is_as_many_updates(optimizer: str) -> None:
    compiled = loops(optimizer)
    for call in (compiled.update, compiled.step):
        compiled.start()
        call(5)
        together = weights()
        compiled.start()
        for _ in range(5):
            call(1)
        for one, other, start in zip(together, weights(), workload("slides_mlp").initial, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
            assert np.abs(one - start).max() > 1e-4


def test_updates_use_the_constant_gradients_and_steps_new_ones() -> None:
    """Plain SGD by hand: 3 updates are 3 times rate × gradient; 3 steps are not."""
    compiled, work = loops("sgd"), workload("slides_mlp")
    rate = OPTIMIZERS["sgd"].center_learning_rate
    assert rate is not None
    expected = [start - 3 * rate * np.asarray(g) for start, g in zip(work.initial, work.gradients, strict=True)]
    compiled.start()
    assert compiled.update(3) == weights()[0].ravel()[0]
    for found, value in zip(weights(), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-6)
    compiled.start()
    compiled.step(3)
    assert max(np.abs(found - value).max() for found, value in zip(weights(), expected, strict=True)) > 1e-5
    compiled.start()
    compiled.step(1)
    for found, start, gradient in zip(weights(), work.initial, work.gradients, strict=True):
        np.testing.assert_allclose(found, start - rate * np.asarray(gradient), rtol=0, atol=1e-6)


def test_a_call_without_turns_changes_nothing() -> None:
    compiled = loops("adam")
    compiled.start()
    compiled.update(0)
    compiled.step(0)
    for found, start in zip(weights(), workload("slides_mlp").initial, strict=True):
        np.testing.assert_array_equal(found, start)


class Clock:
    """A clock that only calls move: 1 ms a call and some for each turn."""

    def __init__(self, turn_seconds: float) -> None:
        self.now = 0.0
        self.turn_seconds = turn_seconds
        self.calls = 0

    def call(self, turns: int) -> float:
        self.calls += 1
        self.now += 1e-3 + turns * self.turn_seconds
        return 0.0


@pytest.mark.parametrize("turn_seconds", [1e-6, 3e-5, 0.4])
def test_the_time_of_a_turn_leaves_the_calls_own_out(monkeypatch: pytest.MonkeyPatch, turn_seconds: float) -> None:
    clock = Clock(turn_seconds)
    monkeypatch.setattr("descentlab.measurements.step_cost.time.perf_counter", lambda: clock.now)
    turns = choose_turns(clock.call)
    assert turns * turn_seconds >= LEAST_CALL_SECONDS
    assert turns == 1 or turns / 2 * turn_seconds < LEAST_CALL_SECONDS
    for cell_seconds, expected in ((0.0, LEAST_STEPS), (1e6, MOST_STEPS)):
        microseconds, calls = time_turn(clock.call, turns, cell_seconds)
        assert microseconds == pytest.approx(turn_seconds * 1e6)
        assert calls == expected


def test_orders_are_permutations_that_the_seed_chooses() -> None:
    orders = round_orders(7, 5, 0)
    assert orders.shape == (5, 7)
    assert all(sorted(row) == list(range(7)) for row in orders.tolist())
    assert len({tuple(row) for row in orders.tolist()}) == 5
    np.testing.assert_array_equal(orders, round_orders(7, 5, 0))
    assert not np.array_equal(orders, round_orders(7, 5, 1))


def test_each_cell_is_timed_once_a_round_in_the_seeds_order() -> None:
    entries = [OPTIMIZERS[name] for name in ("sgd", "momentum")]
    table = measure_step_cost(entries, 3, ["slides_mlp"], rounds=4, cell_seconds=0.0)
    assert list(table.columns) == list(STEP_COST_COLUMNS)
    names = np.array([entry.name for entry in entries])
    assert table["optimizer"].tolist() == names[round_orders(2, 4, 3)].ravel().tolist()
    assert table["round"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (table["steps"] == LEAST_STEPS).all()
    assert (table["parameters"] == 53).all()
    assert table.groupby("optimizer")["state_bytes_per_parameter"].first().to_dict() == {"momentum": 4, "sgd": 0}
    assert table["device_peak_bytes"].isna().all() == (table["device"] == "CPU").all()
    summary = summarize_step_cost(table).set_index("optimizer")
    assert summary.loc["sgd", ["update_ratio", "update_low", "update_high"]].tolist() == [1, 1, 1]
    assert summary.loc["sgd", ["step_ratio", "step_low", "step_high"]].tolist() == [1, 1, 1]
    assert (summary["n"] == 4).all()


def test_the_summary_of_a_generated_table() -> None:
    """Ratios of 2, 4 and 8 in the rounds: geometric mean 4, standard deviation of logarithms log 2; steps 3, 3, 3."""
    updates = {"adam": [20.0, 80.0, 80.0], "sgd": [10.0, 20.0, 10.0]}
    steps = {"adam": [300.0, 600.0, 900.0], "sgd": [100.0, 200.0, 300.0]}
    summary = summarize_step_cost(generated(updates, steps))
    assert list(summary.columns) == list(STEP_RATIO_COLUMNS)
    adam = summary.set_index("optimizer").loc["adam"]
    half = stats.t.ppf(0.975, 2) * math.log(2) / math.sqrt(3)
    assert (adam["n"], adam["update_microseconds"], adam["step_microseconds"]) == (3, 80, 600)
    assert adam["update_ratio"] == pytest.approx(4)
    assert adam["update_low"] == pytest.approx(4 * math.exp(-half))
    assert adam["update_high"] == pytest.approx(4 * math.exp(half))
    assert [adam[f"step_{end}"] for end in ("ratio", "low", "high")] == pytest.approx([3, 3, 3])


def test_rounds_are_paired_by_number_not_by_place() -> None:
    table = generated({"adam": [2.0, 30.0], "sgd": [1.0, 10.0]}, {"adam": [2.0, 30.0], "sgd": [1.0, 10.0]})
    forwards, backwards = summarize_step_cost(table), summarize_step_cost(table[::-1])
    assert forwards.set_index("optimizer")["update_ratio"]["adam"] == pytest.approx(math.sqrt(6))
    pd.testing.assert_frame_equal(
        forwards.sort_values("optimizer", ignore_index=True), backwards.sort_values("optimizer", ignore_index=True)
    )


def test_without_plain_sgd_nothing_is_compared() -> None:
    with pytest.raises(ValueError, match="sgd"):
        measure_step_cost([OPTIMIZERS["adam"]], 0)
    with pytest.raises(ValueError, match="model 'm'.*sgd"):
        summarize_step_cost(generated({"adam": [1.0]}, {"adam": [1.0]}))


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="slides_mlp, mlp, slides_cnn, large; received 'cnn'"):
        build_workload("cnn", 0, "CPU")


def test_an_experiments_problems_are_timed_with_their_own_batches() -> None:
    wanted = {"problem": "linear_regression", "batch_size": 8}
    raw = {"experiment": "e", "problems": [wanted], "optimizers": ["gd", "momentum"]}
    plan = make_plan(parse_config(raw, "test"))
    examples = plan.problems["linear_regression"].train_examples
    table = plan_step_cost(plan)
    sizes = table.groupby("optimizer")["batch_size"].unique().map(list).to_dict()
    # Plain SGD is there to compare with, though the experiment lacks it.
    assert sizes == {"sgd": [8], "momentum": [8], "gd": [examples], "gd_equal_updates": [examples]}
    assert table["update_microseconds"].isna().all() and (table["step_microseconds"] > 0).all()
    summary = summarize_step_cost(table).set_index("optimizer")
    assert summary.loc["gd", "step_ratio"] > 1 and math.isnan(summary.loc["gd", "update_ratio"])
