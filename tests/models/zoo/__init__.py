"""Small Keras models of many kinds, each a Problem, as users of Keras write them."""

from __future__ import annotations

import importlib
import pkgutil

from descentlab.problems.base import Problem


def all_problems() -> dict[str, Problem]:
    """Every Problem that an uppercase name of this folder's modules holds, by its name; modules in alphabetical order.

    Raises:
        ValueError: two problems have the same name.
    """
    problems: dict[str, Problem] = {}
    for module_name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{module_name}")
        for constant, problem in vars(module).items():
            if not (constant.isupper() and isinstance(problem, Problem)):
                continue
            if problem.name in problems:
                raise ValueError(f"two problems are named '{problem.name}'; one is {module_name}.{constant}")
            problems[problem.name] = problem
    return problems
