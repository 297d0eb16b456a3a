"""NumPy arrays in the dicts, lists and tuples in which Keras takes the inputs and targets of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from typing import Any

import numpy as np

# Whatever a batch is: a tuple of inputs and targets, with dicts in it or not.
JOIN_BATCHES = "keras.tree.map_structure(lambda *parts: np.concatenate(parts), *{batches})"


def as_arrays(structure: Any) -> Any:
    """The same dict, list or tuple with NumPy arrays, whatever tables, tensors or lists of numbers it holds.

    Raises:
        ValueError: a list has rows of different lengths.

    Example:
        >>> as_arrays([1.0, 2.0])
        array([1., 2.])
        >>> as_arrays([np.zeros(2), np.ones(2)])
        [array([0., 0.]), array([1., 1.])]
        >>> as_arrays(np.array([1, True], dtype=object)), as_arrays([b"one"])
        (array([1, 1]), array(['one'], dtype='<U3'))
    """
    if isinstance(structure, dict):
        return {name: as_arrays(part) for name, part in structure.items()}
    if isinstance(structure, list | tuple) and any(map(_is_array, structure)):
        return type(structure)(as_arrays(part) for part in structure)
    if structure is None or not (hasattr(structure, "__array__") or isinstance(structure, list | tuple)):
        return structure  # Data.check says what is wrong with anything else
    try:
        return _of_plain_type(np.asarray(structure))
    except ValueError as error:
        if not isinstance(structure, list | tuple):
            raise
        raise ValueError(
            "a list's rows have different lengths, which no array has: keras.utils.pad_sequences(rows) makes them equal"
        ) from error


def _is_array(part: Any) -> bool:
    """Whether a part of a list is an array of its own, rather than a row or a number."""
    return hasattr(part, "__array__") and len(getattr(part, "shape", ())) > 0


def _of_plain_type(array: np.ndarray) -> np.ndarray:
    """Text as text and numbers as numbers, where an array holds them as objects or bytes; anything else as it is."""
    if array.dtype.kind not in "OS":
        return array
    values = array.ravel().tolist()
    if values and all(isinstance(value, Real | np.bool_) for value in values):
        return np.array(values).reshape(array.shape)
    with contextlib.suppress(UnicodeDecodeError):
        if all(isinstance(value, str | bytes) for value in values):
            texts = [value.decode() if isinstance(value, bytes) else value for value in values]
            return np.array(texts, str).reshape(array.shape)
    return array


def fault_of(name: str, array: Any) -> str:
    """What is wrong with one of a problem's arrays, and what to do about it; empty if nothing is.

    Args:
        name: of the array in a message, such as ``x['age']``.
        array: what :func:`as_arrays` made of it.

    Example:
        >>> fault_of("y", np.array([1.0, np.nan]))
        'y must be finite; received NaN or infinity'
    """
    if not isinstance(array, np.ndarray):
        return (
            f"{name} must be an array, or a table, dense tensor or list that becomes one; received "
            f"{type(array).__name__}{_how_to_convert(array)}"
        )
    if array.ndim == 0:
        return f"{name} must have a row for each example; received one value, {array}"
    if array.dtype.kind == "O":
        import pandas as pd  # not above: whatever reads a config imports this module

        values = ", ".join(sorted({type(value).__name__ for value in array.flat}))
        if pd.isna(array).any():
            advice = ". Fill in what is missing"
        else:
            advice = ". A table whose columns differ in type is an input for each column: dict(table)" * (
                array.ndim > 1
            )
        return f"{name} must be numbers or text; received {values}{advice}"
    if array.dtype.kind not in "fiubU":
        return f"{name} must be numbers or text; received dtype {array.dtype}"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return f"{name} must be finite; received NaN or infinity"
    return ""


def _how_to_convert(value: Any) -> str:
    """How to make an array of what is none: the rest of a sentence, empty where nothing is known."""
    import keras

    for method in ("toarray", "to_tensor"):  # sparse matrices of SciPy, ragged tensors
        if hasattr(value, method):
            return f". Give its .{method}()"
    if keras.ops.is_tensor(value):
        return ". Give it dense: tf.sparse.to_dense"
    if hasattr(value, "as_numpy_iterator"):
        batches = "dataset.as_numpy_iterator()"
    elif isinstance(value, keras.utils.PyDataset):
        batches = "(dataset[i] for i in range(len(dataset)))"
    elif isinstance(value, Iterable) and not isinstance(value, str | set | range):
        batches = "batches"
    else:
        return ""
    return (
        f", whose examples can't be split by seed. Its batches, in an order that is the same at every call, become arrays by "
        f"{JOIN_BATCHES.format(batches=batches)}"
    )


def map_arrays(function: Callable[[np.ndarray], np.ndarray], structure: Any) -> Any:
    """The same dict, list or tuple with the function's result for each array; None stays None."""
    if isinstance(structure, dict):
        return {name: map_arrays(function, part) for name, part in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(map_arrays(function, part) for part in structure)
    return None if structure is None else function(structure)


def flat_arrays(structure: Any) -> list[Any]:
    """The arrays of a dict, in the order of its keys, of a list or tuple, or a single one; none of None."""
    return [array for _, array in named_arrays("", structure)]


def named_arrays(name: str, structure: Any) -> Iterator[tuple[str, Any]]:
    """The same arrays in the same order as :func:`flat_arrays`, each with its name.

    Example:
        >>> [name for name, _ in named_arrays("x", {"b": np.ones(2), "a": [np.zeros(2), np.ones(2)]})]
        ["x['a'][0]", "x['a'][1]", "x['b']"]
    """
    if isinstance(structure, dict):
        for key in sorted(structure):
            yield from named_arrays(f"{name}[{key!r}]", structure[key])
    elif isinstance(structure, list | tuple):
        for place, part in enumerate(structure):
            yield from named_arrays(f"{name}[{place}]", part)
    elif structure is not None:
        yield name, structure
