"""Whether stochastic descent overfits less: the gap of test and training loss by batch size, at the same training loss.

Overfitting is test loss minus training loss at the same training loss, when training has progressed equally far (here, the
perceptron on digits). Compared after equally many updates or examples, the run that has trained further would overfit more.

The gap is taken at several training losses, down to the lowest, and on a second problem, the slides' small network, for the
full batch and batches of 16: at one early loss alone nothing has overfitted yet.

Every batch size gets plain SGD with its own constant learning rate: out of five rates half a decade apart, centered at
``0.3 sqrt(batch size / 32)`` but at most 0.3, the one with the lowest validation loss at the target in one run with a seed
that is not measured.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.crossing import value_at_target
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import PLAIN
from descentlab.optimizers.schedules import learning_rates, log_spaced_updates
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data, Problem
from descentlab.problems.divergence import loss_bound
from descentlab.problems.random_streams import data_order
from descentlab.problems.splits import split_data
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

BATCH_SIZES = (1, 4, 16, 64, 256, 0)  # 0 is the full training set
SPLIT_MULTIPLE = 256  # so that all batch sizes divide the same training set
TARGET = 0.1
MATCHED_LOSSES = (0.5, 0.2, 0.1, 0.05, 0.02)
COMPARED_SIZES = (16, 0)
GRID_POINTS = 5
USUAL_RATE, USUAL_BATCH_SIZE = 0.3, 32  # sgd's rate in the table of optimizers, and its batch size
MOST_UPDATES, MOST_PASSES = 20_000, 3_000
EVALUATIONS_PER_DECADE = 40

BATCH_SIZE_COLUMNS: dict[str, Column] = {
    "batch_size": Column("int64", "examples", "", "examples per update; the largest is the full training set"),
    "seed": Column("int64", "", "", "initial weights, split and batch order"),
    "learning_rate": Column("float64", "", "", "constant, chosen for each batch size with another seed"),
    "updates": Column(
        "int64", "updates", "lower", "at the first evaluation at or below the target; the budget if missed"
    ),
    "examples": Column("int64", "examples", "lower", "training examples processed by then"),
    "update_microseconds": Column(
        "float64", "microseconds", "lower", "time per update, forward and backward pass included"
    ),
    "train_loss": Column("float64", "loss", "lower", "the target; the last training loss where it was not reached"),
    "test_loss_at_target": Column(
        "float64", "loss", "lower", "test loss where the training loss is the target, or NaN"
    ),
    "gap_at_target": Column("float64", "loss", "lower", "test loss minus training loss there, or NaN"),
    "reached": Column("bool", "", "", "the training loss fell to the target within the budget"),
}

MATCHED_GAPS_COLUMNS: dict[str, Column] = {
    "problem": Column("str", "", "", "mlp or slides_mlp"),
    "batch_size": Column("int64", "examples", "", "examples per update; the largest is the full training set"),
    "seed": Column("int64", "", "", "initial weights, split and batch order"),
    "train_loss": Column("float64", "loss", "", "at which the gap is taken"),
    "gap": Column("float64", "loss", "lower", "test loss minus training loss there; NaN where it was not reached"),
}


@dataclass(frozen=True)
class LossCurve:
    """Losses of one run; three arrays of shape (evaluations,).

    Attributes:
        updates: done before each evaluation, ascending from 0.
        train: mean loss of the training examples.
        held_out: mean loss of held-out examples: validation to choose a rate, test to measure.
    """

    updates: np.ndarray
    train: np.ndarray
    held_out: np.ndarray


def first_at_target(train: np.ndarray, target: float) -> int | None:
    """Index of the first training loss at or below ``target``; None if there is none. NaN counts as above."""
    reached = np.flatnonzero(np.asarray(train) <= target)
    return int(reached[0]) if len(reached) else None


def evaluation_updates(budget: int) -> list[int]:
    """Updates after which to evaluate: 0, then 40 per decade, evenly on a logarithmic scale, up to ``budget``."""
    count = math.ceil(EVALUATIONS_PER_DECADE * math.log10(budget)) + 1
    return log_spaced_updates(budget, count)


def budget_updates(examples: int, batch_size: int) -> int:
    """The most updates of a run: 20,000, or 3,000 passes over the training set if that is fewer."""
    return min(MOST_UPDATES, MOST_PASSES * examples // (batch_size or examples))


def grid(batch_size: int) -> list[float]:
    """The five learning rates to choose from, ascending, half a decade apart (centered as the module says)."""
    center = USUAL_RATE * min(1.0, math.sqrt(batch_size / USUAL_BATCH_SIZE))
    return [float(f"{center * 10 ** (0.5 * (i - GRID_POINTS // 2)):.3g}") for i in range(GRID_POINTS)]


def batch_order(name: str, seed: int, train: np.ndarray, batch_size: int, budget: int) -> np.ndarray:
    """The examples of each of ``budget`` updates; see :func:`~descentlab.problems.random_streams.data_order`."""
    epochs = -(-budget * batch_size // len(train)) if batch_size else 1
    return data_order(name, seed, train, batch_size, epochs)


def train_to_target(
    trainer: Trainer,
    data: Data,
    seed: int,
    train: np.ndarray,
    held_out: np.ndarray,
    batch_size: int,
    rate: float,
    budget: int,
    target: float,
) -> LossCurve:
    """Train until the training loss reaches ``target`` or diverges, or for ``budget`` updates.

    Args:
        train, held_out: indices of the training examples and of the held-out ones.
        batch_size: divides the number of training examples; 0 for all of them.
    """
    problem = trainer.problem
    rows: list[tuple[int, float, float]] = []
    for evaluation in trainer.train(
        data,
        initial_variables(problem, seed),
        batch_order(problem.name, seed, train, batch_size, budget),
        learning_rates(rate, "constant", budget),
        evaluation_updates(budget),
        np.concatenate([train, held_out]),
    ):
        losses = evaluation.loss.astype(np.float64)
        rows.append((evaluation.updates, float(losses[: len(train)].mean()), float(losses[len(train) :].mean())))
        if rows[-1][1] <= target or not rows[-1][1] <= loss_bound(rows[0][1], problem.divergence_factor):
            break
    updates, train_loss, held_out_loss = zip(*rows, strict=True)
    return LossCurve(np.array(updates), np.array(train_loss), np.array(held_out_loss))


def time_update(trainer: Trainer, data: Data, train: np.ndarray, batch_size: int, rate: float, budget: int) -> float:
    """Microseconds per update, over about 200,000 examples but at most 10,000 updates."""
    updates = min(budget, 10_000, max(100, 200_000 // (batch_size or len(train))))
    name = trainer.problem.name
    order, rates = batch_order(name, 0, train, batch_size, budget), learning_rates(rate, "constant", budget)
    (last,) = trainer.train(data, initial_variables(trainer.problem, 0), order, rates, [updates], train[:1])
    return last.train_seconds / updates * 1e6


def choose_rates(
    problem: Problem, trainer: Trainer, data: Data, sizes: Sequence[int], seeds: Sequence[int]
) -> dict[int, float]:
    """The learning rate of each batch size: the lowest validation loss at TARGET, with a seed that is not measured."""
    tuning_seed = next(seed for seed in itertools.count(1000) if seed not in seeds)
    split = split_data(problem, data, tuning_seed, SPLIT_MULTIPLE)
    sealed = data.sealed(split.test)
    rates = {}
    for batch_size in sizes:
        budget = budget_updates(len(split.train), batch_size)
        curves = {
            rate: train_to_target(
                trainer, sealed, tuning_seed, split.train, split.val, batch_size, rate, budget, TARGET
            )
            for rate in grid(batch_size or len(split.train))
        }
        losses = {rate: value_at_target(curve.train, curve.held_out, TARGET) for rate, curve in curves.items()}
        rates[batch_size] = min(losses, key=lambda rate: (math.isnan(losses[rate]), losses[rate]))
    return rates


def measure_batch_size(seeds: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Updates to a training loss of 0.1 on digits and the gap to the test loss there, by batch size; and gaps at other losses.

    Args:
        seeds: each draws initial weights, training split (on digits 768 examples) and batch orders; the test split is fixed.

    Returns:
        A table of BATCH_SIZE_COLUMNS, one row per (batch size, seed), and one of MATCHED_GAPS_COLUMNS, one row per (problem,
        batch size, seed, training loss).
    """
    from descentlab.problems.builtin import mlp, slides_mlp

    configure_device()
    rows: list[dict[str, Any]] = []
    gaps: list[dict[str, Any]] = []
    for problem, sizes in ((mlp.PROBLEM, BATCH_SIZES), (slides_mlp.PROBLEM, COMPARED_SIZES)):
        data = problem.load_data(None)
        trainer = Trainer(CompiledModel(problem, "xla"), lambda: build(OPTIMIZERS[PLAIN], Arm.TUNED, USUAL_RATE))
        rates = choose_rates(problem, trainer, data, sizes, seeds)
        train = split_data(problem, data, seeds[0], SPLIT_MULTIPLE).train
        for batch_size in sizes:
            rate, lowest = rates[batch_size], min(MATCHED_LOSSES) if batch_size in COMPARED_SIZES else TARGET
            budget, examples = budget_updates(len(train), batch_size), batch_size or len(train)
            timed = {"learning_rate": rate}
            if problem is mlp.PROBLEM:
                timed["update_microseconds"] = time_update(trainer, data, train, batch_size, rate, budget)
            for seed in seeds:
                split = split_data(problem, data, seed, SPLIT_MULTIPLE)
                curve = train_to_target(trainer, data, seed, split.train, split.test, batch_size, rate, budget, lowest)
                about = {"batch_size": examples, "seed": seed}
                if batch_size in COMPARED_SIZES:
                    for loss in MATCHED_LOSSES:
                        gap = value_at_target(curve.train, curve.held_out, loss) - loss
                        gaps.append({**about, "problem": problem.name, "train_loss": loss, "gap": gap})
                if problem is mlp.PROBLEM:
                    rows.append({**about, **timed, **measure_curve(curve, budget, examples)})
    return (
        check_table(pd.DataFrame(rows), BATCH_SIZE_COLUMNS, "batch size"),
        check_table(pd.DataFrame(gaps), MATCHED_GAPS_COLUMNS, "matched gaps"),
    )


def measure_curve(curve: LossCurve, budget: int, examples: int) -> dict[str, Any]:
    """What one run shows at TARGET: columns of BATCH_SIZE_COLUMNS.

    Args:
        curve: of the run.
        budget: its most updates.
        examples: per update.
    """
    after = first_at_target(curve.train, TARGET)
    updates = budget if after is None else int(curve.updates[after])
    test_loss = value_at_target(curve.train, curve.held_out, TARGET)
    return {
        "updates": updates,
        "examples": updates * examples,
        "train_loss": curve.train[-1] if after is None else TARGET,
        "test_loss_at_target": test_loss,
        "gap_at_target": test_loss - TARGET,
        "reached": after is not None,
    }
