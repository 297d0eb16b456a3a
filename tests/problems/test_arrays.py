"""What readers give as data: it becomes arrays, or one line says how to make some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf

from descentlab.problems.arrays import as_arrays, fault_of

pytestmark = pytest.mark.usefixtures("device")

# Tensors are made by functions: as arguments they would start TensorFlow before it is set up.
X, Y = np.arange(12, dtype=np.float32).reshape(6, 2), np.array([0, 1, 0, 1, 1, 0])
TABLE = pd.DataFrame({"age": X[:, 0], "sex": list("abbaab"), "smokes": Y == 1})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (X.tolist(), X.astype(np.float64)),
        (lambda: tf.constant(X), X),
        (lambda: tf.Variable(X), X),
        (TABLE[["age"]], X[:, :1]),
        (TABLE[["age", "smokes"]], np.stack([X[:, 0], Y], axis=1).astype(np.float64)),
        (pd.Series(Y, dtype="Int64"), Y),
        (pd.Series(Y, dtype=object), Y),
        (TABLE["sex"].astype("category"), np.array(list("abbaab"))),
        (lambda: tf.constant(["né", "e"]), np.array(["né", "e"])),
        (np.array([b"one", b"two"]), np.array(["one", "two"])),
    ],
)
def test_becomes_an_array(given: Any, expected: np.ndarray) -> None:
    array = as_arrays(given() if callable(given) else given)
    assert (type(array), array.dtype) == (np.ndarray, expected.dtype)
    np.testing.assert_array_equal(array, expected)
    assert fault_of("x", array) == ""


def test_a_table_with_columns_of_several_types_is_a_dict() -> None:
    assert fault_of("x", as_arrays(TABLE)) == (
        "x must be numbers or text; received bool, float, str. A table whose columns differ in type is an input for each "
        "column: dict(table)"
    )
    columns = as_arrays(dict(TABLE))
    assert {name: column.dtype.kind for name, column in columns.items()} == {"age": "f", "sex": "U", "smokes": "b"}
    assert all(fault_of("x", column) == "" for column in columns.values())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (pd.Series(["a", None]), ". Fill in what is missing"),
        (pd.DataFrame({"a": ["a", pd.NA], "b": [1, 2]}), ". Fill in what is missing"),
        (pd.Series(pd.to_datetime(["2020-01-01"])), "x must be numbers or text; received dtype datetime64"),
        (np.array([1j]), "x must be numbers or text; received dtype complex128"),
        (np.float32(1), "x must have a row for each example; received one value, 1.0"),
        (lambda: tf.ragged.constant([[1], [2, 3]]), "received RaggedTensor. Give its .to_tensor()"),
        (lambda: tf.sparse.from_dense(X), "received SparseTensor. Give it dense: tf.sparse.to_dense"),
        (scipy.sparse.csr_matrix(X), "received csr_matrix. Give its .toarray()"),
        ("data.csv", "received str"),
    ],
)
def test_what_is_no_array_of_numbers_or_text_is_refused(given: Any, said: str) -> None:
    assert said in fault_of("x", as_arrays(given() if callable(given) else given))


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="pad_sequences"):
        as_arrays([[1, 2], [3]])


class Batches(keras.utils.PyDataset):
    """Inputs by name and targets, in two batches."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rows = slice(4 * place, 4 * place + 4)
        return {"x": X[rows]}, Y[rows]


def generated() -> Iterator[Any]:
    yield from (Batches()[place] for place in range(2))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("dataset", lambda: tf.data.Dataset.from_tensor_slices(({"x": X}, Y)).batch(4)),
        ("dataset", Batches),
        ("batches", generated),
    ],
)
def test_batches_become_arrays_by_the_line_that_refuses_them(name: str, make: Callable[[], Any]) -> None:
    """The line is run as it is written."""
    fault = fault_of("x", as_arrays(make()))
    assert "can't be split by seed" in fault
    line = fault[fault.index("keras.tree") :]
    inputs, targets = eval(line, {"keras": keras, "np": np, name: make()})
    np.testing.assert_array_equal(inputs["x"], X)
    np.testing.assert_array_equal(targets, Y)
