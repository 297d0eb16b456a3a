"""Any Keras model that ``fit`` trains is trained as ``fit`` trains it, or refused by name.

The functional model has what a dense Sequential lacks: BatchNormalization (moving statistics), Dropout (the state of
its random numbers), an L2 penalty, two inputs, sample weights and a loss function of its own. Measured on one thread,
after 18 updates: in graph mode every variable is within 1e-6 of the eager loop's, Dropout's draws included. Under XLA
so is the model without Dropout; with it XLA draws other random bits from the same state (TensorFlow has another
generator there), so the runs are of equal law but not equal. Layers before a BatchNormalization have no bias here: its
gradient is zero but for rounding, which Adam magnifies to steps of the learning rate in any two ways of computing it.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest

from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.random_streams import data_order, stream_seed
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.example_loss import resolve_loss
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer
from support.eager_training import train_eagerly
from support.functional_problem import (
    L2,
    TOLERANCE,
    functional_data,
    functional_problem,
    log_cosh,
    make_adam,
)
from support.zoo_cases import one_of_a_kind

pytestmark = pytest.mark.usefixtures("device")

BATCH, EPOCHS, UPDATES = 8, 3, 18
TRAIN, EVERY = np.arange(48), np.arange(60)
FUNCTIONAL = one_of_a_kind(
    itertools.product(("dict", "tuple"), ("graph", "xla")), [("dict", "graph"), ("dict", "xla"), ("tuple", "graph")]
)


@functools.cache
def functional_trainer(inputs: str, mode: str, dropout: float = 0.3) -> Trainer:
    return Trainer(CompiledModel(functional_problem(inputs, dropout), mode), make_adam)


@functools.cache
def image_problem() -> Problem:
    import keras

    def build_model() -> Any:
        layers = [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(3, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2),
        ]
        return keras.Sequential(layers)

    accuracy = Metric("accuracy", True, keras.metrics.sparse_categorical_accuracy)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Problem("image", "", build_model, lambda path: image_data(), loss, accuracy)


@functools.cache
def image_data() -> Data:
    generator = np.random.default_rng(6)
    y = generator.integers(0, 2, 60).astype(np.int32)
    x = generator.normal(size=(60, 6, 6, 1)) + y[:, None, None, None]
    return Data(x.astype(np.float32), y)


def train(trainer: Trainer, data: Data, seed: int) -> tuple[list[np.ndarray], Any]:
    """Values of the variables at the end, and the last evaluation."""
    order = data_order(trainer.problem.name, seed, TRAIN, BATCH, EPOCHS)
    initial = initial_variables(trainer.problem, seed)
    *_, last = trainer.train(data, initial, order, np.full(UPDATES, 0.01, np.float32), [0, 6, UPDATES], EVERY)
    return trainer.variables(), last


def variable_named(trainer: Trainer, values: list[np.ndarray], name: str) -> np.ndarray:
    return next(value for variable, value in zip(trainer.model.variables, values, strict=True) if variable.name == name)


def train_both(trainer: Trainer, data: Data) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Values of the variables: before, after the engine, after the eager loop."""
    values, _ = train(trainer, data, 0)
    initial = initial_variables(trainer.problem, 0)
    order = data_order(trainer.problem.name, 0, TRAIN, BATCH, EPOCHS)
    loss = resolve_loss(trainer.problem.loss)
    path = train_eagerly(trainer.problem.build_model(), make_adam(), loss, data, initial, order, [0.01] * UPDATES)
    return initial, values, path[-1]


@pytest.mark.parametrize("inputs", ["dict", "tuple", "image"])
def test_agrees_with_a_plain_eager_loop_in_graph_mode(inputs: str) -> None:
    if inputs == "image":
        trainer, data = Trainer(CompiledModel(image_problem(), "graph"), make_adam), image_data()
    else:
        trainer, data = functional_trainer(inputs, "graph"), functional_data(inputs)
    initial, engine, eager = train_both(trainer, data)
    for variable, ours, theirs in zip(trainer.model.variables, engine, eager, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE, err_msg=variable.path)
    # Everything that training changes did change: moving statistics, and one draw of Dropout's an update.
    assert all(value.tobytes() != start.tobytes() for value, start in zip(engine, initial, strict=True))
    assert variable_named(trainer, engine, "seed_generator_state")[1] == UPDATES


@pytest.mark.parametrize("inputs", one_of_a_kind(["dict", "tuple"], ["dict"]))
def test_agrees_with_a_plain_eager_loop_under_xla_without_dropout(inputs: str) -> None:
    trainer = functional_trainer(inputs, "xla", dropout=0.0)
    initial, engine, eager = train_both(trainer, functional_data(inputs))
    for variable, ours, theirs in zip(trainer.model.variables, engine, eager, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE, err_msg=variable.path)
    assert all(value.tobytes() != start.tobytes() for value, start in zip(engine, initial, strict=True))


def test_dropout_draws_other_bits_under_xla() -> None:
    """The same state, advanced as often, but another mask: so one comparison keeps to one mode."""
    trainer = functional_trainer("dict", "xla")
    _, engine, eager = train_both(trainer, functional_data("dict"))
    np.testing.assert_array_equal(*(variable_named(trainer, v, "seed_generator_state") for v in (engine, eager)))
    assert np.max(np.abs(variable_named(trainer, engine, "kernel") - variable_named(trainer, eager, "kernel"))) > 1e-3


