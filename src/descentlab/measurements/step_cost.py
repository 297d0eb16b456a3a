"""What one update and one whole step cost, by optimizer and model (docs/protocol.md, "Cost").

The slides say that each step of an advanced method is more expensive: more operations, more memory. A *step* is forward pass,
backward pass and update on one batch. It is timed by what trains the problem's runs
(:meth:`~descentlab.training.problem_data.ProblemData.trainer`): the compiled loop of the planned mode, or Keras' own step, one
run at a time. An *update* is the optimizer alone (``optimizer.apply`` on given gradients).

A call of a compiled function takes some 0.3 ms, a hundred times as long as an update of a small model. So a call makes
enough turns to take 2 ms or more; the time of a call without turns is subtracted, and the rest is divided by the number of
turns. Every call waits until its result has arrived. Each cell begins with the initial weights and a new optimizer's state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np
import pandas as pd

from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.step_cost import LARGE_MODEL, MODELS, STEP_COST_COLUMNS
from descentlab.measurements.attempt import Result, Say, attempt
from descentlab.measurements.standard_models import standard_problem
from descentlab.measurements.update_loop import UpdateLoop
from descentlab.measurements.workload import SEED, Case, Workload, planned_cases
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.roles import PLAIN
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry
from descentlab.problems.random_streams import data_order, stream_seed
from descentlab.storage.tables import check_table, empty_table
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.member import Member
from descentlab.training.engine.trainer import Trainer
from descentlab.training.problem_data import ProblemData

LEAST_CALLS, MOST_CALLS = 5, 200
LEAST_CALL_SECONDS = 2e-3
MOST_UPDATES = 2**16  # of a cell: it has a learning rate for each
TURNS = [2**power for power in range(13)]
PROTOCOL_SECONDS = 10.0  # upper limit for a cell's updates, and for its steps (docs/protocol.md, "Cost")


class Loop(Protocol):
    """Turns that can be timed."""

    def begin(self) -> Callable[[int], float]:
        """Begin anew; ``call(turns)`` then makes so many more, none or some, and returns the seconds that they took."""


class StepLoop:
    """One optimizer's steps on a problem, as its runs are trained, one at a time.

    Args:
        problem: the problem.
        entry: the optimizer, with the rate that its grid is centered on.
        by_keras: whether Keras' own step trains its runs, whatever the problem's mode.
    """

    def __init__(self, problem: ProblemData, entry: OptimizerEntry, by_keras: bool) -> None:
        name, train, rate = problem.problem.name, problem.split(SEED).train, entry.center_learning_rate
        order = data_order(name, SEED, train, 0 if entry.full_batch else problem.batch_size, epochs=1)
        self.batch_size = order.shape[1]
        self._data = problem.data
        self._member = Member(
            problem.initial(SEED),
            order,
            learning_rates(rate, "constant", MOST_UPDATES),
            (train[: problem.batch_size],),
            seed=stream_seed(name, SEED, "steps"),
        )
        self.trainer = problem.trainer(entry, Arm.TUNED, rate, by_keras=by_keras, alone=True)

    def begin(self) -> Callable[[int], float]:
        """Begin a training; ``call(updates)`` then does so many more, and returns the seconds that they took."""
        return self.trainer.begin(self._data, [self._member])


def choose_turns(loop: Loop) -> int:
    """The smallest power of two of turns that take 2 ms or more, excluding the call's overhead, or 4096.

    By the fastest of five calls, so that a brief interruption by other work is not mistaken for turns.
    """
    call = loop.begin()

    def fastest(turns: int) -> float:
        return min([call(turns) for _ in range(LEAST_CALLS)])

    empty = fastest(0)
    return next((turns for turns in TURNS if fastest(turns) - empty >= LEAST_CALL_SECONDS), TURNS[-1])


def time_turn(loop: Loop, turns: int, cell_seconds: float) -> tuple[float, int]:
    """Median microseconds per turn over up to 200 calls or ``cell_seconds``, but at least 5 calls; and the number of calls."""
    call = loop.begin()
    call(1)  # the first may prepare something
    empty = float(np.median([call(0) for _ in range(LEAST_CALLS)]))
    most = min(MOST_CALLS, (MOST_UPDATES - 1) // turns)
    seconds: list[float] = []
    while len(seconds) < LEAST_CALLS or (len(seconds) < most and sum(seconds) < cell_seconds):
        seconds.append(call(turns))
    return (float(np.median(seconds)) - empty) / turns * 1e6, len(seconds)


def round_orders(count: int, rounds: int, seed: int) -> np.ndarray:
    """The order in which ``count`` optimizers are timed: shape (rounds, count), each row a random permutation."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.permutation(count) for _ in range(rounds)])


class Cell:
    """One optimizer on one problem, to be timed in every round."""

    def __init__(
        self,
        problem: ProblemData,
        entry: OptimizerEntry,
        by_keras: bool,
        workload: Workload | None,
        cell_seconds: float,
    ) -> None:
        self._problem = problem
        self._cell_seconds = cell_seconds
        self._step = StepLoop(problem, entry, by_keras)
        self._step_turns = choose_turns(self._step)
        self._update = None if workload is None else UpdateLoop(entry, workload, problem.mode)
        self._update_turns = 0 if self._update is None else choose_turns(self._update)

    def time(self) -> dict[str, Any]:
        """One row of STEP_COST_COLUMNS, without ``optimizer`` and ``round``."""
        trainer, device = self._step.trainer, self._problem.device
        held = reset_peak_bytes(device)
        step, calls = time_turn(self._step, self._step_turns, self._cell_seconds)
        peak = peak_bytes(device) - held if isinstance(trainer, Trainer) else np.nan
        update = np.nan
        if self._update is not None:
            update, update_calls = time_turn(self._update, self._update_turns, self._cell_seconds)
            calls = min(calls, update_calls)
        return {
            "model": self._problem.name,
            "parameters": trainer.parameters,
            "batch_size": self._step.batch_size,
            "steps": calls,
            "update_microseconds": update,
            "step_microseconds": step,
            "state_bytes_per_parameter": trainer.state_bytes_per_parameter,
            "device": device,
            "device_peak_bytes": peak,
        }


