"""Rare classes: softmax regression whose classes are as frequent as words are, by Zipf's law (Kunstner et al. 2024).

("Heavy-Tailed Class Imbalance and Why Adam Outperforms Gradient Descent on Language Models".) The gradient with respect
to a class's weights is about as large as the class is frequent. With a rate that suits the frequent classes, gradient descent
hardly moves the rare ones, though together they hold as many examples; a method that divides each weight's gradient by its
own magnitude is not slowed down. Keras' AdaGrad is, as its accumulator starts at 0.1, far above the squares of these gradients:
it divides them all by the same.

As in that paper the inputs are uniform and independent of the label, so the imbalance is the whole problem, and
batches are full, so noise plays no part. Each optimizer gets its own constant rate: of seven, half a decade apart, and only of
those whose training loss never exceeds that of the start, the one with the lowest final training loss in one run with a seed
that is not measured. The final loss alone would choose rates at which it rises severalfold at first: such steps throw the
frequent classes far off, and momentum ends with the rare ones below them, as if it were not slow on those.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from descentlab.measurements.adagrad_from_zero import centered_entry
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import ADAGRAD, ADAGRAD_FROM_ZERO, ADAM, MOMENTUM, PLAIN, RMSPROP
from descentlab.optimizers.schedules import learning_rates, log_spaced_updates
from descentlab.problems.base import Data, Problem
from descentlab.problems.divergence import loss_bound
from descentlab.problems.random_streams import data_order, stream_generator
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

NAME = "imbalance"
CLASSES, EXAMPLES, FEATURES = 64, 600, 64
UPDATES, EVALUATIONS = 300, 16
GRID_POINTS = 7
# Far above the table's, which are for mini-batches of other problems. The best rates lie inside these grids (tested).
CENTERS = {PLAIN: 10.0, MOMENTUM: 10.0, ADAGRAD: 10.0, ADAGRAD_FROM_ZERO: 0.1, RMSPROP: 0.1, ADAM: 0.1}
FREQUENT, MIDDLE, RARE, ALL = "frequent", "middle", "rare", "all"

IMBALANCE_COLUMNS: dict[str, Column] = {
    "optimizer": Column(
        "str",
        "",
        "",
        f"sgd is plain descent: every update uses all examples; {ADAGRAD_FROM_ZERO}: without Keras' constants",
    ),
    "seed": Column("int64", "", "", "draws the inputs and the initial weights"),
    "group": Column(
        "str",
        "",
        "",
        "frequent: the most frequent classes, a third of the examples; middle: the next; rare: the rest; all",
    ),
    "classes": Column("int64", "classes", "", "in this group"),
    "n_examples": Column("int64", "examples", "", "training examples in this group"),
    "learning_rate": Column("float64", "", "", "constant, chosen for each optimizer with another seed"),
    "updates": Column("int64", "updates", "", "done before this evaluation"),
    "loss": Column("float64", "loss", "lower", "mean training loss of the group, capped at the divergence bound, 1e4"),
}


def class_counts(examples: int, classes: int) -> np.ndarray:
    """Examples per class, the share of rank k proportional to 1 / k (Zipf's law); int64 of shape (classes,).

    Rounded down, with the rest given to the largest remainders, so that the counts sum to ``examples``.

    Example:
        >>> class_counts(examples=11, classes=3).tolist()
        [6, 3, 2]
    """
    shares = 1 / np.arange(1, classes + 1)
    exact = examples * shares / shares.sum()
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: examples - counts.sum()]] += 1
    return counts


def class_groups(counts: np.ndarray) -> np.ndarray:
    """The group of each class, shape (classes,), by the share of the examples in it and all more frequent classes.

    Up to a third: ``frequent``; up to two thirds: ``middle``; the others: ``rare``.

    Args:
        counts: examples of each class, descending, shape (classes,).
    """
    thirds = 3 * np.cumsum(counts)
    return np.where(thirds <= counts.sum(), FREQUENT, np.where(thirds <= 2 * counts.sum(), MIDDLE, RARE))


def draw_data(seed: int) -> Data:
    """A seed's inputs, uniform with mean squared length 1, float32; the labels are the same for all seeds."""
    y = np.repeat(np.arange(CLASSES), class_counts(EXAMPLES, CLASSES)).astype(np.int32)
    x = stream_generator(NAME, seed, "split").uniform(0, math.sqrt(3 / FEATURES), size=(EXAMPLES, FEATURES))
    return Data(x.astype(np.float32), y)


def imbalance_problem() -> Problem:
    """Softmax regression with biases and Keras' default initial weights."""
    import keras

    from descentlab.problems.classification import ACCURACY, CROSS_ENTROPY

    def build_model() -> Any:
        return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(CLASSES, name="softmax")], name=NAME)

    return Problem(
        name=NAME,
        title="Softmax regression with Zipf-distributed classes",
        build_model=build_model,
        load_data=lambda path: draw_data(0),
        loss=CROSS_ENTROPY,
        metric=ACCURACY,
        convex=True,
    )


