"""The table of built-in problems.

A problem's module is imported only when the problem is requested, so that importing this one loads no Keras.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from descentlab.problems.base import Problem


@dataclass(frozen=True)
class Builtin:
    """Where a built-in problem is defined, and roughly what an epoch costs.

    ``epoch_seconds`` (about how many seconds of one core an epoch takes, evaluation included) only decides how many
    optimizers share a job.
    """

    module: str
    epoch_seconds: float


BUILTIN_PROBLEMS: Mapping[str, Builtin] = MappingProxyType(
    {
        "linear_regression": Builtin("descentlab.problems.linear_regression", 0.0003),
        "logistic_regression": Builtin("descentlab.problems.logistic_regression", 0.0015),
        "slides_mlp": Builtin("descentlab.problems.slides_mlp", 0.001),
        "mlp": Builtin("descentlab.problems.mlp", 0.003),
        "digits_cnn": Builtin("descentlab.problems.digits_cnn", 0.012),
        "slides_cnn": Builtin("descentlab.problems.slides_cnn", 4.0),
    }
)


def builtin_problem(name: str) -> Problem:
    """The built-in :class:`~descentlab.problems.base.Problem` of that name."""
    return importlib.import_module(BUILTIN_PROBLEMS[name].module).PROBLEM
