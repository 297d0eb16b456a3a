"""A problem as a job needs it: data with and without test targets, splits and initial weights by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from descentlab.optimizers.build import NOTHING, build
from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.problems.splits import Split, split_data
from descentlab.training.engine.any_trainer import AnyTrainer
from descentlab.training.engine.batch_statistics import normalization_layers
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.keras_trainer import KERAS_MODES, KerasTrainer
from descentlab.training.engine.modes import choose_mode, choose_width
from descentlab.training.engine.trainable import initial_variables, overrides, with_built_models
from descentlab.training.engine.trainer import Trainer

if TYPE_CHECKING:
    from descentlab.optimizers.table import OptimizerEntry


@dataclass(eq=False)
class ProblemData:
    """A problem with its data, splits and initial weights, each computed when it is first needed.

    Attributes:
        name: the problem's name in the config.
        problem: the problem itself.
        source: built-in name or import path of the problem.
        data_path: file of its data, for problems that read one.
        data_hash: sha256 of the data at planning time.
        batch_size: examples per update of the mini-batch optimizers.
        train_limit: maximum number of training examples; None for all.
        evaluation_limit: maximum number of examples per split in an evaluation during a run; None for all.
        requested_mode: how runs are to be trained; ``auto`` chooses by model and device.
        by_example: whether the compiled loop evaluates too, rather than ``model.evaluate``.
        requested_width: members that train side by side; None chooses by model and mode.
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
    requested_mode: str
    by_example: bool
    requested_width: int | None
    device: str
    _splits: dict[int, Split] = field(default_factory=dict, repr=False)
    _initial: dict[int, list[np.ndarray]] = field(default_factory=dict, repr=False)
    _optima: dict[int, float] = field(default_factory=dict, repr=False)

    @cached_property
    def _model(self) -> Any:
        """A model for inspection, never trained."""
        model = self.problem.build_model()
        return model if model.built else self.trainable.build_model()  # only such a one needs the data

    @cached_property
    def trainable(self) -> Problem:
        """The problem with models that are built."""
        return with_built_models(self.problem, self.data)

    @cached_property
    def mode(self) -> str:
        """How epochs are compiled on this device."""
        if self.requested_mode != "auto":
            return self.requested_mode
        return choose_mode(self._model, self.device, self.batch_size)

    @cached_property
    def width(self) -> int:
        """How many members train side by side, with an optimizer that allows it."""
        if self.requested_width is not None:
            return self.requested_width
        return choose_width(self._model, self.mode) if self.by_example else 1

    @cached_property
    def normalizes(self) -> bool:
        """Whether the model keeps averages of BatchNormalization, and has a ``call`` by which they can be measured anew."""
        return overrides(self._model, "call") and bool(normalization_layers(self._model))

    @cached_property
    def judge(self) -> KerasModel:
        """The model as Keras evaluates it."""
        return KerasModel(self.trainable, None, self.batch_size, eager=self.mode == "eager")

    @cached_property
    def compiled(self) -> CompiledModel:
        """The compiled model, shared by all optimizers; training never changes its variables."""
        return CompiledModel(self.trainable, self.mode, self.width, None if self.by_example else self.judge)

    @cached_property
    def compiled_alone(self) -> CompiledModel:
        """The same for one member, for optimizers that can't be computed side by side."""
        return CompiledModel(self.trainable, self.mode, 1, None if self.by_example else self.judge)

    def trainer(
        self,
        entry: OptimizerEntry,
        arm: str,
        learning_rate: float | None,
        extended: Mapping[str, Any] = NOTHING,
        by_keras: bool = False,
        alone: bool = False,
    ) -> AnyTrainer:
        """A trainer for runs with these hyperparameters, whatever their learning rate, schedule and seed.

        Args:
            entry, arm, learning_rate, extended: as :func:`~descentlab.optimizers.build.build` takes them.
            by_keras: train by Keras' own step, whatever the problem's mode.
            alone: train one run at a time.
        """
        make_optimizer = partial(build, entry, arm, learning_rate, extended)
        has_rate = learning_rate is not None
        if by_keras or self.mode in KERAS_MODES:
            eager = self.mode == "eager"
            return KerasTrainer(self.trainable, make_optimizer, self.batch_size, has_rate, eager, self.by_example)
        return Trainer(self.compiled_alone if alone else self.compiled, make_optimizer, has_rate)

    @cached_property
    def data(self) -> Data:
        """All examples including test targets; only final runs get these.

        Raises:
            ProblemError: the data have changed since planning.
        """
        data = self.problem.load_data(self.data_path)
        if data.hash() != self.data_hash:
            raise ProblemError(
                f"problem '{self.name}': the data have changed since plan.json was written (sha256 {self.data_hash[:12]}… then, "
                f"{data.hash()[:12]}… now). Restore the data, or plan again; where nothing has changed them, load_data "
                "returns other data at every call: seed what it draws, and shuffle nothing"
            )
        return data

    @cached_property
    def sealed_data(self) -> Data:
        """All examples with those of the test split erased, for tuning runs."""
        return self.data.sealed(self.split(0).test)

    def split(self, seed: int) -> Split:
        """The split of a seed."""
        if seed not in self._splits:
            self._splits[seed] = split_data(self.problem, self.data, seed, self.batch_size, self.train_limit)
        return self._splits[seed]

    def initial(self, seed: int) -> list[np.ndarray]:
        """The initial variables of a seed."""
        if seed not in self._initial:
            self._initial[seed] = initial_variables(self.trainable, seed)
        return self._initial[seed]

    def optimum(self, seed: int) -> float:
        """Lowest possible training loss plus penalty on a seed's training split; NaN if it is not known."""
        if self.problem.optimum is None:
            return math.nan
        if seed not in self._optima:
            train = self.split(seed).train
            self._optima[seed] = self.problem.optimum(self.data.inputs()[0][train], self.data.y[train])
        return self._optima[seed]
