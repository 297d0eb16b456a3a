"""A problem as a job needs it: data, sealed and open, splits and initial weights by seed."""

from __future__ import annotations

import inspect
import math
from functools import cached_property
from typing import Any

import numpy as np

from descentlab.experiment.config import ConfigError, parse_config
from descentlab.experiment.entries import ProblemConfig
from descentlab.optimizers.import_path import OptimizerError, import_object
from descentlab.problems import BUILTIN_PROBLEMS, builtin_problem
from descentlab.problems.base import Data, ProblemError, Split, split_data
from descentlab.training.cache import source_digest
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.modes import choose_mode, choose_width
from descentlab.training.engine.trainable import initial_variables


def find_problem(config: ProblemConfig) -> Any:
    """The :class:`~descentlab.problems.base.Problem` that a config names.

    Raises:
        ConfigError: the import path doesn't import, or names something else.
    """
    from descentlab.problems.base import Problem

    if config.problem in BUILTIN_PROBLEMS:
        return builtin_problem(config.problem)
    try:
        found = import_object(config.problem, f"problem '{config.name}'")
    except OptimizerError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(found, Problem):
        raise ConfigError(
            f"problem '{config.name}': an import path must name a descentlab.problems.base.Problem; "
            f"'{config.problem}' is a {type(found).__name__}"
        )
    return found


class ProblemData:
    """A problem with its data, splits and initial weights, each made when it is first needed.

    Args:
        plan: the contents of plan.json.
        name: the problem's name in the config.
        device: what :func:`~descentlab.training.engine.trainer.configure_device` returned.
    """

    def __init__(self, plan: dict[str, Any], name: str, device: str) -> None:
        self.config = parse_config(plan["config"], "plan").problem(name)
        self.about = plan["problems"][name]
        self.problem = find_problem(self.config)
        self.device = device
        self._splits: dict[int, Split] = {}
        self._initial: dict[int, list[np.ndarray]] = {}
        self._optima: dict[int, float] = {}

    @cached_property
    def _model(self) -> Any:
        """A model to look at, never trained."""
        return self.problem.build_model()

    @cached_property
    def mode(self) -> str:
        """How epochs are compiled on this device."""
        if self.config.mode != "auto":
            return self.config.mode
        return choose_mode(self._model, self.device, self.about["batch_size"])

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
        data = self.problem.load_data(self.config.data)
        if data.hash() != self.about["data_hash"]:
            raise ProblemError(
                f"problem '{self.config.name}': the data must be those of plan.json (sha256 "
                f"{self.about['data_hash'][:12]}…); received {data.hash()[:12]}…. Plan again"
            )
        return data

    @cached_property
    def sealed_data(self) -> Data:
        """All examples with the test targets zeroed: what tuning runs are given."""
        return self.data.sealed(self.split(0).test)

    def split(self, seed: int) -> Split:
        """The split of a seed."""
        if seed not in self._splits:
            batch_size, limit = self.about["batch_size"], self.config.train_examples
            self._splits[seed] = split_data(self.problem, self.data, seed, batch_size, limit)
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

    @cached_property
    def source(self) -> str:
        """Digest of the modules that define the problem: the reader's own file, and ours that it uses."""
        problem = self.problem
        parts = (problem.build_model, problem.load_data, problem.loss, problem.metric.per_example, problem.optimum)
        modules = {inspect.getmodule(part) for part in parts}
        names = {module.__name__ for module in modules if module is not None}
        # The Problem may be put together elsewhere than its parts are defined.
        where = self.config.problem.partition(":")[0]
        names.add(BUILTIN_PROBLEMS[where].module if where in BUILTIN_PROBLEMS else where)
        return source_digest(name for name in names if not name.startswith("keras"))
