"""Models that the engine would not train as ``fit`` does are refused by name, before anything is compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data, Metric, Problem, ProblemError
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.trainable import check_trainable
from descentlab.training.engine.trainer import Trainer

pytestmark = pytest.mark.usefixtures("device")


def refusal(model: Any) -> str:
    """Why a model isn't trained; also by a Trainer, before it compiles anything."""
    metric = Metric("error", False, lambda y, predicted: y - predicted)
    problem = Problem("mine", "", lambda: model, lambda path: Data(np.ones(1), np.ones(1)), "mse", metric)
    with pytest.raises(ProblemError) as caught:
        check_trainable(problem, model)
    with pytest.raises(ProblemError) as again:
        Trainer(CompiledModel(problem, "graph"), lambda: build(OPTIMIZERS["adam"], "default", 0.01))
    assert str(again.value) == str(caught.value)
    return str(caught.value)


def test_refuses_what_is_no_model() -> None:
    import keras

    assert refusal(keras.layers.Dense(1)) == ("problem 'mine': build_model must return a keras.Model; received Dense")


def test_refuses_two_outputs() -> None:
    import keras

    inputs = keras.Input((2,))
    model = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])
    assert refusal(model) == "problem 'mine': a model must have one output; received 2"


@pytest.mark.parametrize("method", ["train_step", "compute_loss"])
def test_refuses_a_training_of_the_models_own(method: str) -> None:
    import keras

    own = type("Own", (keras.Model,), {method: lambda self, *arguments, **named: None})
    inputs = keras.Input((2,))
    assert refusal(own(inputs, keras.layers.Dense(1)(inputs))) == (
        f"problem 'mine': a model with its own {method} can't be trained; give its loss to the Problem"
    )


def test_refuses_models_without_known_inputs() -> None:
    import keras

    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    subclassed = Subclassed()
    subclassed(np.zeros((1, 2), np.float32))
    assert subclassed.built
    for model in (keras.Sequential([keras.layers.Dense(1)]), Subclassed(), subclassed):
        assert refusal(model) == (
            "problem 'mine': the model must be a built Sequential or functional one; begin it with keras.Input"
        )


def test_refuses_a_model_without_weights_and_one_of_text() -> None:
    import keras

    assert refusal(keras.Sequential([keras.Input((2,)), keras.layers.Activation("relu")])) == (
        "problem 'mine': the model has no trainable variable"
    )
    text, numbers = keras.Input((), dtype="string", name="text"), keras.Input((2,))
    model = keras.Model([text, numbers], keras.layers.Dense(1)(numbers))
    assert refusal(model) == (
        "problem 'mine': inputs must be dense arrays of numbers; received <KerasTensor shape=(None,), dtype=string, "
        "sparse=False, ragged=False, name=text>"
    )
