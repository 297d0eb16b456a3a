"""Where adaptive methods must generalize worse: the linear construction of Wilson et al. 2017.

("The Marginal Value of Adaptive Gradient Methods in Machine Learning", section 3.) Two classes with labels y = ±1,
the positive ones slightly more frequent. Every example has a feature that is its label, two that are 1 for all, and some that
no other example has: one if it is positive, five if it is negative. Linear least squares can fit the training examples
in many ways. From zero weights, descent with or without momentum stays in the span of the examples and ends in the solution
of least norm, which weighs the label most: no error on new examples. For adaptive methods the full-batch gradient is at every
update the same vector times a number, so dividing each weight's gradient by its own history moves all weights equally
far: they end at ±1/4. The label is then outvoted by the two features that are always 1, and every new example is called
positive: the error is the negative share.

The effect depends on its conditions: full batch, and for AdaGrad an accumulator that starts at 0. With mini-batches, or with
Keras' accumulator of 0.1 (against squared gradients of the examples' own features of 4e-4 and less), it disappears.
Both are measured as well. Epsilon is Keras' default throughout. Rates decay linearly to zero, because RMSprop's steps don't
shrink by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import ADAGRAD, ADAM, MOMENTUM, PLAIN, RMSPROP
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.random_streams import data_order, stream_generator
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

NAME = "linear_construction"
EXAMPLES, TEST_EXAMPLES = 100, 1000
POSITIVE = 0.55  # probability of a positive label: just above one half
SHARED, OWN = 3, 5  # features that all examples have; columns reserved for each example's own
UPDATES, BATCH_SIZE = 2000, 10
# At these rates every variant fits its training examples: a mean squared error below 1e-5 (tested).
LEARNING_RATES = {PLAIN: 0.1, MOMENTUM: 0.02, ADAGRAD: 0.1, RMSPROP: 0.01, ADAM: 0.01}
FULL_BATCH, MINI_BATCHES, KERAS_ACCUMULATOR = VARIANTS = ("full_batch", "mini_batches", "keras_accumulator")

CONSTRUCTION_COLUMNS: dict[str, Column] = {
    "variant": Column(
        "str",
        "",
        "",
        "full_batch: the construction; mini_batches; keras_accumulator: full batch, the accumulator started at 0.1",
    ),
    "optimizer": Column("str", "", "", "adagrad: its accumulator starts at 0 except in the last variant"),
    "seed": Column("int64", "", "", "draws the labels, and the order of mini-batches"),
    "n_examples": Column("int64", "examples", "", "training examples"),
    "learning_rate": Column("float64", "", "", "initial rate, decays linearly to zero"),
    "updates": Column("int64", "updates", "", "budget"),
    "train_error": Column(
        "float64", "share", "lower", "training examples whose prediction does not have their label's sign"
    ),
    "test_error": Column("float64", "share", "lower", "likewise for the test examples"),
    "negative_share": Column("float64", "share", "", "test examples of the rarer class, -1"),
    "train_loss": Column("float64", "loss", "lower", "mean squared error of the training examples"),
}


def features(labels: np.ndarray, test_labels: np.ndarray) -> np.ndarray:
    """The construction's features, float32 of shape (n + m, 3 + 5 n): training examples, then test examples.

    Feature 1 is the label, features 2 and 3 are 1; of the five columns of example i the first is 1 if its label is +1, all
    five if it is -1. Test examples have features of their own as well, but those weights stay at their initial zero (no
    training example has them), so they are left out.

    Args:
        labels: labels of the training examples, ±1, shape (n,).
        test_labels: labels of the test examples, shape (m,).
    """
    n = len(labels)
    x = np.zeros((n + len(test_labels), SHARED + OWN * n), np.float32)
    x[:, 0] = np.concatenate([labels, test_labels])
    x[:, 1:SHARED] = 1
    for i, label in enumerate(labels):
        start = SHARED + OWN * i
        x[i, start : start + (1 if label > 0 else OWN)] = 1
    return x


def draw_data(seed: int) -> Data:
    """A seed's 100 training and 1,000 test examples; the training labels' sum is positive, as the construction requires."""
    generator = stream_generator(NAME, seed, "split")

    def draw(count: int) -> np.ndarray:
        return np.where(generator.random(count) < POSITIVE, 1.0, -1.0).astype(np.float32)

    labels = draw(EXAMPLES)
    while labels.sum() <= 0:
        labels = draw(EXAMPLES)
    test_labels = draw(TEST_EXAMPLES)
    y = np.concatenate([labels, test_labels])[:, None]
    return Data(features(labels, test_labels), y, test=np.arange(EXAMPLES, len(y)))


def construction_problem() -> Problem:
    """Linear least squares without a bias, from zero weights; the metric is the share of wrong signs."""
    import keras

    def build_model() -> Any:
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="linear")
        return keras.Sequential([keras.Input((SHARED + OWN * EXAMPLES,)), layer], name=NAME)

    def wrong_sign(y: Any, predicted: Any) -> Any:
        return keras.ops.cast(y * predicted <= 0, "float32")

    return Problem(
        name=NAME,
        title="Linear construction of Wilson et al. 2017",
        build_model=build_model,
        load_data=lambda path: draw_data(0),
        loss=keras.losses.MeanSquaredError(),
        metric=Metric("error", False, wrong_sign),
        convex=True,
    )


def variant_entry(name: str, variant: str) -> OptimizerEntry:
    """The table's optimizer, AdaGrad with its accumulator started at 0 except in the variant with Keras' 0.1."""
    entry = OPTIMIZERS[name]
    if entry.factory == "Adagrad" and variant != KERAS_ACCUMULATOR:
        return replace(entry, hyperparameters={**entry.hyperparameters, "initial_accumulator_value": 0.0})
    return entry


def train_variant(trainer: Trainer, data: Data, seed: int, variant: str, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Train one member to the end of the budget.

    Returns:
        Squared error and whether the sign is wrong (0 or 1) of every example, float64 of shape (n + m,) each.
    """
    train = np.arange(EXAMPLES)
    batch_size = BATCH_SIZE if variant == MINI_BATCHES else 0
    order = data_order(NAME, seed, train, batch_size, UPDATES * BATCH_SIZE // EXAMPLES)
    rates = learning_rates(rate, "linear", UPDATES)
    initial = initial_variables(trainer.problem, seed)
    (last,) = trainer.train(data, initial, order, rates, [UPDATES], np.arange(len(data.y)))
    return last.loss.astype(np.float64), last.score.astype(np.float64)


def measure_construction(seeds: Sequence[int]) -> pd.DataFrame:
    """Errors of the slides' optimizers on the construction, and on two variants without the effect.

    Args:
        seeds: each draws its own labels.

    Returns:
        A table of CONSTRUCTION_COLUMNS, one row per (variant, optimizer, seed); the last variant has only AdaGrad, the only
        rule with such an accumulator.
    """
    configure_device()
    problem = construction_problem()
    drawn = {seed: draw_data(seed) for seed in seeds}
    trainers: dict[tuple[str, bool], Trainer] = {}
    rows: list[dict[str, Any]] = []
    for variant in VARIANTS:
        for name, rate in LEARNING_RATES.items():
            entry = variant_entry(name, variant)
            if variant == KERAS_ACCUMULATOR and entry.factory != "Adagrad":
                continue
            key = (name, variant == KERAS_ACCUMULATOR)  # variants of one optimizer share a compiled trainer
            if key not in trainers:
                trainers[key] = Trainer(CompiledModel(problem, "xla"), partial(build, entry, Arm.TUNED, rate))
            for seed, data in drawn.items():
                loss, wrong = train_variant(trainers[key], data, seed, variant, rate)
                rows.append(
                    {
                        "variant": variant,
                        "optimizer": name,
                        "seed": seed,
                        "n_examples": EXAMPLES,
                        "learning_rate": rate,
                        "updates": UPDATES,
                        "train_error": wrong[:EXAMPLES].mean(),
                        "test_error": wrong[EXAMPLES:].mean(),
                        "negative_share": (data.y[EXAMPLES:] < 0).mean(),
                        "train_loss": loss[:EXAMPLES].mean(),
                    }
                )
    return check_table(pd.DataFrame(rows), CONSTRUCTION_COLUMNS, "linear construction")
