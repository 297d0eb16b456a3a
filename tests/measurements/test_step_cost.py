"""What a step costs: it is timed in the loop that trains the problem's runs, and what can't be timed costs no other row.

No time is asserted: what is timed is held to what it computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from descentlab.analysis.step_cost import STEP_RATIO_COLUMNS, summarize_step_cost
from descentlab.experiment.config import parse_config
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.step_cost import STEP_COST_COLUMNS
from descentlab.measurements.standard_models import standard_problem
from descentlab.measurements.step_cost import (
    LEAST_CALL_SECONDS,
    LEAST_CALLS,
    MOST_CALLS,
    MOST_UPDATES,
    TURNS,
    StepLoop,
    choose_turns,
    measure_step_cost,
    plan_step_cost,
    round_orders,
    time_cells,
    time_turn,
)
from descentlab.measurements.workload import Workload
from descentlab.optimizers.table import LITERATURE, OPTIMIZERS, OptimizerEntry
from descentlab.problems.table import BUILTIN_PROBLEMS, builtin_problem
from descentlab.training.find_problem import planned_problem
from descentlab.training.make_plan import make_plan
from descentlab.training.problem_data import ProblemData
from models import zoo
from support.job_data import job_data

pytestmark = pytest.mark.usefixtures("device")


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


class Clock:
    """Calls that take 1 ms and some for each turn."""

    def __init__(self, turn_seconds: float) -> None:
        self.turn_seconds = turn_seconds
        self.turns = 0

    def begin(self) -> Callable[[int], float]:
        self.turns = 0

        def call(turns: int) -> float:
            self.turns += turns
            return 1e-3 + turns * self.turn_seconds

        return call


@pytest.mark.parametrize("turn_seconds", [1e-6, 3e-5, 0.4])
def test_the_time_of_a_turn_leaves_the_calls_own_out(turn_seconds: float) -> None:
    clock = Clock(turn_seconds)
    turns = choose_turns(clock)
    assert turns * turn_seconds >= LEAST_CALL_SECONDS
    assert turns == 1 or turns / 2 * turn_seconds < LEAST_CALL_SECONDS
    for cell_seconds, expected in ((0.0, LEAST_CALLS), (1e6, min(MOST_CALLS, (MOST_UPDATES - 1) // turns))):
        microseconds, calls = time_turn(clock, turns, cell_seconds)
        assert microseconds == pytest.approx(turn_seconds * 1e6)
        assert calls == expected
        assert clock.turns <= MOST_UPDATES


def test_turns_without_a_duration_come_to_an_end() -> None:
    clock = Clock(0.0)
    assert choose_turns(clock) == TURNS[-1]
    assert clock.turns <= MOST_UPDATES
    assert time_turn(clock, TURNS[-1], 1e6)[1] >= LEAST_CALLS


@pytest.mark.parametrize("mode", ["xla", "keras"])
def test_a_step_is_an_update_of_training(mode: str) -> None:
    """Plain SGD by hand: one step is rate × gradient of the first batch; each beginning is anew."""
    problem, entry = job_data(zoo.problem("flat_targets"), mode), OPTIMIZERS["sgd"]
    loop = StepLoop(problem, entry, by_keras=False)
    assert loop.trainer.mode == mode

    def after(*stretches: int) -> list[np.ndarray]:
        advance = loop.begin()
        assert all(advance(updates) > 0 for updates in stretches)
        return loop.trainer.variables()

    five = after(5)
    for one, other in zip(five, after(1, 0, 2, 2), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    for found, start in zip(after(0), problem.initial(0), strict=True):
        np.testing.assert_array_equal(found, start)
    work, rate = Workload.of(problem), entry.center_learning_rate
    assert rate is not None
    for found, start, gradient in zip(after(1), work.initial, work.gradients, strict=True):
        np.testing.assert_allclose(found, start - rate * np.asarray(gradient), rtol=0, atol=1e-6)
    assert max(np.abs(value - start).max() for value, start in zip(five, work.initial, strict=True)) > 1e-4


@pytest.fixture(scope="module")
def in_graph_mode() -> TrainingPlan:
    """A plan in a mode that a constant would not choose for this model: ``patches``."""
    raw = {"experiment": "e", "problems": [{"problem": "digits_cnn", "mode": "graph"}], "optimizers": ["adam"]}
    return make_plan(parse_config(raw, "test"))


@pytest.mark.parametrize(("by_keras", "mode"), [(False, "graph"), (True, "keras")])
def test_what_is_timed_is_the_planned_mode_or_keras_own_step(
    in_graph_mode: TrainingPlan, by_keras: bool, mode: str
) -> None:
    problem = planned_problem(in_graph_mode, "digits_cnn", "CPU")
    assert StepLoop(problem, OPTIMIZERS["adam"], by_keras).trainer.mode == mode


def test_each_optimizer_is_timed_as_its_plan_says(in_graph_mode: TrainingPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, tuple[str, bool]] = {}

    def cell(problem: ProblemData, entry: OptimizerEntry, by_keras: bool, *more: object) -> FixedCell:
        asked[entry.name] = (problem.mode, by_keras)
        return FixedCell(0)

    adam = replace(in_graph_mode.optimizers["adam"], by_keras="xla: another loss")
    monkeypatch.setattr("descentlab.measurements.step_cost.Cell", cell)
    plan_step_cost(replace(in_graph_mode, optimizers={"adam": adam}), [].append)
    assert asked == {"sgd": ("graph", False), "adam": ("graph", True)}


@pytest.mark.parametrize(
    ("name", "mode", "by_example"),
    [
        ("heads_dict", "keras", False),
        ("gan", "keras", False),
        ("structured_data", "keras", False),
        ("masked_gru_characters", "xla", False),
        ("mlp", "xla", True),
    ],
)
def test_whatever_trains_is_timed(name: str, mode: str, by_example: bool) -> None:
    """Several outputs, steps of a model's own, text, masks; RMSprop's rows of an embedding, and SOAP, which takes none."""
    problem = builtin_problem(name) if name in BUILTIN_PROBLEMS else zoo.problem(name)
    entries, said = [OPTIMIZERS["sgd"], OPTIMIZERS["rmsprop"], LITERATURE["soap"]], []
    table = measure_step_cost(
        [(job_data(problem, mode, by_example), entries)], {"soap"}, rounds=1, cell_seconds=0.0, say=said.append
    )
    untrainable = {"soap"} if name == "masked_gru_characters" else set()
    assert set(table["optimizer"]) == {"sgd", "rmsprop", "soap"} - untrainable
    assert len(said) == len(untrainable) and all("soap" in line and name in line for line in said)


class FixedCell:
    """Takes the same time in each round, until it raises."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def time(self) -> Mapping[str, Any]:
        self.rounds -= 1
        if self.rounds < 0:
            raise ArithmeticError("not finite")
        return {"step_microseconds": 1.0}


