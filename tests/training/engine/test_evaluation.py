"""What a Trainer tells of a member: losses and scores by example, the evaluated model, its memory, its mode."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from descentlab.problems.base import Metric, ProblemError
from descentlab.problems.random_streams import data_order
from descentlab.problems.table import builtin_problem
from descentlab.training.engine import compiled_model
from descentlab.training.engine.any_trainer import make_trainer
from descentlab.training.engine.compiled_model import CompiledModel, chunked
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.member import Member
from descentlab.training.engine.modes import choose_mode, choose_width
from descentlab.training.engine.stateless_optimizer import state_variables
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer
from support.tiny_training import (
    BATCH,
    EPOCHS,
    EVERY,
    MODES,
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

pytestmark = pytest.mark.usefixtures("device")


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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outputs", [compiled_model.CHUNK_OUTPUTS, 3 * 7])
def test_evaluates_any_number_of_examples_in_their_order(
    mode: str, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a chunk, not a multiple of it, at the end another set than before, and other data by one trainer.

    A chunk of a model with many outputs is smaller: of three classes, 7 examples have 21.
    """
    monkeypatch.setattr(compiled_model, "CHUNK_OUTPUTS", outputs)
    data = tiny_data(1100)
    initial = initial_variables(tiny_problem(), 0)
    order = data_order("tiny", 0, TRAIN, BATCH, EPOCHS)
    trainer = Trainer(CompiledModel(tiny_problem(), mode), optimizer_maker("sgd"))
    during, last = np.array([3, 1, 1000, 7]), np.random.default_rng(1).permutation(1100)
    first, second = trainer.train(data, initial, order, np.full(UPDATES, 0.1, np.float32), [0, 6], during, last)
    np.testing.assert_allclose(first.loss, log_losses(initial, data.x[during], data.y[during]), atol=TOLERANCE)
    weights = trainer.variables()
    np.testing.assert_allclose(second.loss, log_losses(weights, data.x[last], data.y[last]), atol=TOLERANCE)
    few, during, last = tiny_data(), during % 60, last % 60
    first, _ = trainer.train(few, initial, order, np.full(UPDATES, 0.1, np.float32), [0, 6], during, last)
    np.testing.assert_allclose(first.loss, log_losses(initial, few.x[during], few.y[during]), atol=TOLERANCE)


def test_the_last_evaluation_of_more_examples_is_not_compiled_for_itself() -> None:
    """A metric of the reader's own runs in Python only while an evaluation is compiled."""
    import keras

    def traced(last: np.ndarray | None) -> int:
        calls: list[str] = []

        def hit(y: Any, predicted: Any) -> Any:
            calls.append("hit")
            return keras.ops.cast(keras.ops.argmax(predicted, axis=-1) == y, "float32")

        trainer = Trainer(
            CompiledModel(replace(tiny_problem(), metric=Metric("hit", True, hit)), "xla"), optimizer_maker("sgd")
        )
        initial, order = initial_variables(tiny_problem(), 0), data_order("tiny", 0, TRAIN, BATCH, EPOCHS)
        list(trainer.train(tiny_data(), initial, order, decayed_rates("sgd"), [2, 4], TRAIN[:20], last))
        return len(calls)

    assert traced(TRAIN) == traced(None) > 0


@pytest.mark.parametrize("examples", [1, 31, 32, 33, 8 * 32 + 19])
@pytest.mark.parametrize("more", [0, 2])
def test_chunks_hold_every_index_and_pad_with_the_first(examples: int, more: int) -> None:
    indices, needed = np.arange(7, 7 + examples), math.ceil(examples / 32)
    rows = chunked(indices, needed + more, 32)
    assert (rows.shape, rows.dtype) == ((needed + more, 32), np.int32)
    np.testing.assert_array_equal(rows.ravel()[:examples], indices)
    assert set(rows.ravel()[examples:]) <= {7}
    np.testing.assert_array_equal(chunked(indices, needed, 32), rows[:needed])


def test_a_chunk_is_smaller_where_a_model_has_many_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CompiledModel(tiny_problem(), "graph").chunk_size(tiny_data()) == compiled_model.CHUNK
    for outputs, examples in ((3 * 7 + 2, 7), (2, 1)):  # of three classes
        monkeypatch.setattr(compiled_model, "CHUNK_OUTPUTS", outputs)
        assert CompiledModel(tiny_problem(), "graph").chunk_size(tiny_data()) == examples


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("sgd", 0), ("adam", 2 * 43), ("adafactor", 43 + 4 + 5 + 5 + 3), ("muon", 35 + 2 * 8)],
)
def test_state_bytes_per_parameter(name: str, numbers: int) -> None:
    """Single precision; the model's shapes are (4, 5), (5,), (5, 3), (3,). What each optimizer keeps is test_table.py's."""
    trainer = Trainer(CompiledModel(tiny_problem(), "graph"), optimizer_maker(name))
    assert (trainer.parameters, trainer.state_bytes_per_parameter) == (43, 4 * numbers / 43)


def test_what_is_evaluated_of_schedule_free_holds_the_average() -> None:
    trainer, _ = members("schedule_free_adamw", "graph")
    member = train_member(trainer, 0, decayed_rates("schedule_free_adamw"))
    names = [variable.path for variable in state_variables(trainer.optimizer)]
    z = [value for name, value in zip(names, member.state, strict=True) if name.endswith("_momentum")]
    averaged = trainer.evaluated_variables()
    for y, x, momentum in zip(member.weights, averaged, z, strict=True):
        np.testing.assert_allclose(y, 0.1 * momentum + 0.9 * x, atol=1e-6)
        assert np.max(np.abs(x - y)) > 1e-4
    np.testing.assert_allclose(
        member.evaluations[-1].loss, log_losses(averaged, tiny_data().x, tiny_data().y), atol=TOLERANCE
    )


