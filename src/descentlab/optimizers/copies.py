"""What a copy of a Keras object by its config lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# What Keras keeps about variables, which are new in a copy.
KEPT_BY_KERAS = ("built", "_tracker", "_self_", "_trainable_variables", "_exclude_from_weight_decay_cache")


def lost_in_copy(original: Any, copy: Any) -> str:
    """The name of an attribute that a copy made by ``from_config`` lacks or has another value of; empty if there is none.

    A class that takes arguments and has no ``get_config`` of its own is copied with their defaults. Variables don't count.

    Args:
        original: a metric or an optimizer.
        copy: what its config makes of it.
    """
    of_copy = vars(copy)
    for name, value in vars(original).items():
        made_by_build = name not in of_copy and isinstance(value, list)
        if name.startswith(KEPT_BY_KERAS) or holds_variables(value) or made_by_build:
            continue
        if not same(value, of_copy.get(name, copy)):
            return name.lstrip("_")
    return ""


def holds_variables(value: Any) -> bool:
    """Whether a value is a Keras variable, or a list that has one."""
    import keras

    return isinstance(value, keras.Variable) or (isinstance(value, list | tuple) and any(map(holds_variables, value)))


def same(first: Any, second: Any) -> bool:
    """Whether two attributes have the same value; objects of one class that are no plain values count as the same."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, bool | int | float | complex | str | bytes | set | frozenset | type(None)):
        return type(first) is type(second) and bool(first == second)
    if isinstance(first, np.ndarray):
        return isinstance(second, np.ndarray) and np.array_equal(first, second)
    return type(first) is type(second)
