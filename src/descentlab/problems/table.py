"""The table of built-in problems.

A problem's module is imported only when the problem is requested, so that importing this one loads no Keras.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from descentlab.problems.base import Problem

# By the name of its module in ``builtin``: about how many seconds of one core an epoch takes, evaluation included. It only
# decides how many optimizers share a job.
BUILTIN_PROBLEMS: Mapping[str, float] = MappingProxyType(
    {
        "linear_regression": 0.0003,
        "logistic_regression": 0.0015,
        "slides_mlp": 0.001,
        "mlp": 0.003,
        "digits_cnn": 0.012,
        "slides_cnn": 2.0,
        "breast_cancer": 0.0007,
        "doctor_visits": 0.005,
        "heavy_tail": 0.02,
        "graph": 0.008,
        "mnist1d_conv": 0.07,
        "burgers": 0.0025,
        "word_vectors": 0.04,
        "char_gru": 0.85,
        "which_module": 0.3,
        "word_transformer": 5.0,
        "resnet": 1.5,
        "vit": 0.4,
        "noisy_labels": 0.05,
        "vae": 0.2,
        "denoise": 0.12,
    }
)


def builtin_module(name: str) -> str:
    """The module that defines a built-in problem."""
    return f"descentlab.problems.builtin.{name}"


def builtin_problem(name: str) -> Problem:
    """The built-in :class:`~descentlab.problems.base.Problem` of that name."""
    return importlib.import_module(builtin_module(name)).PROBLEM
