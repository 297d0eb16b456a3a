"""The compiled engine against ``model.fit``: same weights, batches and validation, one thread.

Both report loss and metric of the validation split after every epoch, and both are warm: what they compile is timed
apart. ``fit`` gets its fastest plain form: arrays gathered beforehand in the order of the batches, no shuffling, no
output, validation in batches of 512. Members, where there are several, are seeds × learning rates; they are compared with
as many trainings by ``fit``, of which one is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from descentlab.problems.base import Data, Problem
from descentlab.problems.random_streams import data_order
from descentlab.problems.splits import Split, split_data
from descentlab.training.engine.any_trainer import make_trainer
from descentlab.training.engine.keras_model import new_metrics
from descentlab.training.engine.member import Member
from descentlab.training.engine.mode_trial import ModeTrial, ModeTrials
from descentlab.training.engine.modes import modes_to_try
from descentlab.training.engine.stateless_optimizer import state_variables
from descentlab.training.engine.trainable import for_keras, initial_variables

LEARNING_RATE = 1e-3
SEED = 0
FIT_CHUNK = 512  # examples that ``fit`` validates at once; more or fewer are slower or no faster


class DisagreementError(RuntimeError):
    """Engine and ``fit`` did not train the same: their times can't be compared."""


@dataclass(frozen=True)
class Case:
    """What to time.

    Attributes:
        problem: model, data and loss.
        data: the problem's data.
        goal: ratio to reach.
        fit_epochs: epochs that ``fit`` trains in a repeat.
        engine_epochs: the same for the engine, which needs more of them for a clock to see; times are compared by epoch.
        train_examples: train on this many only; None for all.
        members: trainings of the engine, ``width`` side by side.
        width: how many the engine is compiled for.
        tolerance: how far the validation losses may lie apart at the end of ``fit_epochs`` (the modes round otherwise).
    """

    problem: Problem
    data: Data
    goal: float
    fit_epochs: int
    engine_epochs: int
    train_examples: int | None = None
    members: int = 1
    width: int = 1
    tolerance: float = 1e-2


@dataclass(frozen=True)
class Timing:
    """Seconds of one member's epoch with its validation, one value a repeat, shape (repeats,); lower is better."""

    case: Case
    updates_per_epoch: int
    fit_seconds: np.ndarray
    engine_seconds: np.ndarray
    fit_warm_up_seconds: float
    engine_warm_up_seconds: float
    engine_compile_seconds: float
    evaluated_examples: int
    loss_difference: float
    mode: str

    @property
    def ratios(self) -> np.ndarray:
        """``fit`` by engine, one value a repeat; higher is better for the engine."""
        return self.fit_seconds / self.engine_seconds


def choose_way(case: Case) -> ModeTrial:
    """The way that a plan chooses on this machine."""
    problem = case.problem
    modes = modes_to_try(problem.build_model(), "CPU", problem.batch_size)
    return ModeTrials(problem, case.data, problem.batch_size).choose(modes)


def make_adam() -> Any:
    """The optimizer of both."""
    import keras

    return keras.optimizers.Adam(LEARNING_RATE)


def time_engine(
    case: Case, split: Split, way: ModeTrial, initial: dict[int, list[np.ndarray]]
) -> tuple[Callable[[], tuple[float, list[float]]], float, float]:
    """A function that trains ``engine_epochs`` of every member once, its warm-up seconds, and those of compiling in them.

    ``initial`` has the initial variables of each seed.

    It returns seconds by epoch and member, and the first member's validation losses.
    """
    begun = time.perf_counter()
    problem = case.problem
    trainer = make_trainer(problem, make_adam, way.mode, way.by_example, case.width)
    per_epoch = len(split.train) // problem.batch_size
    evaluate_at = [per_epoch * epoch for epoch in range(1, case.engine_epochs + 1)]
    members = []
    for number in range(case.members):
        seed, rate = SEED + number // 4, LEARNING_RATE * (1 + number % 4)
        order = data_order(problem.name, seed, split.train, problem.batch_size, case.engine_epochs)
        rates = np.full(len(order), rate, np.float32)
        members.append(Member(initial[seed], order, rates, (split.val,)))

    def train() -> tuple[float, list[float]]:
        begun, compiled = time.perf_counter(), trainer.compile_seconds
        losses: list[float] = []
        for first in range(0, case.members, case.width):
            together = members[first : first + case.width]
            found = [row[0] for row in trainer.train_members(case.data, together, evaluate_at)]
            losses = losses or [e.means[0].loss + e.penalty for e in found]
        # Some are traced anew for every run.
        seconds = time.perf_counter() - begun - (trainer.compile_seconds - compiled)
        return seconds / case.engine_epochs / case.members, losses

    train()
    return train, time.perf_counter() - begun, trainer.compile_seconds


