"""What a traced function keeps from one call to the next, which one training must not hand to another."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np

from descentlab.problems.base import ProblemError

CALLS_OF_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")  # numpy_function and py_function


def check_accounted(concrete: Any, known: Iterable[Any] = ()) -> None:
    """Reject a traced function with a state of its own: it would be carried from one training into the next.

    Args:
        concrete: the function.
        known: variables of Keras that are assigned anew for each training.

    Raises:
        ProblemError: the function reads or writes another variable, or draws random numbers that no variable decides.
    """
    if names := unaccounted_state(concrete, known):
        raise ProblemError(f"there is a state that is not among the model's variables: {', '.join(names)}")


def unaccounted_state(concrete: Any, known: Iterable[Any] = ()) -> list[str]:
    """What a traced function keeps from one call to the next, by name, except these variables of Keras."""
    ours = {id(variable.value) for variable in known}
    variables = sorted({variable.name for variable in concrete.variables if id(variable) not in ours})
    # Random operations with a state take two seeds as attributes; those without one take them as an input.
    return [*variables, *sorted({node.op for node in nodes_of(concrete) if "seed2" in node.attr})]


def calls_of_python(concrete: Any) -> list[str]:
    """The operations of a traced function that run Python, which may keep anything, such as NumPy's random state."""
    return sorted({node.op for node in nodes_of(concrete)} & set(CALLS_OF_PYTHON))


def nodes_of(concrete: Any) -> list[Any]:
    """All operations of a traced function, those of the functions that it calls too."""
    graph = concrete.graph.as_graph_def()
    return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]


def python_random_state() -> tuple[Any, ...]:
    """What the next random numbers of Python and NumPy depend on; drawing one changes it, also while a function is traced."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), name, np.asarray(keys).tobytes(), rest
