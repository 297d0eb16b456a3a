"""A tiny dense model, its data, and members trained on it: what the tests of the engine share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from descentlab.experiment.optimizer_config import OptimizerConfig
from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data, Problem
from descentlab.problems.random_streams import data_order
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.member import Evaluation
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

TOLERANCE = 1e-5
MODES = ("graph", "xla")
EPOCHS, BATCH, UPDATES = 3, 8, 18
TRAIN, EVERY = np.arange(48), np.arange(60)
SLIDES_ADAGRAD = OptimizerConfig.model_validate(
    {"optimizer": "descentlab.optimizers.slides_adagrad:SlidesAdaGrad", "learning_rate": None}
).entry()


def tiny_model() -> Any:
    import keras

    layers = [keras.Input((4,)), keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(3)]
    return keras.Sequential(layers)


@functools.cache
def tiny_problem() -> Problem:
    from descentlab.problems.classification import ACCURACY, CROSS_ENTROPY

    return Problem("tiny", "tiny", tiny_model, lambda path: tiny_data(), CROSS_ENTROPY, ACCURACY)


@functools.cache
def tiny_data(examples: int = 60) -> Data:
    """Points of three classes around three centers."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, examples).astype(np.int32)
    x = generator.normal(size=(3, 4))[y] + 0.5 * generator.normal(size=(examples, 4))
    return Data(x.astype(np.float32), y)


def log_losses(weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cross-entropy of each example by the tiny model, in NumPy and double precision."""
    w1, b1, w2, b2 = (w.astype(np.float64) for w in weights)
    logits = np.tanh(x @ w1 + b1) @ w2 + b2
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]


def optimizer_maker(name: str) -> Callable[[], Any]:
    known = OPTIMIZERS.get(name, SLIDES_ADAGRAD)
    return lambda: build(known, "default", known.center_learning_rate)


def decayed_rates(name: str) -> np.ndarray:
    """Another rate for each update, from the usual one towards zero."""
    usual = OPTIMIZERS.get(name, SLIDES_ADAGRAD).center_learning_rate or float("nan")
    return (usual * (1 - np.arange(UPDATES) / UPDATES)).astype(np.float32)


@dataclass(frozen=True)
class Member:
    """What one training left."""

    evaluations: list[Evaluation]
    weights: list[np.ndarray]
    state: list[np.ndarray]
    compile_seconds: float  # of its trainer so far

    def bits(self) -> bytes:
        losses = [array for e in self.evaluations for array in (e.loss, e.score)]
        return b"".join(array.tobytes() for array in [*losses, *self.weights, *self.state])


def train_member(
    trainer: Trainer, seed: int, rates: np.ndarray, evaluate_at: tuple[int, ...] = (0, 6, 12, 18)
) -> Member:
    """Train a seed's member whole, evaluated on all examples."""
    order = data_order("tiny", seed, TRAIN, BATCH, EPOCHS)
    initial = initial_variables(trainer.problem, seed)
    evaluations = list(trainer.train(tiny_data(), initial, order, rates, list(evaluate_at), EVERY))
    weights = trainer.variables()
    return Member(evaluations, weights, trainer.state(), trainer.compile_seconds)


@functools.cache
def members(name: str, mode: str) -> tuple[Trainer, list[Member]]:
    """Seed 0 in a new trainer; seed 1; one that diverges; one that is given up; seed 0 again."""
    trainer = Trainer(CompiledModel(tiny_problem(), mode), optimizer_maker(name), has_learning_rate=name in OPTIMIZERS)
    rates = decayed_rates(name)
    trained = [train_member(trainer, 0, rates), train_member(trainer, 1, rates)]
    train_member(trainer, 2, np.full(UPDATES, np.inf, np.float32) if name in OPTIMIZERS else rates)
    order = data_order("tiny", 3, TRAIN, BATCH, EPOCHS)
    given_up = trainer.train(tiny_data(), initial_variables(trainer.problem, 3), order, rates, [0, 6, 12, 18], EVERY)
    next(given_up)
    next(given_up)
    given_up.close()
    return trainer, [*trained, train_member(trainer, 0, rates)]


ALL = [*OPTIMIZERS, "slides_adagrad"]
# By element, by rows and columns, by tensor, by matrix, and one that is evaluated elsewhere.
OF_EACH_KIND = ("sgd", "adam", "adafactor", "lamb", "muon", "schedule_free_adamw")
