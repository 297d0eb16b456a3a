"""One batch of a problem at its initial weights, with its gradient: what an optimizer's update is measured on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from descentlab.experiment.plan import TrainingPlan
from descentlab.measurements.training_gradient import TrainingGradient
from descentlab.optimizers.roles import PLAIN
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry
from descentlab.problems.random_streams import data_order
from descentlab.training.find_problem import planned_problem
from descentlab.training.problem_data import ProblemData

SEED = 0  # of initial weights, split and batches


@dataclass(frozen=True)
class Workload:
    """The first batch of a problem's training.

    Attributes:
        gradient: has the model.
        batch: inputs, targets and any weights, on the device.
        batch_size: number of its examples.
        gradients: one for each trainable variable, as ``gradient`` returns them.
        initial: values of the trainable variables.
    """

    gradient: TrainingGradient
    batch: tuple[Any, ...]
    batch_size: int
    gradients: list[Any]
    initial: list[np.ndarray]

    @classmethod
    def of(cls, problem: ProblemData) -> Workload:
        """The workload of a problem.

        Raises whatever a reader's model does when it is called, and what :class:`TrainingGradient` raises.
        """
        gradient = TrainingGradient(problem.trainable, problem.data, problem.initial(SEED))
        train = problem.split(SEED).train
        batch = gradient.batch(data_order(problem.problem.name, SEED, train, problem.batch_size, epochs=1)[0])
        initial = [np.asarray(weight).copy() for weight in gradient.weights]
        return cls(gradient, batch, problem.batch_size, gradient(*batch), initial)

    @property
    def weights(self) -> list[Any]:
        """The trainable variables."""
        return self.gradient.weights

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(value.size for value in self.initial)

    def restore_weights(self) -> None:
        """Give the trainable variables their initial values: some optimizers copy them into their state."""
        for weight, value in zip(self.weights, self.initial, strict=True):
            weight.assign(value)


Case = tuple[ProblemData, Sequence[OptimizerEntry]]  # a problem and the optimizers that are measured on it


def planned_cases(plan: TrainingPlan, device: str) -> Iterator[Case]:
    """Each problem of a plan with the optimizers that train it, and plain SGD, which the others are compared with.

    Args:
        plan: the experiment's plan.
        device: result of :func:`~descentlab.training.engine.device.configure_device`.
    """
    for problem in plan.config.problems:
        yield planned_problem(plan, problem.name, device), with_plain(plan.config.entries(problem))


def planned_entries(plan: TrainingPlan) -> list[OptimizerEntry]:
    """All optimizers of a plan, each once, and plain SGD."""
    return with_plain(entry for problem in plan.config.problems for entry in plan.config.entries(problem))


def with_plain(entries: Iterable[OptimizerEntry]) -> list[OptimizerEntry]:
    """Plain SGD, and each of these optimizers once."""
    return list(({PLAIN: OPTIMIZERS[PLAIN]} | {entry.name: entry for entry in entries}).values())
