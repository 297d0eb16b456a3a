"""Small Keras models of many kinds, each a Problem, as users of Keras write them."""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path

from descentlab.problems.base import Problem

MAKERS = ("small", "on_line")  # functions of the zoo that return a Problem; its name is their first argument


@functools.cache
def places() -> dict[str, tuple[str, str]]:
    """Module and constant of every problem by its name, from the sources: importing them would start TensorFlow.

    Raises:
        ValueError: two problems have the same name.
    """
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=constant)],
                    value=ast.Call(func=ast.Name(id=maker), args=[ast.Constant(value=name), *_]),
                ) if maker in MAKERS:
                    if name in found:
                        raise ValueError(f"two problems are named '{name}'; one is {path.stem}.{constant}")
                    found[name] = path.stem, constant
    return found


def problem(name: str) -> Problem:
    """The problem of a name."""
    module, constant = places()[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), constant)