def raising() -> FixedCell:
    raise TypeError("no such weight")


@pytest.mark.parametrize(
    ("sgd", "adam", "timed", "lines"),
    [
        (lambda: FixedCell(3), lambda: FixedCell(3), ["sgd", "adam"], 0),
        (lambda: FixedCell(3), raising, ["sgd"], 1),
        (lambda: FixedCell(3), lambda: FixedCell(1), ["sgd"], 1),
        (raising, lambda: FixedCell(3), [], 1),
        (lambda: FixedCell(2), lambda: FixedCell(3), [], 1),
    ],
)
def test_what_raises_costs_no_other_row(sgd: Any, adam: Any, timed: list[str], lines: int) -> None:
    """But for plain SGD, which the others are compared with; a cell that fails in a late round has no rows of the earlier."""
    said: list[str] = []
    rows = time_cells("p", {"sgd": sgd, "adam": adam}, 3, 0, said.append)
    assert sorted((row["optimizer"], row["round"]) for row in rows) == sorted((n, r) for n in timed for r in range(3))
    assert len(said) == lines


def test_an_experiment_of_which_nothing_can_be_timed_has_an_empty_table() -> None:
    broken = replace(OPTIMIZERS["sgd"], factory="no.such.module:Optimizer")
    said: list[str] = []
    table = measure_step_cost([(standard_problem("slides_mlp", "CPU"), [broken])], say=said.append)
    assert table.empty and list(table.columns) == list(STEP_COST_COLUMNS) and len(said) == 1


def test_orders_are_permutations_that_the_seed_chooses() -> None:
    orders = round_orders(7, 5, 0)
    assert orders.shape == (5, 7)
    assert all(sorted(row) == list(range(7)) for row in orders.tolist())
    assert len({tuple(row) for row in orders.tolist()}) == 5
    np.testing.assert_array_equal(orders, round_orders(7, 5, 0))
    assert not np.array_equal(orders, round_orders(7, 5, 1))


def test_each_cell_is_timed_once_a_round_in_the_seeds_order() -> None:
    entries = [OPTIMIZERS[name] for name in ("momentum", "sgd")]
    problem = standard_problem("slides_mlp", "CPU")
    table = measure_step_cost([(problem, entries)], with_update=True, rounds=4, cell_seconds=0.0)
    assert list(table.columns) == list(STEP_COST_COLUMNS)
    names = np.array(["sgd", "momentum"])
    assert table["optimizer"].tolist() == names[round_orders(2, 4, 0)].ravel().tolist()
    assert table["round"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (table["steps"] == LEAST_CALLS).all()
    assert (table["parameters"] == 53).all() and table["update_microseconds"].notna().all()
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
        measure_step_cost([(standard_problem("slides_mlp", "CPU"), [OPTIMIZERS["adam"]])])
    with pytest.raises(ValueError, match="model 'm'.*sgd"):
        summarize_step_cost(generated({"adam": [1.0]}, {"adam": [1.0]}))


def test_an_experiments_problems_are_timed_with_their_own_batches() -> None:
    wanted = {"problem": "linear_regression", "batch_size": 8}
    raw = {"experiment": "e", "problems": [wanted], "optimizers": ["gd", "momentum"]}
    plan = make_plan(parse_config(raw, "test"))
    examples = plan.problems["linear_regression"].train_examples
    table = plan_step_cost(plan, print)
    sizes = table.groupby("optimizer")["batch_size"].unique().map(list).to_dict()
    # Plain SGD is there to compare with, though the experiment lacks it.
    assert sizes == {"sgd": [8], "momentum": [8], "gd": [examples], "gd_equal_updates": [examples]}
    assert table["update_microseconds"].isna().all() and (table["step_microseconds"] > 0).all()
    summary = summarize_step_cost(table).set_index("optimizer")
    assert summary.loc["gd", "step_ratio"] > 1 and math.isnan(summary.loc["gd", "update_ratio"])
