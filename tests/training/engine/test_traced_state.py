"""What a traced function keeps: variables, TensorFlow's random state, and whatever Python keeps for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from descentlab.problems.base import ProblemError
from descentlab.training.engine.traced_state import (
    calls_of_python,
    check_accounted,
    python_random_state,
    unaccounted_state,
)

pytestmark = pytest.mark.usefixtures("device")


def traced(function: Callable[[Any], Any]) -> Any:
    """The function inside of another, in a loop, as an update is."""
    inner = tf.function(function, autograph=False)

    def loop(x: Any) -> Any:
        return tf.while_loop(lambda turn, x: turn < 3, lambda turn, x: (turn + 1, inner(x)), (tf.constant(0), x))[1]

    return tf.function(loop, autograph=False).get_concrete_function(tf.ones(2))


@pytest.mark.parametrize(
    ("function", "operations"),
    [
        (lambda x: tf.ensure_shape(tf.numpy_function(np.sign, [x], tf.float32), 2), ["PyFunc"]),
        (
            lambda x: tf.ensure_shape(tf.numpy_function(np.sign, [x], tf.float32, stateful=False), 2),
            ["PyFuncStateless"],
        ),
        (lambda x: tf.ensure_shape(tf.py_function(tf.sign, [x], tf.float32), 2), ["EagerPyFunc"]),
        (tf.sign, []),
    ],
)
def test_python_that_a_graph_runs_is_found(function: Callable[[Any], Any], operations: list[str]) -> None:
    assert calls_of_python(traced(function)) == operations
    assert unaccounted_state(traced(function)) == []


def test_a_variable_is_accounted_for_where_it_is_known() -> None:
    count = keras.Variable([0.0, 0.0], name="count")
    concrete = traced(lambda x: x + count)
    check_accounted(concrete, [count])
    with pytest.raises(ProblemError, match="state that is not among the model's variables: .*count"):
        check_accounted(concrete)


def test_random_numbers_without_a_variable_are_found() -> None:
    names = unaccounted_state(traced(lambda x: x + tf.random.normal((2,))))
    assert names == ["RandomStandardNormal"]


def test_drawing_in_python_is_noticed_also_while_a_function_is_traced() -> None:
    before = python_random_state()
    traced(tf.sign)
    np.random.default_rng(0).normal()  # a generator of its own
    assert python_random_state() == before
    for draw in (random.random, np.random.normal, lambda: traced(lambda x: x * np.random.normal())):
        before = python_random_state()
        draw()
        assert python_random_state() != before
