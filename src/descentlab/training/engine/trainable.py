"""Which models can be trained, their initial variables, and the loss as ``compile`` makes it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from descentlab.optimizers.error_line import one_line
from descentlab.problems.arrays import map_arrays
from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.problems.random_streams import stream_seed
from descentlab.training.engine.layers import every_layer


def with_built_models(problem: Problem, data: Data) -> Problem:
    """The same problem; its models are built, on a few examples where they don't say what their inputs are.

    A model without a ``call``, as in Keras' examples of GANs, is made of parts that are built.

    Raises:
        ProblemError: from ``build_model``, if what the reader's returns is no Keras model, can't be called on the data, has no
            ``call`` and lacks what it needs in its place, or has nothing to train.
    """
    import keras

    where = f"problem '{problem.name}'"

    @functools.wraps(problem.build_model)  # it stays the reader's code, which a run's digest covers
    def build_model() -> Any:
        model = problem.build_model()
        if not isinstance(model, keras.Model):
            raise ProblemError(f"{where}: build_model must return a keras.Model; received {type(model).__name__}")
        if not overrides(model, "call"):
            check_without_call(model, where)
            model.built = True  # its parts are all that there is to build
        elif not model.built:
            try:
                model(for_keras(data.rows(np.arange(min(2, len(data)))).x))
            except Exception as error:  # a reader's model may raise anything
                raise ProblemError(f"{where}: the model can't be called on the data: {one_line(error)}") from error
        if not model.trainable_variables:
            raise ProblemError(f"{where}: the model has no trainable variable")
        return model

    return replace(problem, build_model=build_model)


def check_without_call(model: Any, where: str) -> None:
    """Reject a model without a ``call`` that can't be trained and evaluated by its own steps alone.

    Raises:
        ProblemError: it lacks one of them, or a part of it has no variables yet.
    """
    import keras

    lacking = [step for step in ("train_step", "test_step") if not overrides(model, step)]
    if lacking:
        raise ProblemError(
            f"{where}: the model has no call. Without one, it needs a train_step and a test_step of its own; it has no "
            f"{' and no '.join(lacking)}"
        )
    unbuilt = [
        layer.name
        for layer in every_layer(model)
        if not layer.built and type(layer).build is not keras.layers.Layer.build  # others have nothing to build
    ]
    if unbuilt:
        raise ProblemError(
            f"{where}: the model has no call, so build_model must return it with all its parts built: begin each with "
            f"keras.Input. Not built: {', '.join(unbuilt)}"
        )


def for_keras(structure: Any) -> Any:
    """The same arrays as tensors, as ``fit`` gives them to a step, with every float of Keras' default type."""
    import keras
    import tensorflow as tf

    def convert(array: np.ndarray) -> Any:
        return tf.constant(array, keras.config.floatx() if array.dtype.kind == "f" else None)

    return map_arrays(convert, structure)


def overrides(model: Any, method: str) -> bool:
    """Whether a model has its own version of a method that ``fit`` and ``evaluate`` call, such as ``train_step``."""
    import keras

    return getattr(type(model), method) is not getattr(keras.Model, method)


def check_compilable(problem: Problem, model: Any) -> None:
    """Reject a model that the compiled loop would not train as ``fit`` does.

    Raises:
        ProblemError: names what the model does.
    """
    where = f"problem '{problem.name}'"
    for method in ("train_step", "compute_loss"):
        if overrides(model, method):
            raise ProblemError(f"{where}: the model has its own {method}, which only Keras' own step can follow")
    if model.dtype_policy.name == "mixed_float16":
        raise ProblemError(f"{where}: in float16 Keras scales the loss, which only its own step does")
    if not model.built:
        raise ProblemError(f"{where}: the model is not built; begin it with keras.Input")
    if len(getattr(model, "outputs", None) or [None]) != 1 or isinstance(problem.loss, dict | list | tuple):
        raise ProblemError(f"{where}: the compiled loop needs a model with one output")
    for tensor in getattr(model, "inputs", None) or []:
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


def weight_penalty(variables: Sequence[Any], values: Sequence[Any]) -> Any:
    """What the regularizers of variables with these values add to the loss."""
    import tensorflow as tf

    regularized = [
        (variable.regularizer, value)
        for variable, value in zip(variables, values, strict=True)
        if getattr(variable, "regularizer", None) is not None
    ]
    penalties = [tf.reduce_sum(regularizer(value)) for regularizer, value in regularized]
    return tf.add_n(penalties) if penalties else tf.constant(0.0)
