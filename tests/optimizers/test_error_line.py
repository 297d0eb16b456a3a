"""Errors of readers' code on one line: what happened and where, without what Keras and TensorFlow put around it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descentlab.optimizers.error_line import MOST_LETTERS, one_line

OWN_MODULE = """
import keras
import tensorflow as tf


class Own(keras.layers.Layer):
    def call(self, x):
        return x - tf.ones((1, 7))


class Lookup(keras.layers.Layer):
    def call(self, x):
        raise KeyError("no such age")


@tf.function
def grow(x):
    return tf.while_loop(lambda x: True, lambda x: [tf.concat([x, x], 0)], [x])


@tf.function(input_signature=[tf.TensorSpec([None, 5])])
def reshape(x):
    return tf.reshape(x, (-1, 7))


@tf.function(jit_compile=True)
def as_text(x):
    return tf.as_string(x)


def missing():
    return {}["age"]


def functional():
    inputs = keras.Input((5,))
    return keras.Model(inputs, Own()(inputs))


def out_of_range(x):
    layers = keras.layers
    model = keras.Sequential([keras.Input((5,)), layers.Embedding(3, 4), layers.Flatten(), layers.Dense(5)])
    model.compile("sgd", "mse")
    model.fit(x + 9, x, verbose=0)
"""


def caught(function: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(Exception) as raised:
        function(*arguments)
    return one_line(raised.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("too much", "ValueError: too much"),
        ("  first\n\n  second.\n", "ValueError: first second"),
        ("", "ValueError"),
        ("in user code: none", "ValueError: in user code: none"),
        ("\x1b[1mred\x1b[0m", "ValueError: red"),
        ("x" * (MOST_LETTERS + 1), f"ValueError: {'x' * MOST_LETTERS}…"),
        (
            'in user code:\n\n    File "/a/own.py", line 3\n        x\n\n    ValueError: z\n',
            "ValueError: z (line 3 of own.py)",
        ),
    ],
)
def test_one_short_line(text: str, line: str) -> None:
    assert one_line(ValueError(text)) == line


def test_the_text_of_a_key_error_is_as_python_writes_it() -> None:
    assert one_line(KeyError("age")) == "KeyError: 'age'"
    assert one_line(KeyError()) == "KeyError"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, device: str) -> Any:
    """A reader's module, which is no installed one."""
    folder: Path = tmp_path_factory.mktemp("readers")
    (folder / "own_module.py").write_text(OWN_MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return importlib.import_module("own_module")


def line_of(code: str) -> str:
    """Where the reader's module has this code, as an error's line says it."""
    return f"line {1 + next(n for n, text in enumerate(OWN_MODULE.splitlines()) if code in text)} of own_module.py"


def test_what_was_raised_and_the_readers_own_line(own: Any) -> None:
    assert caught(own.missing) == f"KeyError: 'age' ({line_of('return {}')})"


@pytest.mark.parametrize(
    ("case", "kind", "happened", "place"),
    [
        ("eager", "InvalidArgumentError", "Incompatible shapes: [8,5] vs. [1,7]", "in Own.call(), {x - tf.ones}"),
        ("lookup", "KeyError", "no such age", "in Lookup.call(), {raise KeyError}"),
        (
            "functional",
            "ValueError",
            "Dimensions must be equal, but are 5 and 7 for 'sub",
            "in Own.call(), {x - tf.ones}",
        ),
        ("grow", "ValueError", "Input tensor `x:0` enters the loop with shape (8, 5)", "{tf.while_loop}"),
        ("reshape", "InvalidArgumentError", "Input to reshape is a tensor with 40 values", "at Reshape, {tf.reshape}"),
        ("as_text", "InvalidArgumentError", "Detected unsupported operations when trying", "{tf.as_string}"),
        ("out_of_range", "InvalidArgumentError", "indices[0,0] = 9 is not in [0, 3)", "GatherV2, {model.fit}"),
    ],
)
def test_what_keras_and_tensorflow_add_is_left_out(own: Any, case: str, kind: str, happened: str, place: str) -> None:
    x = np.zeros((8, 5), np.float32)
    layers = {"eager": "Own", "lookup": "Lookup"}
    function = getattr(own, layers[case])() if case in layers else getattr(own, case)
    line = caught(function, *[] if case == "functional" else [x])
    assert line.startswith(f"{kind}: {happened}")
    before, code = place.rstrip("}").split("{")
    assert line.endswith(f"{before}{line_of(code)})")
    for noise in ("\n", "\x1b", "Arguments received", "Exception encountered", "{{", "in user code", "File", "[Op:"):
        assert noise not in line
    assert len(line) < 2 * MOST_LETTERS