@pytest.mark.parametrize("inputs", ["dict", "tuple"])
def test_agrees_with_fit(inputs: str) -> None:
    """The same examples in the same order, with sample weights; ``fit`` also tells the last epoch's mean loss."""
    trainer, data = functional_trainer(inputs, "graph"), functional_data(inputs)
    values, _ = train(trainer, data, 0)
    order = data_order(trainer.problem.name, 0, TRAIN, BATCH, EPOCHS).ravel()
    model = trainer.problem.build_model()
    for variable, value in zip(model.variables, initial_variables(trainer.problem, 0), strict=True):
        variable.assign(value)
    model.compile(make_adam(), log_cosh)
    x = {k: v[order] for k, v in data.x.items()} if inputs == "dict" else tuple(v[order] for v in data.x)
    assert data.sample_weight is not None
    model.fit(x, data.y[order], sample_weight=data.sample_weight[order], batch_size=BATCH, shuffle=False, verbose=0)
    for variable, engine in zip(model.variables, values, strict=True):
        np.testing.assert_allclose(engine, variable, rtol=0, atol=TOLERANCE, err_msg=variable.path)


@pytest.mark.parametrize(("inputs", "mode"), FUNCTIONAL)
def test_losses_scores_and_penalty_are_those_of_evaluate(inputs: str, mode: str) -> None:
    """The loss with sample weights, the metric without; as in inference: no dropout, moving statistics."""
    trainer, data = functional_trainer(inputs, mode), functional_data(inputs)
    values, last = train(trainer, data, 0)
    model = trainer.problem.build_model()
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)
    model.compile(loss=log_cosh, metrics=["mae"])
    loss, error = model.evaluate(data.x, data.y, sample_weight=data.sample_weight, verbose=0)
    assert last.penalty == pytest.approx(L2 * float(np.sum(values[0] ** 2)), rel=1e-5)
    assert last.loss.mean() + last.penalty == pytest.approx(loss, abs=1e-6)
    assert last.score.mean() == pytest.approx(error, abs=1e-6)
    predicted = model.predict(data.x, verbose=0)
    np.testing.assert_allclose(last.loss, np.log(np.cosh(predicted - data.y))[:, 0] * data.sample_weight, atol=1e-6)


@pytest.mark.parametrize(("inputs", "mode"), FUNCTIONAL)
def test_a_member_is_the_same_bits_after_others(inputs: str, mode: str) -> None:
    """Moving statistics, the state of Dropout and Adam's moments all begin anew."""
    trainer, data = Trainer(CompiledModel(functional_problem(inputs), mode), make_adam), functional_data(inputs)
    (alone, _), (other, _), (again, _) = (train(trainer, data, seed) for seed in (0, 1, 0))
    assert [v.tobytes() for v in alone] == [v.tobytes() for v in again]
    assert all(a.tobytes() != b.tobytes() for a, b in zip(alone, other, strict=True))


def test_dropout_has_a_stream_of_its_own() -> None:
    """The state of its random numbers is derived from (problem, seed, "dropout") and the variable's place."""
    problem = functional_problem("dict")
    names = [variable.name for variable in functional_trainer("dict", "graph").model.variables]
    place = names.index("seed_generator_state")
    for seed in (0, 1):
        state = initial_variables(problem, seed)[place]
        np.testing.assert_array_equal(state, [(stream_seed(problem.name, seed, "dropout") + place) % 2**31, 0])


def test_sample_weights_count() -> None:
    """Weights of zero leave only the penalty, which then shrinks the one kernel that has it."""
    trainer, data = functional_trainer("dict", "graph"), functional_data("dict")
    unweighted = Data(data.x, data.y, None, np.zeros(60, np.float32))
    values, _ = train(trainer, unweighted, 0)
    initial = initial_variables(trainer.problem, 0)
    variables = zip(trainer.model.variables, values, initial, strict=True)
    moved = [variable.name for variable, end, start in variables if end.tobytes() != start.tobytes()]
    assert moved == ["kernel", "moving_mean", "moving_variance", "seed_generator_state"]
    assert np.abs(values[0]).sum() < np.abs(initial[0]).sum()


@pytest.mark.parametrize("loss", ["mean_squared_error", "function", "object"])
def test_a_loss_by_name_function_or_object_is_the_same(loss: str) -> None:
    import keras

    given = {
        "mean_squared_error": "mean_squared_error",
        "function": lambda y, predicted: keras.ops.mean((predicted - y) ** 2, axis=-1),
        "object": keras.losses.MeanSquaredError(),
    }[loss]
    y, predicted = np.array([[1.0], [2.0]], np.float32), np.array([[3.0], [2.5]], np.float32)
    weight = np.array([1.0, 4.0], np.float32)
    # Keras' default reduction: the sum of weighted losses over the number of examples, not over the sum of weights.
    assert float(resolve_loss(given)(y, predicted, weight)) == pytest.approx((4 + 4 * 0.25) / 2)