@pytest.mark.parametrize(
    ("mode", "precision"), [("graph", "float32"), ("keras", "float32"), ("keras", "mixed_float16")]
)
def test_what_is_evaluated_of_averaged_weights_is_what_fit_leaves(mode: str, precision: str) -> None:
    """``fit`` of one epoch puts the averages of ``use_ema`` into the model at its end; in float16 it scales the loss."""
    import keras

    def build_model() -> Any:
        policy = keras.DTypePolicy(precision)
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(5, "tanh", dtype=policy), keras.layers.Dense(3, dtype="float32")]
        )
        model.dtype_policy = policy
        return model

    def make_optimizer(rate: float) -> Any:
        return keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.8)

    problem = replace(tiny_problem(), build_model=build_model)
    # Half of the rate that is assigned, so that the optimizer's own would show.
    trainer = make_trainer(problem, lambda: make_optimizer(0.025), mode, batch_size=BATCH)
    initial, order = initial_variables(problem, 0), data_order("tiny", 0, TRAIN, BATCH, 1)
    member = Member(initial, order, np.full(len(order), 0.05, np.float32), (EVERY,))
    *_, (last,) = trainer.train_members(tiny_data(), [member], [0, len(order)])
    model = build_model()
    model.set_weights(initial)
    model.compile(make_optimizer(0.05), problem.loss)
    rows, half = order.ravel(), precision == "mixed_float16"
    model.fit(tiny_data().x[rows], tiny_data().y[rows], batch_size=BATCH, shuffle=False, verbose=0)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == half
    tolerance = 1e-3 if half else TOLERANCE  # half precision has 11 bits
    for ours, fitted, trained in zip(
        trainer.evaluated_variables(), model.get_weights(), trainer.variables(), strict=True
    ):
        np.testing.assert_allclose(ours, fitted, rtol=0, atol=tolerance)
        assert np.abs(trained - fitted).max() > 10 * tolerance
    losses = log_losses(model.get_weights(), tiny_data().x, tiny_data().y)
    assert last.means[0].loss == pytest.approx(losses.mean(), abs=tolerance)


def test_what_is_evaluated_of_the_others_is_what_is_trained() -> None:
    trainer, _ = members("adam", "graph")
    member = train_member(trainer, 0, decayed_rates("adam"))
    evaluated = [value.tobytes() for value in trainer.evaluated_variables()]
    assert evaluated == [w.tobytes() for w in member.weights]


def test_compilation_is_timed_and_kept_out_of_training() -> None:
    trainer = Trainer(CompiledModel(tiny_problem(), "xla"), optimizer_maker("sgd"))
    member = train_member(trainer, 0, decayed_rates("sgd"))
    assert trainer.compile_seconds > 0.1
    assert 0 < member.evaluations[-1].train_seconds < trainer.compile_seconds / 2
    compiled = trainer.compile_seconds
    train_member(trainer, 1, decayed_rates("sgd"))
    assert trainer.compile_seconds == compiled


def test_other_examples_to_evaluate_are_no_reason_to_compile_the_training_again() -> None:
    """The optimizer's rule runs in Python only while the training is compiled."""
    import keras

    calls: list[str] = []

    class Recorded(keras.optimizers.SGD):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            calls.append(variable.path)
            super().update_step(gradient, variable, learning_rate)

    trainer = Trainer(CompiledModel(tiny_problem(), "xla"), lambda: Recorded(0.1))
    initial, order = initial_variables(tiny_problem(), 0), data_order("tiny", 0, TRAIN, BATCH, EPOCHS)
    seconds, called = [], []
    for examples in (TRAIN, TRAIN[:40], TRAIN):
        list(trainer.train(tiny_data(), initial, order, decayed_rates("sgd"), [2], examples))
        seconds.append(trainer.compile_seconds)
        called.append(len(calls))
    assert called[0] == called[1] == called[2] > 0
    assert 0 < seconds[0] < seconds[1] == seconds[2], "the evaluation of 40 is compiled once"


def test_initial_variables_by_seed() -> None:
    first, same, other = (initial_variables(tiny_problem(), seed) for seed in (4, 4, 5))
    assert [v.tobytes() for v in first] == [v.tobytes() for v in same]
    assert first[0].tobytes() != other[0].tobytes()


def test_mode_by_model_and_device() -> None:
    import keras

    convolution = keras.Sequential([keras.Input((4, 1)), keras.Sequential([keras.layers.Conv1D(2, 3)])])
    assert choose_mode(tiny_model(), "CPU", 32) == "xla"
    assert choose_mode(convolution, "CPU", 32) == "graph"
    assert choose_mode(convolution, "NVIDIA H200", 32) == "xla"
    small, large = (builtin_problem(name) for name in ("digits_cnn", "slides_cnn"))
    assert choose_mode(small.build_model(), "CPU", small.batch_size) == "patches"
    assert choose_mode(large.build_model(), "CPU", large.batch_size) == "graph"
    assert choose_mode(small.build_model(), "NVIDIA H200", small.batch_size) == "xla"


def test_width_by_model_and_mode() -> None:
    mlp, small, large = (builtin_problem(name) for name in ("mlp", "digits_cnn", "slides_cnn"))
    assert choose_width(mlp.build_model(), "xla") == 8
    assert choose_width(mlp.build_model(), "graph") == 1
    assert choose_width(small.build_model(), "patches") == choose_width(large.build_model(), "xla") == 1


def test_device_needs_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ProblemError) as caught:
        configure_device()
    assert str(caught.value) == "Keras must run on TensorFlow; received KERAS_BACKEND=jax"
