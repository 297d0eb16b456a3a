"""NumPy arrays in the dicts, lists and tuples in which Keras takes the inputs and targets of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def as_arrays(structure: Any) -> Any:
    """The same dict, list or tuple with NumPy arrays, whatever tables, tensors or lists of numbers it holds.

    Example:
        >>> as_arrays([1.0, 2.0])
        array([1., 2.])
        >>> as_arrays([np.zeros(2), np.ones(2)])
        [array([0., 0.]), array([1., 1.])]
    """
    if isinstance(structure, dict):
        return {name: as_arrays(part) for name, part in structure.items()}
    if isinstance(structure, list | tuple) and any(hasattr(part, "__array__") for part in structure if np.ndim(part)):
        return type(structure)(as_arrays(part) for part in structure)
    if structure is None or not (hasattr(structure, "__array__") or isinstance(structure, list | tuple)):
        return structure  # Data.check says what is wrong with anything else
    array = np.asarray(structure)
    return array.astype(str) if array.dtype.kind == "O" and all(isinstance(v, str) for v in array.flat) else array


def map_arrays(function: Callable[[np.ndarray], np.ndarray], structure: Any) -> Any:
    """The same dict, list or tuple with the function's result for each array; None stays None."""
    if isinstance(structure, dict):
        return {name: map_arrays(function, part) for name, part in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(map_arrays(function, part) for part in structure)
    return None if structure is None else function(structure)


def flat_arrays(structure: Any) -> list[Any]:
    """The arrays of a dict, in the order of its keys, of a list or tuple, or a single one; none of None."""
    if isinstance(structure, dict):
        return [array for name in sorted(structure) for array in flat_arrays(structure[name])]
    if isinstance(structure, list | tuple):
        return [array for part in structure for array in flat_arrays(part)]
    return [] if structure is None else [structure]