def time_fit(
    case: Case, split: Split, initial: list[np.ndarray]
) -> tuple[Callable[[], tuple[float, list[float]]], float]:
    """The same for ``model.fit`` over ``fit_epochs``."""
    begun = time.perf_counter()
    problem, data = case.problem, case.data
    model = problem.build_model()
    metrics = new_metrics(problem.compiled_metrics())
    model.compile(make_adam(), problem.loss, problem.loss_weights, metrics)
    optimizer: Any = model.optimizer
    optimizer.build(model.trainable_variables)
    fresh = [np.asarray(variable) for variable in state_variables(optimizer)]
    order = data_order(problem.name, SEED, split.train, problem.batch_size, case.fit_epochs)
    x, y, sample_weight = for_keras(data.rows(order.ravel()).fields())
    validated = tuple(part for part in for_keras(data.rows(split.val).fields()) if part is not None)

    def train() -> tuple[float, list[float]]:
        for variable, value in zip(model.variables, initial, strict=True):
            variable.assign(value)
        for variable, value in zip(state_variables(optimizer), fresh, strict=True):
            variable.assign(value)
        begun = time.perf_counter()
        # steps_per_epoch: the arrays hold all epochs, and each epoch goes on where the last one ended.
        history = model.fit(
            x,
            y,
            sample_weight=sample_weight,
            class_weight=problem.class_weight,
            batch_size=problem.batch_size,
            epochs=case.fit_epochs,
            shuffle=False,
            verbose=0,
            steps_per_epoch=len(split.train) // problem.batch_size,
            validation_data=validated,
            validation_batch_size=min(FIT_CHUNK, len(split.val)),
        )
        return (time.perf_counter() - begun) / case.fit_epochs, history.history["val_loss"]

    train()
    return train, time.perf_counter() - begun


def compare_with_fit(case: Case, repeats: int) -> Timing:
    """Time both, alternating, ``repeats`` times each.

    Raises:
        DisagreementError: their validation losses lie further apart than ``case.tolerance``.
    """
    problem = case.problem
    split = split_data(problem, case.data, SEED, problem.batch_size, case.train_examples)
    way = choose_way(case)
    # Before anything is compiled: Keras' seeding makes TensorFlow forget the functions that it has prepared.
    initial = {seed: initial_variables(problem, seed) for seed in range(SEED, SEED + 1 + (case.members - 1) // 4)}
    engine, engine_warm_up, compile_seconds = time_engine(case, split, way, initial)
    fit, fit_warm_up = time_fit(case, split, initial[SEED])
    engine_seconds: list[float] = []
    fit_seconds: list[float] = []
    difference = 0.0
    for repeat in range(repeats):
        order = [(engine, engine_seconds), (fit, fit_seconds)]
        losses = {}
        for train, seconds in order if repeat % 2 == 0 else reversed(order):
            taken, losses[train] = train()
            seconds.append(taken)
        difference = max(difference, abs(losses[engine][case.fit_epochs - 1] - losses[fit][-1]))
    if difference > case.tolerance:
        raise DisagreementError(
            f"{problem.name}: validation losses of engine and fit after {case.fit_epochs} epochs must agree within "
            f"{case.tolerance:g}; they differ by {difference:g}"
        )
    return Timing(
        case=case,
        updates_per_epoch=len(split.train) // problem.batch_size,
        fit_seconds=np.array(fit_seconds),
        engine_seconds=np.array(engine_seconds),
        fit_warm_up_seconds=fit_warm_up,
        engine_warm_up_seconds=engine_warm_up,
        engine_compile_seconds=compile_seconds,
        evaluated_examples=len(split.val),
        loss_difference=difference,
        mode=way.mode,
    )
