"""How close training comes to the global optimum of a convex problem ("Caso convexo"), by schedule and batch size.

L2-logistic regression on digits has one minimizer, and its lowest value f* is known. Mini-batches with a constant learning
rate stop at a distance from it, their noise floor; with a rate that decays to zero they reach it, and so does the full
batch. Each optimizer always has the same rate, as the floor depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import ADAGRAD, ADAM, MINI_BATCH, MOMENTUM, PLAIN, RMSPROP
from descentlab.optimizers.schedules import learning_rates, log_spaced_updates
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.random_streams import data_order
from descentlab.problems.splits import split_data
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

SPLIT_SEED = 0
OPTIMIZER_NAMES = MINI_BATCH
EPOCHS, FULL_BATCH_UPDATES = 200, 3000
EVALUATIONS = 40
# High, so that a constant rate stops at a visible distance.
RATES = {PLAIN: 0.949, MOMENTUM: 0.316, ADAGRAD: 0.949, RMSPROP: 0.0316, ADAM: 0.0316}
# By name: the schedule, and whether a batch is the whole training set.
WAYS = {"constant_rate": ("constant", False), "decayed_rate": ("linear", False), "full_batch": ("linear", True)}

NOISE_FLOOR_COLUMNS: dict[str, Column] = {
    "way": Column("str", "", "", "constant_rate or decayed_rate, in mini-batches; full_batch: with a rate that decays"),
    "optimizer": Column("str", "", "", "optimizer"),
    "seed": Column("int64", "", "", "initial weights and batch order; the split is always the same"),
    "learning_rate": Column("float64", "", "", "initial"),
    "updates": Column("int64", "updates", "", "done before this evaluation"),
    "examples": Column("int64", "examples", "", "training examples processed by then"),
    "gap": Column("float64", "loss", "lower", "training loss and penalty minus their minimum f*"),
}


def measure_noise_floor(seeds: Sequence[int], optimizers: Sequence[str] = OPTIMIZER_NAMES) -> pd.DataFrame:
    """Gap to f* of L2-logistic regression over updates.

    Args:
        seeds: each for initial weights and a batch order.
        optimizers: names in the table of optimizers.

    Returns:
        A table of NOISE_FLOOR_COLUMNS, one row per (way, optimizer, seed, evaluation).
    """
    from descentlab.problems.builtin.logistic_regression import PROBLEM

    configure_device()
    data = PROBLEM.load_data(None)
    train = split_data(PROBLEM, data, SPLIT_SEED, PROBLEM.batch_size).train
    assert PROBLEM.optimum is not None
    minimum = PROBLEM.optimum(data.x[train], data.y[train])
    rows: list[dict[str, Any]] = []
    for name in optimizers:
        entry = OPTIMIZERS[name]
        rate = RATES[name]
        trainer = Trainer(CompiledModel(PROBLEM, "xla"), lambda entry=entry, rate=rate: build(entry, Arm.TUNED, rate))  # type: ignore[misc]
        for way, (schedule, full_batch) in WAYS.items():
            batch_size = len(train) if full_batch else PROBLEM.batch_size
            updates = FULL_BATCH_UPDATES if full_batch else EPOCHS * (len(train) // batch_size)
            rates = learning_rates(rate, schedule, updates)
            for seed in seeds:
                order = data_order(PROBLEM.name, seed, train, 0 if full_batch else batch_size, EPOCHS)
                initial = initial_variables(PROBLEM, seed)
                for evaluation in trainer.train(
                    data, initial, order, rates, log_spaced_updates(updates, EVALUATIONS), train
                ):
                    gap = float(evaluation.loss.astype(np.float64).mean()) + evaluation.penalty - minimum
                    rows.append(
                        {
                            "way": way,
                            "optimizer": name,
                            "seed": seed,
                            "learning_rate": rate,
                            "updates": evaluation.updates,
                            "examples": evaluation.updates * batch_size,
                            "gap": gap,
                        }
                    )
    return check_table(pd.DataFrame(rows), NOISE_FLOOR_COLUMNS, "noise floor")
