"""Does AdaGrad normalize the magnitude? How far the training path moves when the loss is multiplied by 10^±3.

A factor on the loss is a factor on every gradient and leaves its direction alone. A rule that divides the gradient by its own
history follows the same path whatever the factor; for plain descent it is a factor on the learning rate. The invariance is
broken by the constants that are added to the history: epsilon, and for AdaGrad the accumulator, which Keras starts at 0.1.
So AdaGrad is measured twice: with Keras' defaults, and with an accumulator from 0 and an epsilon of 1e-30.

The perceptron on digits is trained in mini-batches with constant rates: the same for each optimizer, whatever the factor (that
is the question), and the same initial weights, split and batches of a seed for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from descentlab.measurements.adagrad_from_zero import centered_entry
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import ADAGRAD, ADAGRAD_FROM_ZERO, ADAM, MOMENTUM, PLAIN, RMSPROP
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OptimizerEntry
from descentlab.problems.base import Data
from descentlab.problems.divergence import loss_bound
from descentlab.problems.random_streams import data_order
from descentlab.problems.splits import split_data
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

SCALES = (1e-3, 1e3)
# Of each optimizer: where it trains this network well (2026-11).
RATES = {PLAIN: 0.3, MOMENTUM: 0.1, ADAGRAD: 0.3, RMSPROP: 0.01, ADAM: 0.01}
EPOCHS = 10
OPTIMIZER_NAMES = (PLAIN, MOMENTUM, ADAGRAD, ADAGRAD_FROM_ZERO, RMSPROP, ADAM)

LOSS_SCALE_COLUMNS: dict[str, Column] = {
    "scale": Column("float64", "", "", "what the loss is multiplied by"),
    "seed": Column("int64", "", "", "initial weights, split and batch order"),
    "optimizer": Column(
        "str", "", "", f"with Keras' defaults; {ADAGRAD_FROM_ZERO}: its accumulator starts at 0, and epsilon is 1e-30"
    ),
    "learning_rate": Column("float64", "", "", "constant, the same for every scale"),
    "updates": Column("int64", "updates", "", "budget"),
    "relative_distance": Column(
        "float64",
        "share of both displacements",
        "lower",
        "distance from the unscaled path at the same update, over the sum of both displacements from the initial weights; "
        "mean over the epochs' ends. 0 the same path, 1 as far apart as can be",
    ),
    "train_loss": Column(
        "float64", "loss", "lower", "unscaled training loss at the end; at most the bound of divergence"
    ),
    "diverged": Column("bool", "", "", "a weight is not finite, or the training loss is above the bound"),
}


def scaled_entry(name: str) -> OptimizerEntry:
    """The table's optimizer at this problem's rate; for ``ADAGRAD_FROM_ZERO`` AdaGrad without the constants, at a tenth of it.

    Its first step moves every weight by the full rate. At 0.3 the network then amplifies rounding errors until paths diverge
    that are identical in exact arithmetic.
    """
    return centered_entry(name, RATES[ADAGRAD] / 10 if name == ADAGRAD_FROM_ZERO else RATES[name])


def relative_distance(first: np.ndarray, second: np.ndarray) -> float:
    """How far apart two paths from the same point are: the mean over their records of |a - b| / (|a| + |b|).

    a and b are the displacements from the start at the same update. By the triangle inequality a record lies in [0, 1]:
    0 where the paths meet, 1 where one stands still or they go opposite ways. A record that is not finite counts as 1,
    which is also the limit for a path that goes to infinity: divergence is the worst result, but a finite one.

    Args:
        first, second: weights at the same updates, the start first, both of shape (records, weights).
    """
    a, b = first[1:] - first[0], second[1:] - second[0]
    distances, lengths = np.linalg.norm(a - b, axis=1), np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore"):  # infinity over infinity is NaN, which counts as 1 below
        shares = np.divide(distances, lengths, out=np.zeros_like(distances), where=lengths != 0)
    return float(np.where(np.isfinite(shares), shares, 1.0).mean())


def record_path(
    trainer: Trainer,
    data: Data,
    initial: list[np.ndarray],
    order: np.ndarray,
    rates: np.ndarray,
    records: list[int],
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Train one member on the loss times ``scale``.

    The factor enters as every example's weight in the loss, so one compiled trainer serves all factors.

    Args:
        initial, order, rates: as :meth:`~descentlab.training.engine.trainer.Trainer.train` takes them.
        records: updates after which to record, ascending; the last is the budget.
        scale: the factor on the loss.

    Returns:
        The trainable weights at each record, float64 of shape (records, weights), and the unscaled mean loss of the
        examples in ``order`` there, float64 of shape (records,).
    """
    scaled = replace(data, sample_weight=np.full(len(data.y), scale, np.float32))
    path, losses = [], []
    for evaluation in trainer.train(scaled, initial, order, rates, records, np.unique(order)):
        path.append(np.concatenate([value.ravel() for value in trainer.variables()]))
        losses.append(evaluation.loss.astype(np.float64).mean() / scale)
    return np.array(path, np.float64), np.array(losses)


def measure_loss_scale(seeds: Sequence[int]) -> pd.DataFrame:
    """How far the training path moves when the loss is multiplied by 0.001 and by 1,000, by optimizer.

    Args:
        seeds: each draws initial weights, split and batch order.

    Returns:
        A table of LOSS_SCALE_COLUMNS, one row per (scale, seed, optimizer).
    """
    from descentlab.problems.builtin.mlp import PROBLEM

    configure_device()
    data = PROBLEM.load_data(None)
    rows: list[dict[str, Any]] = []
    for name in OPTIMIZER_NAMES:
        entry = scaled_entry(name)
        rate = float(entry.center_learning_rate or np.nan)
        trainer = Trainer(CompiledModel(PROBLEM, "xla"), partial(build, entry, Arm.TUNED, rate))
        for seed in seeds:
            train = split_data(PROBLEM, data, seed, PROBLEM.batch_size).train
            order = data_order(PROBLEM.name, seed, train, PROBLEM.batch_size, EPOCHS)
            rates = learning_rates(rate, "constant", len(order))
            records = [len(order) // EPOCHS * epoch for epoch in range(EPOCHS + 1)]
            start = initial_variables(PROBLEM, seed)
            unscaled, _ = record_path(trainer, data, start, order, rates, records, 1.0)
            for scale in SCALES:
                path, losses = record_path(trainer, data, start, order, rates, records, scale)
                bound = loss_bound(losses[0], PROBLEM.divergence_factor)
                diverged = not (np.isfinite(path).all() and losses[-1] <= bound)
                rows.append(
                    {
                        "scale": scale,
                        "seed": seed,
                        "optimizer": name,
                        "learning_rate": rate,
                        "updates": len(order),
                        "relative_distance": relative_distance(unscaled, path),
                        "train_loss": bound if diverged else losses[-1],
                        "diverged": diverged,
                    }
                )
    return check_table(pd.DataFrame(rows), LOSS_SCALE_COLUMNS, "loss scale")
