"""Whether stochastic descent overfits less: the gap of test and training loss by batch size, at the same training loss.

Overfitting is test loss minus training loss at the moment when training has come equally far, that is at the same training
loss, on the perceptron for digits; compared after equally many updates or examples, whoever trains more would overfit more.

Every batch size gets plain SGD with a constant learning rate of its own: of five rates half a decade apart around
``0.3 sqrt(batch size / 32)``, but not around more than 0.3, the one with the least validation loss at the target in one
run of a seed that is not measured.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data, split_data
from descentlab.problems.random_streams import data_order
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

BATCH_SIZES = (1, 4, 16, 64, 256, 0)  # 0 is the full training set
SPLIT_MULTIPLE = 256  # so that all batch sizes divide the training set, and share it
TARGET = 0.1
GRID_POINTS = 5
USUAL_RATE, USUAL_BATCH_SIZE = 0.3, 32  # of sgd in the table of optimizers, and the batch size that it is for
MOST_UPDATES, MOST_PASSES = 20_000, 3_000
EVALUATIONS_PER_DECADE = 40

BATCH_SIZE_COLUMNS: dict[str, Column] = {
    "batch_size": Column("int64", "examples", "", "examples an update; the largest is the full training set"),
    "seed": Column("int64", "", "", "initial weights, split and batch order"),
    "learning_rate": Column("float64", "", "", "constant, chosen by batch size with another seed"),
    "updates": Column(
        "int64", "updates", "lower", "at the first evaluation at or below the target; the budget if missed"
    ),
    "examples": Column("int64", "examples", "lower", "training examples processed by then"),
    "update_microseconds": Column(
        "float64", "microseconds", "lower", "time of an update, forward and backward included"
    ),
    "train_loss": Column("float64", "loss", "lower", "the target; the last training loss where it was not reached"),
    "test_loss_at_target": Column(
        "float64", "loss", "lower", "test loss where the training loss is the target, or NaN"
    ),
    "gap_at_target": Column("float64", "loss", "lower", "test loss minus training loss there, or NaN"),
    "reached": Column("bool", "", "", "the training loss fell to the target within the budget"),
}


@dataclass(frozen=True)
class LossCurve:
    """Losses of one run; three arrays of shape (evaluations,).

    Attributes:
        updates: done before each evaluation, ascending from 0.
        train: mean loss of the training examples.
        other: mean loss of other examples: validation to choose a rate by, test to measure.
    """

    updates: np.ndarray
    train: np.ndarray
    other: np.ndarray


def first_at_target(train: np.ndarray, target: float) -> int | None:
    """Index of the first training loss at or below ``target``; None where there is none. NaN is above."""
    reached = np.flatnonzero(np.asarray(train) <= target)
    return int(reached[0]) if len(reached) else None


def other_loss_at_target(curve: LossCurve, target: float) -> float:
    """The other loss where the training loss first falls to ``target``, NaN where it never does.

    Interpolated linearly in training loss, between the first evaluation at or below the target and the one before.
    """
    after = first_at_target(curve.train, target)
    if after is None:
        return math.nan
    if after == 0:
        return float(curve.other[0])
    share = (curve.train[after - 1] - target) / (curve.train[after - 1] - curve.train[after])
    return float(curve.other[after - 1] + share * (curve.other[after] - curve.other[after - 1]))


def evaluation_updates(budget: int) -> list[int]:
    """Updates to evaluate after: 0, then 40 a decade, evenly on a logarithmic scale, up to ``budget``."""
    count = math.ceil(EVALUATIONS_PER_DECADE * math.log10(budget)) + 1
    return [0, *np.unique(np.rint(np.geomspace(1, budget, count)).astype(int)).tolist()]


def budget_updates(examples: int, batch_size: int) -> int:
    """Most updates of a run: 20,000, or 3,000 passes over the training set where that is fewer."""
    return min(MOST_UPDATES, MOST_PASSES * examples // (batch_size or examples))


def grid(batch_size: int) -> list[float]:
    """The learning rates to choose from, ascending: five, half a decade apart (the module says around what)."""
    centre = USUAL_RATE * min(1.0, math.sqrt(batch_size / USUAL_BATCH_SIZE))
    return [float(f"{centre * 10 ** (0.5 * (i - GRID_POINTS // 2)):.3g}") for i in range(GRID_POINTS)]


def order_of(name: str, seed: int, train: np.ndarray, batch_size: int, budget: int) -> np.ndarray:
    """The examples of each of ``budget`` updates, as :func:`~descentlab.problems.random_streams.data_order`."""
    epochs = -(-budget * batch_size // len(train)) if batch_size else 1
    return data_order(name, seed, train, batch_size, epochs)


def loss_curve(
    trainer: Trainer,
    data: Data,
    seed: int,
    train: np.ndarray,
    other: np.ndarray,
    batch_size: int,
    rate: float,
    budget: int,
    target: float,
) -> LossCurve:
    """Train until the training loss is at ``target``, diverges, or ``budget`` updates are made.

    Args:
        train, other: indices of the training examples and of those of the other loss.
        batch_size: divides the number of training examples; 0 for all of them.
    """
    problem = trainer.problem
    rows: list[tuple[int, float, float]] = []
    for evaluation in trainer.train(
        data,
        initial_variables(problem, seed),
        order_of(problem.name, seed, train, batch_size, budget),
        learning_rates(rate, "constant", budget),
        evaluation_updates(budget),
        np.concatenate([train, other]),
    ):
        losses = evaluation.loss.astype(np.float64)
        rows.append((evaluation.updates, float(losses[: len(train)].mean()), float(losses[len(train) :].mean())))
        if rows[-1][1] <= target or not rows[-1][1] <= problem.loss_bound:
            break
    updates, train_loss, other_loss = zip(*rows, strict=True)
    return LossCurve(np.array(updates), np.array(train_loss), np.array(other_loss))


def time_update(trainer: Trainer, data: Data, train: np.ndarray, batch_size: int, rate: float, budget: int) -> float:
    """Microseconds of one update in a stretch of about 200,000 examples, at most 10,000 updates."""
    updates = min(budget, 10_000, max(100, 200_000 // (batch_size or len(train))))
    name = trainer.problem.name
    order, rates = order_of(name, 0, train, batch_size, budget), learning_rates(rate, "constant", budget)
    (last,) = trainer.train(data, initial_variables(trainer.problem, 0), order, rates, [updates], train[:1])
    return last.train_seconds / updates * 1e6


def measure_batch_size(seeds: Sequence[int]) -> pd.DataFrame:
    """Updates to a training loss of 0.1 and the gap to the test loss there, by batch size, on digits.

    Args:
        seeds: each draws initial weights, training split (1,024 examples) and batch orders; the test split is fixed.

    Returns:
        A table of BATCH_SIZE_COLUMNS, one row a (batch size, seed).
    """
    from descentlab.problems.mlp import PROBLEM

    configure_device()
    data = PROBLEM.load_data(None)
    trainer = Trainer(CompiledModel(PROBLEM, "xla"), lambda: build(OPTIMIZERS["sgd"], Arm.TUNED, USUAL_RATE))
    tuning_seed = next(seed for seed in itertools.count(1000) if seed not in seeds)
    tuning = split_data(PROBLEM, data, tuning_seed, SPLIT_MULTIPLE)
    sealed = data.sealed(tuning.test)
    rates, budgets = {}, {}
    for batch_size in BATCH_SIZES:
        examples = batch_size or len(tuning.train)
        budget = budgets[batch_size] = budget_updates(len(tuning.train), batch_size)
        found = {
            rate: other_loss_at_target(
                loss_curve(trainer, sealed, tuning_seed, tuning.train, tuning.val, batch_size, rate, budget, TARGET),
                TARGET,
            )
            for rate in grid(examples)
        }
        rates[batch_size] = min(found, key=lambda rate: (math.isnan(found[rate]), found[rate]))
    rows: list[dict[str, Any]] = []
    for batch_size in BATCH_SIZES:
        rate, budget = rates[batch_size], budgets[batch_size]
        microseconds = time_update(trainer, data, tuning.train, batch_size, rate, budget)
        for seed in seeds:
            split = split_data(PROBLEM, data, seed, SPLIT_MULTIPLE)
            curve = loss_curve(trainer, data, seed, split.train, split.test, batch_size, rate, budget, TARGET)
            examples = batch_size or len(split.train)
            reached = first_at_target(curve.train, TARGET) is not None
            test_loss = other_loss_at_target(curve, TARGET)
            updates = int(curve.updates[-1]) if reached else budget
            rows.append(
                {
                    "batch_size": examples,
                    "seed": seed,
                    "learning_rate": rate,
                    "updates": updates,
                    "examples": updates * examples,
                    "update_microseconds": microseconds,
                    "train_loss": TARGET if reached else curve.train[-1],
                    "test_loss_at_target": test_loss,
                    "gap_at_target": test_loss - TARGET,
                    "reached": reached,
                }
            )
    return check_table(pd.DataFrame(rows), BATCH_SIZE_COLUMNS, "batch size")