def reset_peak_bytes(device: str) -> float:
    """Let the peak of GPU memory begin with what is held now, and return that; NaN on CPU."""
    if device == "CPU":
        return np.nan
    import tensorflow as tf

    tf.config.experimental.reset_memory_stats("GPU:0")
    return float(tf.config.experimental.get_memory_info("GPU:0")["current"])


def peak_bytes(device: str) -> float:
    """The peak of GPU memory since it was reset; NaN on CPU."""
    if device == "CPU":
        return np.nan
    import tensorflow as tf

    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def measure_step_cost(
    cases: Iterable[Case],
    by_keras: Collection[str] = (),
    with_update: bool = False,
    rounds: int = 5,
    cell_seconds: float = 0.02,
    say: Say = print,
) -> pd.DataFrame:
    """Time every optimizer's step on its problems, as its runs are trained; nothing else should run meanwhile.

    Compilation is never timed but takes most of the wall time: about 1.5 s per optimizer and dense model on one core. What
    raises is left out; without plain SGD, which the others are compared with, the whole problem.

    Args:
        cases: problems, each with its own batch size (full batch with the whole training set), and the optimizers that are
            timed on them, ``sgd`` among them.
        by_keras: optimizers whose runs Keras' own step trains on every problem.
        with_update: time the update alone too.
        rounds: how often every cell is timed, 5 or more for an interval worth showing.
        cell_seconds: most seconds for the steps of a cell, and for its updates; the protocol's is PROTOCOL_SECONDS.
        say: writes a line for what is left out.

    Returns:
        A table of STEP_COST_COLUMNS, one row per (problem, optimizer, round), in the order of timing.

    Raises:
        ValueError: ``sgd`` is missing.
        ProblemError: a problem's data have changed since planning.
    """
    rows: list[dict[str, Any]] = []
    for number, (problem, entries) in enumerate(cases):
        if PLAIN not in [entry.name for entry in entries]:
            raise ValueError(f"optimizers to time must include '{PLAIN}', which the others are compared with")
        problem.split(SEED)  # refuses data that have changed
        workload = Workload.of(problem) if with_update else None
        makers = {
            entry.name: partial(Cell, problem, entry, entry.name in by_keras, workload, cell_seconds)
            for entry in sorted(entries, key=lambda entry: entry.name != PLAIN)
        }
        rows += time_cells(problem.name, makers, rounds, SEED + number, say)
    return check_table(pd.DataFrame(rows), STEP_COST_COLUMNS, "step cost") if rows else empty_table(STEP_COST_COLUMNS)


def time_cells(
    problem: str, makers: Mapping[str, Callable[[], Cell]], rounds: int, seed: int, say: Say
) -> list[dict[str, Any]]:
    """The rows of one problem; without those of a cell that raised, and none if that is plain SGD's.

    Args:
        problem: its name.
        makers: make the cell of each optimizer, plain SGD's first.
        rounds: how often every cell is timed.
        seed: chooses the order in each round.
        say: writes a line for each cell that raised.
    """

    def tried(optimizer: str, action: Callable[[], Result]) -> Result | None:
        without = f", and so {problem} is left out" if optimizer == PLAIN else ""
        return attempt(f"step_cost: {optimizer} on {problem} not timed{without}", action, say)

    cells: dict[str, Cell] = {}
    for optimizer, make in makers.items():
        cell = tried(optimizer, make)
        if cell is not None:
            cells[optimizer] = cell
        elif optimizer == PLAIN:
            return []
    names, rows = list(cells), []
    for round_number, order in enumerate(round_orders(len(names), rounds, seed)):
        for optimizer in [names[index] for index in order]:
            row = tried(optimizer, cells[optimizer].time) if optimizer in cells else None
            if row is not None:
                rows.append({**row, "optimizer": optimizer, "round": round_number})
            else:
                cells.pop(optimizer, None)
    return [row for row in rows if row["optimizer"] in cells] if PLAIN in cells else []


def plan_step_cost(plan: TrainingPlan, say: Say) -> pd.DataFrame:
    """The step cost of an experiment's optimizers on its problems, in the mode that each is trained in."""
    by_keras = {name for name, optimizer in plan.optimizers.items() if optimizer.by_keras}
    return measure_step_cost(planned_cases(plan, configure_device()), by_keras, say=say)


def standard_step_cost(say: Say) -> pd.DataFrame:
    """The cost of an update and of a step of every optimizer of Keras' on models of up to 10 million parameters."""
    device = configure_device()
    entries = [entry for entry in OPTIMIZERS.values() if not entry.full_batch]
    cases = ((standard_problem(name, device), entries) for name in (*MODELS, LARGE_MODEL))
    return measure_step_cost(cases, with_update=True, cell_seconds=PROTOCOL_SECONDS, say=say)
