"""The contract of any Keras model: what is trained and evaluated here is what Keras would give.

For each model of ``zoo``: the updates of an optimizer are those of an eager Keras loop, an evaluation is ``model.evaluate``, the
same seed gives the same bits, and the model is trained the way it should be. That SGD's updates are Keras' is part of choosing
the way (:class:`~descentlab.training.engine.mode_trial.ModeTrials`), which refuses any other; here other optimizers are held.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest

from descentlab.problems.base import Data, Problem
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.keras_trainer import KERAS_MODES, KerasTrainer
from descentlab.training.engine.member import Evaluation, Member
from descentlab.training.engine.mode_trial import ModeTrial, ModeTrials
from descentlab.training.engine.modes import choose_mode
from descentlab.training.engine.trainable import initial_variables, with_built_models
from descentlab.training.engine.trainer import Trainer
from models import zoo

pytestmark = pytest.mark.usefixtures("device")

UPDATES, RATE = 5, 0.003
OPTIMIZERS: list[Callable[[], Any]] = [
    lambda: keras.optimizers.Adam(RATE),
    lambda: keras.optimizers.RMSprop(RATE),
    lambda: keras.optimizers.SGD(RATE, momentum=0.9, nesterov=True),
]
NAMES = list(zoo.places())


@dataclass(frozen=True)
class Trained:
    """A model of the zoo, trained by the way that was chosen for it."""

    problem: Problem
    data: Data
    way: ModeTrial
    member: Member
    make_optimizer: Callable[[], Any]
    weights: list[np.ndarray]
    evaluations: list[Evaluation]


def make_trainer(problem: Problem, way: ModeTrial, make_optimizer: Callable[[], Any]) -> Trainer | KerasTrainer:
    if way.mode in KERAS_MODES:
        return KerasTrainer(problem, make_optimizer, problem.batch_size, eager=way.mode == "eager")
    by_keras = None if way.by_example else KerasModel(problem, None, problem.batch_size)
    return Trainer(CompiledModel(problem, way.mode, by_keras=by_keras), make_optimizer)


def make_member(problem: Problem, data: Data, seed: int) -> Member:
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(data))[: UPDATES * problem.batch_size].reshape(UPDATES, -1).astype(np.int32)
    parts = np.arange(len(data)), np.arange(13)
    return Member(initial_variables(problem, seed), order, np.full(UPDATES, RATE, np.float32), parts, seed=seed)


def train(trainer: Trainer | KerasTrainer, data: Data, member: Member) -> tuple[list[np.ndarray], list[Evaluation]]:
    evaluations = [evaluation for (evaluation,) in trainer.train_members(data, [member], [0, UPDATES])]
    return trainer.variables(), evaluations


@functools.cache
def trained(name: str) -> Trained:
    """One of the optimizers by turns, so that each has models of every kind."""
    problem = zoo.problem(name)
    data = problem.load_data(None)
    problem = with_built_models(problem, data)
    mode = choose_mode(problem.build_model(), "CPU", problem.batch_size)
    way = ModeTrials(problem, data, problem.batch_size).choose(tuple(dict.fromkeys((mode, "graph"))))
    make_optimizer = OPTIMIZERS[NAMES.index(name) % len(OPTIMIZERS)]
    member = make_member(problem, data, 0)
    return Trained(
        problem, data, way, member, make_optimizer, *train(make_trainer(problem, way, make_optimizer), data, member)
    )


def draws(problem: Problem) -> bool:
    """Whether the model draws random numbers while it trains, from a state that it keeps or from none."""
    return "random" in problem.title or any(
        variable.name == "seed_generator_state" for variable in problem.build_model().variables
    )


def train_eagerly(case: Trained) -> list[np.ndarray]:
    """Keras' own step in Python, on the same batches."""
    keras.utils.set_random_seed(case.member.seed)
    model = case.problem.build_model()
    for variable, value in zip(model.variables, case.member.initial, strict=True):
        variable.assign(value)
    model.compile(case.make_optimizer(), case.problem.loss, case.problem.loss_weights, run_eagerly=True)
    for index in case.member.order:
        batch = case.data.rows(index)
        model.train_on_batch(batch.x, batch.y, sample_weight=batch.sample_weight)
    return [np.asarray(variable).copy() for variable in model.variables]


@pytest.mark.parametrize("name", NAMES)
def test_updates_are_those_of_an_eager_keras_loop(name: str) -> None:
    case = trained(name)
    if draws(case.problem):
        pytest.skip("its random numbers are others where it is compiled; see test_random_layers")
    for ours, eager, start in zip(case.weights, train_eagerly(case), case.member.initial, strict=True):
        moved = np.abs(eager.astype(np.float64) - start).max() if eager.size else 0.0
        np.testing.assert_allclose(ours, eager, rtol=1e-5, atol=1e-5 + 0.01 * moved)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_is_model_evaluate(name: str) -> None:
    case = trained(name)
    problem, metric = case.problem, case.problem.metric
    model = problem.build_model()
    model.compile(loss=problem.loss, loss_weights=problem.loss_weights, metrics=metric.compiled())
    for values, evaluation in zip((case.member.initial, case.weights), case.evaluations, strict=True):
        for variable, value in zip(model.variables, values, strict=True):
            variable.assign(value)
        for part, means in zip(case.member.parts, evaluation.means, strict=True):
            rows = case.data.rows(part)
            weight = {"sample_weight": rows.sample_weight}
            logs = model.evaluate(rows.x, rows.y, batch_size=problem.batch_size, verbose=0, return_dict=True, **weight)
            others = [key for key in logs if key != "loss" and not key.endswith("_loss")]
            key = others[0] if len(others) == 1 else metric.name
            assert means.loss + evaluation.penalty == pytest.approx(logs["loss"], rel=2e-5, abs=1e-6)
            assert means.metric == pytest.approx(float(np.mean(logs[key])), rel=2e-5, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bits_other_seed_others(name: str) -> None:
    case = trained(name)
    trainer = make_trainer(case.problem, case.way, case.make_optimizer)
    other, _ = train(trainer, case.data, make_member(case.problem, case.data, 1))
    again, evaluations = train(trainer, case.data, case.member)
    assert [value.tobytes() for value in again] == [value.tobytes() for value in case.weights]
    assert [e.means for e in evaluations] == [e.means for e in case.evaluations]
    assert any(a.tobytes() != b.tobytes() for a, b in zip(other, again, strict=True))
