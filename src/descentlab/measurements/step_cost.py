"""What one update and one whole step cost, by optimizer and model size (docs/protocol.md, "Cost").

The slides say that each step of an advanced method is more expensive: more operations, more memory. An *update* is the
optimizer alone (``optimizer.apply`` on given gradients); a *step* is forward pass, backward pass and update on one batch
of 32. Both are timed serially and after compilation, as training runs them: in compiled loops.

A call of a compiled function takes some 0.3 ms, a hundred times as long as an update of a small model. So a call makes
enough turns to take 2 ms or more; the time of a call without turns is subtracted, and the rest is divided by the number of
turns. Every call waits until a weight has arrived. Each cell begins with the initial weights and a new optimizer's state.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.plan import TrainingPlan
from descentlab.measurements.step_loops import MODELS, CompiledLoops, build_workload, planned_entries, problem_workload
from descentlab.optimizers.roles import PLAIN
from descentlab.optimizers.table import OptimizerEntry
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.device import configure_device
from descentlab.training.find_problem import planned_problem
from descentlab.training.problem_data import ProblemData

LEAST_STEPS, MOST_STEPS = 5, 200
LEAST_CALL_SECONDS = 2e-3
PROTOCOL_SECONDS = 10.0  # upper limit for a cell's updates, and for its steps (docs/protocol.md, "Cost")
STEP_COST_COLUMNS: dict[str, Column] = {
    "model": Column("str", "", "", "slides_mlp, mlp, slides_cnn, large, or a problem of the experiment"),
    "parameters": Column("int64", "", "", "trainable parameters of the model"),
    "batch_size": Column("int64", "examples", "", "examples per step"),
    "optimizer": Column("str", "", "", "optimizer"),
    "round": Column("int64", "", "", "in a round every optimizer is timed once, in a random order"),
    "steps": Column(
        "int64", "", "", "synchronized calls behind each median (the smaller number of update's and step's)"
    ),
    "update_microseconds": Column(
        "float64", "microseconds", "lower", "median time of one update alone; NaN on an experiment's problem"
    ),
    "step_microseconds": Column("float64", "microseconds", "lower", "median time of forward, backward and update"),
    "state_bytes_per_parameter": Column("float64", "bytes", "lower", "optimizer variables, per trainable parameter"),
    "device": Column("str", "", "", "device that the timing ran on"),
    "device_peak_bytes": Column(
        "float64",
        "bytes",
        "lower",
        "peak GPU memory in the cell, minus other optimizers' state; NaN on CPU",
    ),
}


def call_seconds(call: Callable[[int], float], turns: int) -> float:
    """Seconds that one call takes until its result has arrived."""
    start = time.perf_counter()
    call(turns)
    return time.perf_counter() - start


def choose_turns(call: Callable[[int], float]) -> int:
    """The smallest power of two of turns that take 2 ms or more, excluding the call's overhead.

    By the fastest of five calls, so that a brief interruption by other work is not mistaken for turns.
    """

    def fastest(turns: int) -> float:
        return min(call_seconds(call, turns) for _ in range(LEAST_STEPS))

    turns, empty = 1, fastest(0)
    while fastest(turns) - empty < LEAST_CALL_SECONDS:
        turns *= 2
    return turns


def time_turn(call: Callable[[int], float], turns: int, cell_seconds: float) -> tuple[float, int]:
    """Median microseconds per turn over up to 200 calls or ``cell_seconds``, but at least 5 calls; and the number of calls."""
    call(1)
    empty = float(np.median([call_seconds(call, 0) for _ in range(LEAST_STEPS)]))
    seconds: list[float] = []
    start = time.perf_counter()
    while len(seconds) < LEAST_STEPS or (len(seconds) < MOST_STEPS and time.perf_counter() - start < cell_seconds):
        seconds.append(call_seconds(call, turns))
    return (float(np.median(seconds)) - empty) / turns * 1e6, len(seconds)


def round_orders(count: int, rounds: int, seed: int) -> np.ndarray:
    """The order in which ``count`` optimizers are timed: shape (rounds, count), each row a random permutation."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.permutation(count) for _ in range(rounds)])


