"""The compiled engine beside a plain eager loop and ``model.fit``; its bits; what one member leaves for the next.

Measured on one thread, single precision, 18 updates of the tiny model: against the eager loop the weights of all 18
optimizers differ by at most 5e-7 and the losses by at most 1e-6, in graph mode and under XLA alike, so both are held to
1e-5. It is no law of XLA: where a gradient is near zero an adaptive rule magnifies the rounding of its sign, and larger
models drift apart within tens of updates. So bits are compared within one mode only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from eager_training import train_eagerly

from descentlab.config import OptimizerConfig
from descentlab.engine import (
    CHUNK,
    Evaluation,
    Trainer,
    choose_mode,
    chunked,
    configure_device,
    initial_variables,
    state_variables,
)
from descentlab.optimizers import OPTIMIZERS, build, evaluation_weights
from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.streams import data_order

pytestmark = pytest.mark.usefixtures("device")

TOLERANCE = 1e-5
MODES = ("graph", "xla")
EPOCHS, BATCH, UPDATES = 3, 8, 18
TRAIN, EVERY = np.arange(48), np.arange(60)
SLIDES_ADAGRAD = OptimizerConfig.model_validate(
    {"optimizer": "descentlab.examples.slides_adagrad:SlidesAdaGrad", "learning_rate": None}
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
    """Points of three classes around three centres."""
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
    return lambda: build(known, "default", known.centre_learning_rate or float("nan"))


def decayed_rates(name: str) -> np.ndarray:
    """Another rate for each update, from the usual one towards zero."""
    usual = OPTIMIZERS.get(name, SLIDES_ADAGRAD).centre_learning_rate or float("nan")
    return (usual * (1 - np.arange(UPDATES) / UPDATES)).astype(np.float32)


@dataclass(frozen=True)
class Member:
    """What one training left."""

    evaluations: list[Evaluation]
    weights: list[np.ndarray]
    state: list[np.ndarray]

    def bits(self) -> bytes:
        losses = [array for e in self.evaluations for array in (e.loss, e.score)]
        return b"".join(array.tobytes() for array in [*losses, *self.weights, *self.state])


def train_member(trainer: Trainer, seed: int, rates: np.ndarray, evaluate_at: tuple[int, ...] = (0, 6, 12, 18)) -> Member:
    order = data_order("tiny", seed, TRAIN, BATCH, EPOCHS)
    initial = initial_variables(trainer.problem, seed)
    evaluations = list(trainer.train(tiny_data(), initial, order, rates, list(evaluate_at), EVERY))
    weights = [np.asarray(v) for v in trainer.model.variables]
    return Member(evaluations, weights, [np.asarray(v) for v in state_variables(trainer.optimizer)])


@functools.cache
def members(name: str, mode: str) -> tuple[Trainer, list[Member]]:
    """Seed 0 in a new trainer; seed 1; one that diverges; one that is given up; seed 0 again."""
    trainer = Trainer(tiny_problem(), optimizer_maker(name), mode, has_learning_rate=name in OPTIMIZERS)
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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ALL)
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
        np.testing.assert_allclose(evaluation.loss, expected, rtol=relative, atol=TOLERANCE)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ALL)
def test_a_member_is_the_same_bits_after_others(name: str, mode: str) -> None:
    """After another seed, one that diverged to NaN and one that was given up halfway: nothing of them is left."""
    _, (alone, other, again) = members(name, mode)
    assert alone.bits() == again.bits()
    assert alone.bits() != other.bits()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ALL)
def test_nothing_is_traced_again_for_another_member(name: str, mode: str) -> None:
    trainer, _ = members(name, mode)
    assert trainer._advance.experimental_get_tracing_count() == 1
    assert trainer._evaluate.experimental_get_tracing_count() == 1


def test_a_member_does_diverge_between() -> None:
    """So that the test of bits above does recover from NaN."""
    trainer = Trainer(tiny_problem(), optimizer_maker("adam"), "graph")
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
    rate = OPTIMIZERS[name].centre_learning_rate
    member = train_member(trainer, 0, np.full(UPDATES, rate, np.float32))
    initial = initial_variables(tiny_problem(), 0)
    order = data_order("tiny", 0, TRAIN, BATCH, EPOCHS).ravel()
    model = tiny_model()
    model.set_weights(initial)
    model.compile(optimizer_maker(name)(), tiny_problem().loss)
    model.fit(tiny_data().x[order], tiny_data().y[order], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    for engine, fitted in zip(member.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(engine, fitted, rtol=0, atol=TOLERANCE)


def test_losses_and_scores_are_those_of_evaluate() -> None:
    trainer, (member, *_) = members("adam", "graph")
    model = tiny_model()
    model.set_weights(member.weights)
    model.compile(loss=tiny_problem().loss, metrics=["accuracy"])
    loss, accuracy = model.evaluate(tiny_data().x, tiny_data().y, verbose=0)
    assert member.evaluations[-1].loss.mean() == pytest.approx(loss, abs=1e-6)
    assert member.evaluations[-1].score.mean() == pytest.approx(accuracy, abs=1e-6)
    assert set(np.unique(member.evaluations[-1].score)) <= {0.0, 1.0}
    assert member.evaluations[-1].penalty == 0.0


def test_full_batch_repeats_its_one_row() -> None:
    order = data_order("tiny", 0, TRAIN, 0, EPOCHS)
    assert order.shape == (1, 48)
    initial = initial_variables(tiny_problem(), 0)
    rates = np.full(5, 0.3, np.float32)
    trainer = Trainer(tiny_problem(), optimizer_maker("gd"), "graph")
    list(trainer.train(tiny_data(), initial, order, rates, [5], EVERY))
    path = train_eagerly(
        tiny_model(), optimizer_maker("gd")(), tiny_problem().loss, tiny_data(), initial, order, list(rates)
    )
    for variable, eager in zip(trainer.model.variables, path[-1], strict=True):
        np.testing.assert_allclose(variable, eager, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("mode", MODES)
def test_evaluates_any_number_of_examples_in_their_order(mode: str) -> None:
    """More than a chunk, not a multiple of it, at the end another set than before, and other data by one trainer."""
    data = tiny_data(1100)
    initial = initial_variables(tiny_problem(), 0)
    order = data_order("tiny", 0, TRAIN, BATCH, EPOCHS)
    trainer = Trainer(tiny_problem(), optimizer_maker("sgd"), mode)
    during, last = np.array([3, 1, 1000, 7]), np.random.default_rng(1).permutation(1100)
    first, second = trainer.train(data, initial, order, np.full(UPDATES, 0.1, np.float32), [0, 6], during, last)
    np.testing.assert_allclose(first.loss, log_losses(initial, data.x[during], data.y[during]), atol=TOLERANCE)
    weights = [np.asarray(v) for v in trainer.model.variables]
    np.testing.assert_allclose(second.loss, log_losses(weights, data.x[last], data.y[last]), atol=TOLERANCE)
    few = list(trainer.train(tiny_data(), initial, order, np.full(UPDATES, 0.1, np.float32), [0, 6], during % 60, last % 60))
    np.testing.assert_allclose(
        few[0].loss, log_losses(initial, tiny_data().x[during % 60], tiny_data().y[during % 60]), atol=TOLERANCE
    )


@pytest.mark.parametrize(("examples", "shape"), [(1, (1, 1)), (512, (1, 512)), (513, (2, 512)), (1100, (3, 512))])
def test_chunks_hold_every_index_and_pad_with_the_first(examples: int, shape: tuple[int, int]) -> None:
    indices = np.arange(7, 7 + examples)
    rows = chunked(indices)
    assert (rows.shape, rows.dtype, CHUNK) == (shape, np.int32, 512)
    np.testing.assert_array_equal(rows.ravel()[:examples], indices)
    assert set(rows.ravel()[examples:]) <= {7}


@pytest.mark.parametrize("name", ALL)
def test_state_bytes_per_parameter(name: str) -> None:
    """As the table says (4 bytes a slot); Adafactor and Muon by the shapes (4, 5), (5,), (5, 3), (3,)."""
    trainer, _ = members(name, "graph")
    assert trainer.parameters == 43
    slots = OPTIMIZERS[name].state_slots if name in OPTIMIZERS else 1
    shaped = {"adafactor": 4 * (43 + 4 + 5 + 5 + 3) / 43, "muon": 4 * (35 + 2 * 8) / 43}
    assert trainer.state_bytes_per_parameter == (shaped[name] if slots is None else 4 * slots)


def test_evaluated_model_of_schedule_free_holds_the_average() -> None:
    trainer, _ = members("schedule_free_adamw", "graph")
    member = train_member(trainer, 0, decayed_rates("schedule_free_adamw"))
    z = [np.asarray(v) for v in trainer.optimizer._momentums]
    model = trainer.evaluated_model()
    averaged = [np.asarray(v) for v in model.trainable_variables]
    for y, x, momentum in zip(member.weights, averaged, z, strict=True):
        np.testing.assert_allclose(y, 0.1 * momentum + 0.9 * x, atol=1e-6)
        assert np.max(np.abs(x - y)) > 1e-4
    np.testing.assert_allclose(
        member.evaluations[-1].loss, log_losses(averaged, tiny_data().x, tiny_data().y), atol=TOLERANCE
    )


def test_evaluated_model_of_the_others_is_the_trained_one() -> None:
    trainer, _ = members("adam", "graph")
    member = train_member(trainer, 0, decayed_rates("adam"))
    evaluated = [np.asarray(v).tobytes() for v in trainer.evaluated_model().variables]
    assert evaluated == [w.tobytes() for w in member.weights]


def test_compilation_is_timed_and_kept_out_of_training() -> None:
    trainer = Trainer(tiny_problem(), optimizer_maker("sgd"), "xla")
    member = train_member(trainer, 0, decayed_rates("sgd"))
    assert trainer.compile_seconds > 0.1
    assert 0 < member.evaluations[-1].train_seconds < trainer.compile_seconds / 2
    compiled = trainer.compile_seconds
    train_member(trainer, 1, decayed_rates("sgd"))
    assert trainer.compile_seconds == compiled


def test_initial_variables_by_seed() -> None:
    first, same, other = (initial_variables(tiny_problem(), seed) for seed in (4, 4, 5))
    assert [v.tobytes() for v in first] == [v.tobytes() for v in same]
    assert first[0].tobytes() != other[0].tobytes()


def test_mode_by_model_and_device() -> None:
    import keras

    convolution = keras.Sequential([keras.Input((4, 1)), keras.Sequential([keras.layers.Conv1D(2, 3)])])
    assert choose_mode(tiny_model(), "CPU") == "xla"
    assert choose_mode(convolution, "CPU") == "graph"
    assert choose_mode(convolution, "NVIDIA H200") == "xla"


def test_device_needs_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ProblemError) as caught:
        configure_device()
    assert str(caught.value) == "Keras must run on TensorFlow; received KERAS_BACKEND=jax"
