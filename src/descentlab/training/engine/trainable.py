"""Which models can be trained, their initial variables, and the loss as ``compile`` makes it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from descentlab.problems.base import Problem, ProblemError
from descentlab.problems.random_streams import stream_seed


def check_trainable(problem: Problem, model: Any) -> None:
    """Reject a model that the compiled loop would not train as ``fit`` does.

    Raises:
        ProblemError: names what the model does, and what can be trained.
    """
    import keras

    where = f"problem '{problem.name}'"
    if not isinstance(model, keras.Model):
        raise ProblemError(f"{where}: build_model must return a keras.Model; received {type(model).__name__}")
    for method in ("train_step", "compute_loss"):
        if getattr(type(model), method) is not getattr(keras.Model, method):
            raise ProblemError(f"{where}: a model with its own {method} can't be trained; give its loss to the Problem")
    if not model.built or not getattr(model, "outputs", None):
        raise ProblemError(
            f"{where}: the model must be a built Sequential or functional one; begin it with keras.Input"
        )
    if len(model.outputs) != 1:
        raise ProblemError(f"{where}: a model must have one output; received {len(model.outputs)}")
    if not model.trainable_variables:
        raise ProblemError(f"{where}: the model has no trainable variable")
    for tensor in model.inputs:
        if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False) or tensor.dtype == "string":
            raise ProblemError(f"{where}: inputs must be dense arrays of numbers; received {tensor}")


def initial_variables(problem: Problem, seed: int) -> list[np.ndarray]:
    """Every variable of a new model: weights from the stream ``weights``, random layers' state from ``dropout``."""
    import keras

    keras.utils.set_random_seed(stream_seed(problem.name, seed, "weights"))
    model = problem.build_model()
    values = []
    for number, variable in enumerate(model.variables):
        value = np.asarray(variable)
        if variable.name == "seed_generator_state":
            value = np.array([(stream_seed(problem.name, seed, "dropout") + number) % 2**31, 0], dtype=value.dtype)
        values.append(value)
    return values


def compile_loss(problem: Problem, model: Any) -> None:
    """Give a model the problem's loss, so that its ``compute_loss`` is the one that ``fit`` differentiates."""
    model.compile(optimizer=None, loss=problem.loss, jit_compile=False)


def count_parameters(model: Any) -> int:
    """Trainable parameters of a model."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
