"""The trainer that a problem's way of training asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from descentlab.problems.base import Problem
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.keras_trainer import KERAS_MODES, KerasTrainer
from descentlab.training.engine.trainer import Trainer

AnyTrainer = Trainer | KerasTrainer


def make_trainer(
    problem: Problem,
    make_optimizer: Callable[[], Any],
    mode: str,
    by_example: bool = True,
    width: int = 1,
    batch_size: int | None = None,
) -> AnyTrainer:
    """A trainer with a model of its own.

    Args:
        problem: its models are built.
        make_optimizer: returns a new Keras optimizer.
        mode: ``xla``, ``patches``, ``graph``, ``keras`` or ``eager``.
        by_example: whether the compiled loop evaluates too; otherwise ``model.evaluate`` does.
        width: members that train side by side, in a compiled loop that evaluates.
        batch_size: examples of a batch in an evaluation by Keras; None for the problem's.
    """
    batch_size = batch_size or problem.batch_size
    if mode in KERAS_MODES:
        return KerasTrainer(problem, make_optimizer, batch_size, eager=mode == "eager")
    by_keras = None if by_example else KerasModel(problem, None, batch_size)
    return Trainer(CompiledModel(problem, mode, width, by_keras), make_optimizer)
