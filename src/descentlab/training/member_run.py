"""Runs that train side by side: the inputs of each and its results.

This module decides a run's numbers: a run's digest covers its code and everything it imports
(:mod:`descentlab.training.run_digest`). So it must not import the config, the plan, the log or the cache.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.run_spec import RunSpec
from descentlab.optimizers.schedules import (
    PLATEAU,
    PLATEAU_FACTOR,
    StalledLoss,
    evaluation_steps,
    learning_rates,
    plateau_of,
)
from descentlab.problems.random_streams import data_order, stream_seed
from descentlab.problems.splits import SPLITS, Split
from descentlab.training.engine.any_trainer import AnyTrainer
from descentlab.training.engine.batch_statistics import renormalized
from descentlab.training.engine.member import Evaluation, Means, Member
from descentlab.training.problem_data import ProblemData
from descentlab.training.run_record import beside_rows, divergence, hash_arrays, history_row, moments, spread_evenly
from descentlab.training.run_result import RunResult

VAL = SPLITS.index("val")


@dataclass(frozen=True)
class Budget:
    """How long a run is: updates per epoch, updates in all, and examples per update."""

    updates_per_epoch: int
    updates: int
    batch_size: int


def run_budget(spec: RunSpec, train_examples: int) -> Budget:
    """The budget of a run on this many training examples (docs/protocol.md, "Budget")."""
    per_epoch = train_examples // spec.reference_batch_size
    if spec.batch_size == 0 and not spec.equal_updates:
        return Budget(1, spec.epochs, train_examples)
    return Budget(per_epoch, spec.epochs * per_epoch, spec.batch_size or train_examples)


@dataclass(eq=False)
class MemberRun:
    """One run among those that train side by side.

    Attributes:
        spec: everything that decides the run.
        problem: the problem that it trains on.
        history: rows of its evaluations so far.
        beside: rows of what is recorded beside loss and metric.
        last: its last evaluation; None before the first.
        message: why it counts as diverged; empty if it doesn't.
        stopped: whether its patience is over.
        weights: the weights evaluated at the end; empty for tuning runs.
    """

    spec: RunSpec
    problem: ProblemData
    history: list[dict[str, Any]] = field(default_factory=list)
    beside: list[dict[str, Any]] = field(default_factory=list)
    last: Evaluation | None = None
    message: str = ""
    stopped: bool = False
    weights: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._plateau = plateau_of(self.spec.epochs) if self.spec.schedule == PLATEAU else None
        self._patience = StalledLoss(self.spec.patience) if self.spec.patience else None

    @cached_property
    def split(self) -> Split:
        """The split of the run's seed."""
        return self.problem.split(self.spec.seed)

    @cached_property
    def budget(self) -> Budget:
        """How long the run is."""
        return run_budget(self.spec, len(self.split.train))

    @cached_property
    def rates(self) -> np.ndarray:
        """Learning rate of each update, shape (updates,); a plateau changes those to come."""
        return learning_rates(self.spec.learning_rate, self.spec.schedule, self.budget.updates)

    @property
    def last_examples(self) -> list[np.ndarray]:
        """Indices of the last evaluation's examples, by split; the test split only if the run may see it."""
        return [self.split.train, self.split.val] + ([] if self.spec.sealed else [self.split.test])

    @property
    def examples(self) -> list[np.ndarray]:
        """Indices of the earlier evaluations' examples, by split."""
        limit = self.problem.evaluation_limit
        if limit is None:
            return self.last_examples
        return [spread_evenly(part, limit) for part in self.last_examples]

    @cached_property
    def member(self) -> Member:
        """The trainer's inputs for this run."""
        spec = self.spec
        return Member(
            self.problem.initial(spec.seed),
            data_order(self.problem.problem.name, spec.seed, self.split.train, spec.batch_size, spec.epochs),
            self.rates,
            tuple(self.examples),
            None if self.problem.evaluation_limit is None else tuple(self.last_examples),
            stream_seed(self.problem.problem.name, spec.seed, "steps"),
            scored=not spec.sealed,
        )

    def at_end(self, evaluation: Evaluation) -> bool:
        """Whether this is the evaluation after the last update."""
        return evaluation.updates == self.budget.updates

    def follow(self, evaluation: Evaluation) -> None:
        """What the validation loss changes: the rates to come, and whether the run ends here.

        As Keras' callbacks, which see the end of every epoch, it doesn't look at what was before the first.
        """
        epoch, loss = evaluation.updates / self.budget.updates_per_epoch, evaluation.means[VAL].loss
        if epoch < 1:
            return
        if self._plateau is not None and self._plateau.stalled(epoch, loss):
            self.rates[evaluation.updates :] *= PLATEAU_FACTOR
        if self._patience is not None and self._patience.stalled(epoch, loss):
            self.stopped = True

    def record(self, evaluation: Evaluation) -> None:
        """Add an evaluation to the history, and check whether the run has diverged."""
        self.last = evaluation
        row = history_row(evaluation, self.budget.batch_size, len(self.split.train), self.rates)
        self.history.append(row)
        self.beside += beside_rows(evaluation, self.problem.problem.beside)
        judged = ("val_metric",) if self.spec.sealed else ("val_metric", "test_metric")
        ends = self.stopped or self.at_end(evaluation)
        self.message = divergence(self.history[0], row, self.problem.problem.divergence_factor, judged if ends else ())

    def result(self, trainer: AnyTrainer, started_at: float, members: int) -> RunResult:
        """The run's result.

        Args:
            trainer: the trainer that trained it.
            started_at: seconds since 1970 (UTC).
            members: how many runs trained side by side.
        """
        last, history = self.last, pd.DataFrame(self.history)
        assert last is not None  # evaluation_steps always starts with 0
        record = {
            "status": "diverged" if self.message else "finished",
            "message": self.message,
            "batch_size": self.budget.batch_size,
            "init_hash": hash_arrays(self.member.initial),
            "split_hash": self.split.hash(),
            "updates_planned": self.budget.updates,
            "started_at": started_at,
            "members": members,
            "mode": trainer.mode,
            "evaluation_seconds": last.evaluation_seconds,
            "compile_seconds": trainer.compile_seconds,
            "parameters": trainer.parameters,
            "state_bytes_per_parameter": trainer.state_bytes_per_parameter,
            "optimum": self.problem.optimum(self.spec.seed),
            **moments(history, self.problem.problem.metric.sign),
            **self._renormalized(),
        }
        unscored = self.spec.sealed or self.message
        scores = np.empty(0, np.float32) if unscored else last.score[-len(self.split.test) :]
        return RunResult(record, history, scores, self.weights, pd.DataFrame(self.beside))

    def _renormalized(self) -> dict[str, float]:
        """Values with the averages of BatchNormalization measured anew; NaN for tuning runs and other models."""
        means = [Means(math.nan, math.nan)] * len(SPLITS)
        if self.weights and not self.message and self.problem.normalizes:
            judge, data, batch_size = self.problem.judge, self.problem.data, self.budget.batch_size
            values = renormalized(judge.model, self.weights, data, self.split.train, batch_size)
            means = [judge.evaluate(data, part, values) for part in self.last_examples]
        return {
            f"renormalized_{split}_{what}": value
            for split, (loss, metric, *_) in zip(SPLITS, means, strict=True)
            for what, value in (("loss", loss), ("metric", metric))
        }


def train_side_by_side(problem: ProblemData, trainer: AnyTrainer, specs: Sequence[RunSpec]) -> list[RunResult]:
    """Train runs that differ only in seed and learning rate; either all of them are sealed or none."""
    runs = [MemberRun(spec, problem) for spec in specs]
    first = runs[0]
    members = [run.member for run in runs]
    started_at = time.time()
    for evaluations in trainer.train_members(
        problem.sealed_data if first.spec.sealed else problem.data,
        members,
        evaluation_steps(first.budget.updates_per_epoch, first.spec.epochs),
    ):
        for row, (run, evaluation) in enumerate(zip(runs, evaluations, strict=True)):
            if run.message or run.stopped:
                continue
            run.follow(evaluation)
            if run.stopped and not run.at_end(evaluation):
                evaluation = trainer.evaluate_last(evaluation.updates)[row]
            run.record(evaluation)
            if not run.spec.sealed and (run.message or run.stopped or run.at_end(evaluation)):
                run.weights = trainer.evaluated_variables(row)
        if all(run.message or run.stopped for run in runs):
            break
    return [run.result(trainer, started_at, len(runs)) for run in runs]