def measure_step_cost(
    entries: Sequence[OptimizerEntry],
    seed: int,
    models: Sequence[str] = MODELS,
    problems: Sequence[ProblemData] = (),
    rounds: int = 5,
    cell_seconds: float = 0.02,
) -> pd.DataFrame:
    """Time every optimizer's update and step on every model; nothing else should run meanwhile.

    Compilation is never timed but takes most of the wall time: about 1.5 s per optimizer and dense model on one core.

    Args:
        entries: optimizers, ``sgd`` among them: what the others are compared with.
        seed: chooses initial weights, batch, and the order of the optimizers in each round.
        models: of ``slides_mlp`` (53 parameters), ``mlp`` (4,810), ``slides_cnn`` (319,370), ``large`` (10,041,354), each
            with batches of 32.
        problems: an experiment's own problems, of which the step alone is timed, with their own batch size; full batch with
            the whole training set.
        rounds: how often every cell is timed, 5 or more for an interval worth showing.
        cell_seconds: most seconds for the updates of a cell, and for its steps; the protocol's is PROTOCOL_SECONDS.

    Returns:
        A table of STEP_COST_COLUMNS, one row per (model, optimizer, round), in the order of timing.

    Raises:
        ValueError: ``sgd`` is missing, or a model is unknown.
    """
    import tensorflow as tf

    if PLAIN not in [entry.name for entry in entries]:
        raise ValueError(f"optimizers to time must include '{PLAIN}', which the others are compared with")
    device = configure_device()
    rows: list[dict[str, Any]] = []
    batched, full = ([entry for entry in entries if entry.full_batch is whole] for whole in (False, True))
    cases = [(functools.partial(build_workload, name, seed, device), batched) for name in models]
    for problem_data in problems:
        name, batch_size = problem_data.name, problem_data.batch_size
        for size, chosen in ((batch_size, batched), (len(problem_data.split(0).train), full)):
            if chosen:
                build = functools.partial(
                    problem_workload, name, problem_data.problem, problem_data.data, size, seed, device
                )
                cases.append((build, chosen))
    for number, (build, chosen) in enumerate(cases):
        workload = build()
        cells = [CompiledLoops(entry, workload, with_update=number < len(models)) for entry in chosen]
        turns = [(choose_turns(cell.update) if cell.update else 0, choose_turns(cell.step)) for cell in cells]
        all_state_bytes = sum(cell.state_bytes for cell in cells)
        for round_number, order in enumerate(round_orders(len(cells), rounds, seed + number)):
            for cell, (update_turns, step_turns) in ((cells[index], turns[index]) for index in order):
                cell.start()
                if device != "CPU":
                    tf.config.experimental.reset_memory_stats("GPU:0")
                step, calls = time_turn(cell.step, step_turns, cell_seconds)
                update = float("nan")
                if cell.update:
                    update, update_calls = time_turn(cell.update, update_turns, cell_seconds)
                    calls = min(calls, update_calls)
                peak = float("nan")
                if device != "CPU":
                    others = all_state_bytes - cell.state_bytes
                    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] - others
                rows.append(
                    {
                        "model": workload.name,
                        "parameters": workload.parameters,
                        "batch_size": workload.batch_size,
                        "optimizer": cell.entry.name,
                        "round": round_number,
                        "steps": calls,
                        "update_microseconds": update,
                        "step_microseconds": step,
                        "device": device,
                        "device_peak_bytes": peak,
                        "state_bytes_per_parameter": cell.state_bytes / workload.parameters,
                    }
                )
    return check_table(pd.DataFrame(rows), STEP_COST_COLUMNS, "step cost")


def plan_step_cost(plan: TrainingPlan) -> pd.DataFrame:
    """The step cost of an experiment's optimizers on its problems."""
    device = configure_device()
    problems = [planned_problem(plan, name, device) for name in plan.problems]
    return measure_step_cost(planned_entries(plan), 0, (), problems)
