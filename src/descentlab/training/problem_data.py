"""A problem as a job needs it: data, sealed and open, splits and initial weights by seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from descentlab.problems.base import Data, Problem, ProblemError, Split, split_data
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.modes import choose_mode, choose_width
from descentlab.training.engine.trainable import initial_variables


@dataclass(eq=False)
class ProblemData:
    """A problem with its data, splits and initial weights, each made when it is first needed.

    Attributes:
        name: the problem's name in the config.
        problem: what is trained.
        source: built-in name or import path of the problem.
        data_path: file of its data, for problems that read one.
        data_hash: sha256 of the data that were planned with.
        batch_size: examples per update of the mini-batch optimizers.
        train_limit: most training examples; None for all.
        evaluation_limit: most examples of a split that an evaluation during a run takes; None for all.
        asked_mode: how epochs are to be compiled; ``auto`` chooses by model and device.
        device: what :func:`~descentlab.training.engine.device.configure_device` returned.
    """

    name: str
    problem: Problem
    source: str
    data_path: str | None
    data_hash: str
    batch_size: int
    train_limit: int | None
    evaluation_limit: int | None
    asked_mode: str
    device: str
    _splits: dict[int, Split] = field(default_factory=dict, repr=False)
    _initial: dict[int, list[np.ndarray]] = field(default_factory=dict, repr=False)
    _optima: dict[int, float] = field(default_factory=dict, repr=False)

    @cached_property
    def _model(self) -> Any:
        """A model to look at, never trained."""
        return self.problem.build_model()

    @cached_property
    def mode(self) -> str:
        """How epochs are compiled on this device."""
        if self.asked_mode != "auto":
            return self.asked_mode
        return choose_mode(self._model, self.device, self.batch_size)

    @cached_property
    def width(self) -> int:
        """How many members train side by side."""
        return choose_width(self._model, self.mode)

    @cached_property
    def compiled(self) -> CompiledModel:
        """The model, which all optimizers share; no optimizer's training changes its variables."""
        return CompiledModel(self.problem, self.mode, self.width)

    @cached_property
    def data(self) -> Data:
        """All examples, test targets included: only final runs are given them.

        Raises:
            ProblemError: the data are not those that were planned with.
        """
        data = self.problem.load_data(self.data_path)
        if data.hash() != self.data_hash:
            raise ProblemError(
                f"problem '{self.name}': the data must be those of plan.json (sha256 {self.data_hash[:12]}…); received "
                f"{data.hash()[:12]}…. Plan again"
            )
        return data

    @cached_property
    def sealed_data(self) -> Data:
        """All examples with the test targets zeroed: what tuning runs are given."""
        return self.data.sealed(self.split(0).test)

    def split(self, seed: int) -> Split:
        """The split of a seed."""
        if seed not in self._splits:
            self._splits[seed] = split_data(self.problem, self.data, seed, self.batch_size, self.train_limit)
        return self._splits[seed]

    def initial(self, seed: int) -> list[np.ndarray]:
        """The initial variables of a seed."""
        if seed not in self._initial:
            self._initial[seed] = initial_variables(self.problem, seed)
        return self._initial[seed]

    def optimum(self, seed: int) -> float:
        """Least training loss plus penalty on a seed's training split; NaN where it is not known."""
        if self.problem.optimum is None:
            return math.nan
        if seed not in self._optima:
            train = self.split(seed).train
            self._optima[seed] = self.problem.optimum(self.data.inputs()[0][train], self.data.y[train])
        return self._optima[seed]
