"""The compiled engine beside a plain eager loop and ``model.fit``; its bits; what one member leaves for the next.

Measured on one thread, single precision, 18 updates of the tiny model: against the eager loop the weights of all 18
optimizers differ by at most 5e-7 and the losses by at most 1e-6, in graph mode and under XLA alike, so both are held to
1e-5. It is no law of XLA: where a gradient is near zero an adaptive rule magnifies the rounding of its sign, and larger
models drift apart within tens of updates. So bits are compared within one mode only.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from descentlab.optimizers.evaluation_weights import evaluation_weights
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.random_streams import data_order
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.stateless_optimizer import state_variables
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer
from support.eager_training import train_eagerly
from support.tiny_training import (
    ALL,
    BATCH,
    EPOCHS,
    EVERY,
    MODES,
    OF_EACH_KIND,
    TOLERANCE,
    TRAIN,
    UPDATES,
    decayed_rates,
    log_losses,
    members,
    optimizer_maker,
    tiny_data,
    tiny_model,
    tiny_problem,
    train_member,
)
from support.zoo_cases import one_of_a_kind

pytestmark = pytest.mark.usefixtures("device")

# Every rule by XLA, one of each kind in graph mode.
TRAINED = one_of_a_kind(
    itertools.product(ALL, MODES), [*((name, "xla") for name in ALL), *((name, "graph") for name in OF_EACH_KIND)]
)


@pytest.mark.parametrize(("name", "mode"), TRAINED)
def test_three_epochs_agree_with_a_plain_eager_loop(name: str, mode: str) -> None:
    """Weights, the optimizer's own variables, and at each evaluation the losses, recomputed in NumPy."""
    _, (member, *_) = members(name, mode)
    initial = initial_variables(tiny_problem(), 0)
    rates = decayed_rates(name) if name in OPTIMIZERS else [None] * UPDATES
    order = data_order("tiny", 0, TRAIN, BATCH, EPOCHS)
    optimizer, model = optimizer_maker(name)(), tiny_model()
    path = train_eagerly(model, optimizer, tiny_problem().loss, tiny_data(), initial, order, rates)
    # The slides' AdaGrad begins with steps of one in every weight, so its weights are large: their rounding too.
    relative = 0 if name in OPTIMIZERS else TOLERANCE
    for engine, eager in zip(member.weights, path[-1], strict=True):
        np.testing.assert_allclose(engine, eager, rtol=relative, atol=TOLERANCE)
    assert max(np.max(np.abs(w - start)) for w, start in zip(member.weights, initial, strict=True)) > 100 * TOLERANCE
    for engine, eager in zip(member.state, state_variables(optimizer), strict=True):
        np.testing.assert_allclose(engine, eager, rtol=TOLERANCE, atol=TOLERANCE)
    averaged = evaluation_weights(optimizer, model.trainable_variables)
    if averaged is not None:  # what is evaluated is another point than what is trained, and known at the end only
        path[-1] = [np.asarray(value) for value in averaged]
    for evaluation in member.evaluations if averaged is None else member.evaluations[-1:]:
        expected = log_losses(path[evaluation.updates], tiny_data().x, tiny_data().y)
        # A logit adds up the rounding of several weights.
        np.testing.assert_allclose(evaluation.loss, expected, rtol=10 * relative, atol=TOLERANCE)


@pytest.mark.parametrize(("name", "mode"), TRAINED)
def test_a_member_is_the_same_bits_after_others(name: str, mode: str) -> None:
    """After another seed, one that diverged to NaN and one that was given up halfway: nothing of them is left."""
    _, (alone, other, again) = members(name, mode)
    assert alone.bits() == again.bits()
    assert alone.bits() != other.bits()


@pytest.mark.parametrize(("name", "mode"), TRAINED)
def test_nothing_is_traced_again_for_another_member(name: str, mode: str) -> None:
    """What the first member compiled serves a second seed and, after a divergence and one given up, the first again."""
    _, (first, other, again) = members(name, mode)
    assert 0 < first.compile_seconds == other.compile_seconds == again.compile_seconds


def test_a_member_does_diverge_between() -> None:
    """So that the test of bits above does recover from NaN."""
    trainer = Trainer(CompiledModel(tiny_problem(), "graph"), optimizer_maker("adam"))
    diverged = train_member(trainer, 2, np.full(UPDATES, np.inf, np.float32))
    assert not np.isfinite(diverged.evaluations[-1].loss).any()
    assert np.isfinite(diverged.evaluations[0].loss).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["momentum", "adam", "schedule_free_adamw"])
def test_evaluating_more_often_changes_nothing(name: str, mode: str) -> None:
    trainer, (member, *_) = members(name, mode)
    often = train_member(trainer, 0, decayed_rates(name), tuple(range(UPDATES + 1)))
    assert [e.updates for e in often.evaluations] == list(range(UPDATES + 1))
    assert [w.tobytes() for w in often.weights] == [w.tobytes() for w in member.weights]
    assert [often.evaluations[e.updates].loss.tobytes() for e in member.evaluations] == [
        e.loss.tobytes() for e in member.evaluations
    ]


@pytest.mark.parametrize("name", ["momentum", "adam", "rmsprop"])
def test_agrees_with_fit(name: str) -> None:
    """``model.fit`` of one epoch, not shuffled, on the examples written out in the engine's order."""
    trainer, _ = members(name, "graph")
    rate = OPTIMIZERS[name].center_learning_rate
    member = train_member(trainer, 0, np.full(UPDATES, rate, np.float32))
    initial = initial_variables(tiny_problem(), 0)
    order = data_order("tiny", 0, TRAIN, BATCH, EPOCHS).ravel()
    model = tiny_model()
    model.set_weights(initial)
    model.compile(optimizer_maker(name)(), tiny_problem().loss)
    model.fit(tiny_data().x[order], tiny_data().y[order], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    for engine, fitted in zip(member.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(engine, fitted, rtol=0, atol=TOLERANCE)


def test_full_batch_repeats_its_one_row() -> None:
    order = data_order("tiny", 0, TRAIN, 0, EPOCHS)
    assert order.shape == (1, 48)
    initial = initial_variables(tiny_problem(), 0)
    rates = np.full(5, 0.3, np.float32)
    trainer = Trainer(CompiledModel(tiny_problem(), "graph"), optimizer_maker("gd"))
    list(trainer.train(tiny_data(), initial, order, rates, [5], EVERY))
    path = train_eagerly(
        tiny_model(), optimizer_maker("gd")(), tiny_problem().loss, tiny_data(), initial, order, list(rates)
    )
    for variable, eager in zip(trainer.variables(), path[-1], strict=True):
        np.testing.assert_allclose(variable, eager, rtol=0, atol=TOLERANCE)
