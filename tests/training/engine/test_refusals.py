"""Models that the compiled loop would not train as ``fit`` does are refused by name; those that are no models, altogether."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from descentlab.problems.base import Data, Metric, Problem, ProblemError
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.trainable import check_compilable, with_built_models

pytestmark = pytest.mark.usefixtures("device")


def problem_of(model: Any) -> Problem:
    metric = Metric("error", False, lambda y, predicted: y - predicted)
    return Problem("mine", "", lambda: model, lambda path: Data(np.ones((3, 2)), np.ones(3)), "mse", metric)


def refusal(model: Any) -> str:
    """Why a model isn't compiled; also by a CompiledModel, before it compiles anything."""
    problem = problem_of(model)
    with pytest.raises(ProblemError) as caught:
        check_compilable(problem, model)
    with pytest.raises(ProblemError) as again:
        CompiledModel(problem, "graph")
    assert str(again.value) == str(caught.value)
    return str(caught.value)


def build_refusal(model: Any) -> str:
    """Why a model isn't trained at all."""
    problem = problem_of(model)
    with pytest.raises(ProblemError) as caught:
        with_built_models(problem, problem.load_data(None)).build_model()
    return str(caught.value)


def test_two_outputs_are_not_compiled() -> None:
    import keras

    inputs = keras.Input((2,))
    model = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])
    assert refusal(model) == "problem 'mine': the compiled loop needs a model with one output"


@pytest.mark.parametrize("method", ["train_step", "compute_loss"])
def test_a_training_of_the_models_own_is_not_compiled(method: str) -> None:
    import keras

    own = type("Own", (keras.Model,), {method: lambda self, *arguments, **named: None})
    inputs = keras.Input((2,))
    assert refusal(own(inputs, keras.layers.Dense(1)(inputs))) == (
        f"problem 'mine': the model has its own {method}, which only Keras' own step can follow"
    )


def test_text_is_not_compiled() -> None:
    import keras

    text, numbers = keras.Input((), dtype="string", name="text"), keras.Input((2,))
    model = keras.Model([text, numbers], keras.layers.Dense(1)(numbers))
    assert refusal(model) == (
        "problem 'mine': inputs must be dense arrays of numbers; received <KerasTensor shape=(None,), dtype=string, "
        "sparse=False, ragged=False, name=text>"
    )


def test_a_model_that_doesnt_say_its_inputs_is_built_on_the_data() -> None:
    import keras

    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    for model in (keras.Sequential([keras.layers.Dense(1)]), Subclassed()):
        problem = problem_of(model)
        built = with_built_models(problem, problem.load_data(None)).build_model()
        assert [tuple(variable.shape) for variable in built.variables] == [(2, 1), (1,)]


def test_refuses_what_is_no_model_has_no_weights_or_does_not_fit_the_data() -> None:
    import keras

    assert build_refusal(keras.layers.Dense(1)) == (
        "problem 'mine': build_model must return a keras.Model; received Dense"
    )
    assert build_refusal(keras.Sequential([keras.Input((2,)), keras.layers.Activation("relu")])) == (
        "problem 'mine': the model has no trainable variable"
    )
    unfit = keras.Sequential([keras.layers.Dense(1), keras.layers.Reshape((7,))])
    assert build_refusal(unfit).startswith("problem 'mine': the model can't be called on the data: ")


def step(self: Any, data: Any) -> dict[str, Any]:
    """Stands for a training or test step of the model's own."""
    raise NotImplementedError


@pytest.mark.parametrize(
    ("steps", "lacking"),
    [
        ((), "it has no train_step and no test_step"),
        (("train_step",), "it has no test_step"),
        (("test_step",), "it has no train_step"),
    ],
)
def test_a_model_without_a_call_has_both_steps(steps: tuple[str, ...], lacking: str) -> None:
    """As the VAE among Keras' examples is published, it has no test_step."""
    import keras

    vae = type("Vae", (keras.Model,), dict.fromkeys(steps, step))()
    vae.encoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert build_refusal(vae) == (
        f"problem 'mine': the model has no call. Without one, it needs a train_step and a test_step of its own; {lacking}"
    )


def test_a_model_without_a_call_is_made_of_parts_that_are_built() -> None:
    import keras

    class Sampling(keras.layers.Layer):
        """Has no variables, so there is nothing to build."""

        def call(self, x: Any) -> Any:
            return x

    def vae(*layers: Any) -> Any:
        model = type("Vae", (keras.Model,), {"train_step": step, "test_step": step})()
        model.sampling, model.dropout = Sampling(), keras.layers.Dropout(0.5)
        model.decoder = keras.Sequential([*layers, keras.layers.Dense(1, name="pixels")], name="decoder")
        return model

    assert build_refusal(vae()) == (
        "problem 'mine': the model has no call, so build_model must return it with all its parts built: begin each with "
        "keras.Input. Not built: decoder, pixels"
    )
    problem = problem_of(vae(keras.Input((2,))))
    built = with_built_models(problem, problem.load_data(None)).build_model()
    assert built.built and [tuple(variable.shape) for variable in built.trainable_variables] == [(2, 1), (1,)]


def test_a_compile_of_several_optimizers_is_refused() -> None:
    import keras

    class Gan(keras.Model):
        def call(self, x: Any) -> Any:
            return x

        def compile(self, d_optimizer: Any, g_optimizer: Any, loss_fn: Any) -> None:
            super().compile()

    with pytest.raises(ProblemError) as caught:
        KerasModel(problem_of(Gan()), None, 2)
    said, _, reason = str(caught.value).partition(": TypeError: ")
    assert said == (
        "problem 'mine': its model has a compile of its own that doesn't take one optimizer, a loss and metrics, as the "
        "comparison of optimizers needs"
    )
    assert reason.endswith("Gan.compile() got an unexpected keyword argument 'optimizer'")
