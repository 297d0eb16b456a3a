"""What a traced function keeps from one call to the next, which one training must not hand to another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from descentlab.problems.base import ProblemError


def check_accounted(concrete: Any) -> None:
    """Reject a traced function with a state of its own: it would be carried from one training into the next.

    Raises:
        ProblemError: the function reads or writes a variable, or draws random numbers that no variable of the model decides.
    """
    if names := unaccounted_state(concrete):
        raise ProblemError(f"an update has a state that is not among the model's variables: {', '.join(names)}")


def unaccounted_state(concrete: Any, known: Iterable[Any] = ()) -> list[str]:
    """What a traced function keeps from one call to the next, by name, except these variables of Keras."""
    ours = {id(variable.value) for variable in known}
    variables = sorted({variable.name for variable in concrete.variables if id(variable) not in ours})
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    # Random operations with a state take two seeds as attributes; those without one take them as an input.
    return [*variables, *sorted({node.op for node in nodes if "seed2" in node.attr})]