def example_losses(trainer: Trainer, data: Data, seed: int, rate: float, evaluate_at: list[int]) -> np.ndarray:
    """Loss of every example at each evaluation of one run, float64 of shape (evaluations, n).

    A loss that is NaN or above the bound of a guess among the classes counts as the bound: the worst result, but a finite one.
    """
    indices = np.arange(len(data.y))
    order, rates = data_order(NAME, seed, indices, 0, 1), learning_rates(rate, "constant", UPDATES)
    initial = initial_variables(trainer.problem, seed)
    losses = [evaluation.loss for evaluation in trainer.train(data, initial, order, rates, evaluate_at, indices)]
    bound = loss_bound(math.log(CLASSES), trainer.problem.divergence_factor)
    return np.nan_to_num(np.array(losses, np.float64), nan=bound).clip(max=bound)


def end_without_rise(losses: np.ndarray) -> float:
    """The last of a run's training losses, the first of which is the start's; infinite if any is above it.

    Example:
        >>> end_without_rise(np.array([4.0, 2.0, 1.0])), end_without_rise(np.array([4.0, 5.0, 0.5]))
        (1.0, inf)
    """
    return float(losses[-1]) if (losses <= losses[0]).all() else math.inf


def choose_rate(trainer: Trainer, data: Data, seed: int, grid: Sequence[float]) -> float:
    """The rate with the lowest final training loss of those whose loss exceeds the start's after no update.

    Raises:
        ValueError: at every rate it does.
    """
    evaluate_at = [*range(UPDATES + 1)]
    ends = {
        rate: end_without_rise(example_losses(trainer, data, seed, rate, evaluate_at).mean(axis=1)) for rate in grid
    }
    rate = min(ends, key=lambda rate: ends[rate])
    if math.isinf(ends[rate]):
        raise ValueError(f"at each of the rates {', '.join(map(str, grid))} the training loss rises above the start's")
    return rate


def measure_imbalance(seeds: Sequence[int]) -> pd.DataFrame:
    """Training loss by class frequency, over updates, for the slides' optimizers.

    Args:
        seeds: each draws inputs and initial weights.

    Returns:
        A table of IMBALANCE_COLUMNS, one row per (optimizer, seed, group, evaluation).
    """
    configure_device()
    problem = imbalance_problem()
    counts = class_counts(EXAMPLES, CLASSES)
    groups = class_groups(counts)
    members = {group: (groups == group) | (group == ALL) for group in (FREQUENT, MIDDLE, RARE, ALL)}
    tuning_seed = next(seed for seed in itertools.count(1000) if seed not in seeds)
    tuning, drawn = draw_data(tuning_seed), {seed: draw_data(seed) for seed in seeds}
    evaluate_at = log_spaced_updates(UPDATES, EVALUATIONS)
    rows: list[dict[str, Any]] = []
    for name in CENTERS:
        entry = centered_entry(name, CENTERS[name])
        trainer = Trainer(CompiledModel(problem, "xla"), partial(build, entry, Arm.TUNED, CENTERS[name]))
        grid = [rate for rate in entry.grid(GRID_POINTS) if rate is not None]
        rate = choose_rate(trainer, tuning, tuning_seed, grid)
        for seed, data in drawn.items():
            losses = example_losses(trainer, data, seed, rate, evaluate_at)
            for group, classes in members.items():
                group_columns = {
                    "optimizer": name,
                    "seed": seed,
                    "group": group,
                    "classes": classes.sum(),
                    "n_examples": counts[classes].sum(),
                    "learning_rate": rate,
                }
                means = losses[:, classes[data.y]].mean(axis=1)
                rows += [{**group_columns, "updates": u, "loss": v} for u, v in zip(evaluate_at, means, strict=True)]
    return check_table(pd.DataFrame(rows), IMBALANCE_COLUMNS, "imbalance")
