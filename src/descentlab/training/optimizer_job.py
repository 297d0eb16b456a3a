"""The runs of one optimizer on one problem, through the run cache: as many side by side as train together."""

from __future__ import annotations

import inspect
import itertools
import json
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.records import RunSpec
from descentlab.optimizers.build import arm_hyperparameters, build, evaluation_weights, resolve_factory
from descentlab.optimizers.schedules import evaluation_steps, learning_rates
from descentlab.optimizers.table import OptimizerEntry
from descentlab.problems.random_streams import data_order
from descentlab.training.cache import RunResult, load_result, run_digest, source_digest, store_result
from descentlab.training.engine.trainer import Evaluation, Member, Trainer
from descentlab.training.execution.progress import say
from descentlab.training.execution.time_limit import given_up, time_limit
from descentlab.training.failed_runs import END_THE_JOB, FaultPolicy, failed_result, reason_of
from descentlab.training.problem_data import ProblemData
from descentlab.training.run_record import divergence, hash_arrays, history_row, moments, spread_evenly

DECISIVE_MODULES = (
    "descentlab.optimizers.schedules",
    "descentlab.problems.base",
    "descentlab.problems.random_streams",
    "descentlab.training.cache",
    "descentlab.training.engine.compiled_model",
    "descentlab.training.engine.convolution",
    "descentlab.training.engine.device",
    "descentlab.training.engine.member_step",
    "descentlab.training.engine.packing",
    "descentlab.training.engine.stateless_optimizer",
    "descentlab.training.engine.trainable",
    "descentlab.training.engine.trainer",
    "descentlab.training.optimizer_job",
    "descentlab.training.problem_data",
    "descentlab.training.run_record",
)
# The same training under another name is the same run.
NAMES_ONLY = {"optimizer", "arm", "phase", "hyperparameters"}


class TrainingError(RuntimeError):
    """A run raised; the message names it. What was finished before is in the cache."""


@dataclass(frozen=True)
class Budget:
    """How long a run is: one epoch's updates, all updates, and the examples of one update."""

    updates_per_epoch: int
    updates: int
    batch_size: int


def run_budget(spec: RunSpec, train_examples: int) -> Budget:
    """The budget of a run on so many training examples (docs/protocol.md, "Budget")."""
    per_epoch = train_examples // spec.reference_batch_size
    if spec.batch_size == 0 and not spec.equal_updates:
        return Budget(1, spec.epochs, train_examples)
    return Budget(per_epoch, spec.epochs * per_epoch, spec.batch_size or train_examples)


def _named(together: dict[str, RunSpec]) -> str:
    return ", ".join(spec.run_id for spec in together.values())


def _described(together: dict[str, RunSpec]) -> str:
    """The first of the runs in full: the others differ from it in what their names say."""
    return f"({json.dumps(next(iter(together.values())).as_dict())})"


class OptimizerJob:
    """All runs of one optimizer on one problem; compiles when the first run is not in the cache."""

    def __init__(
        self,
        problem: ProblemData,
        entry: OptimizerEntry,
        cache: Path,
        versions: dict[str, str],
        faults: FaultPolicy = END_THE_JOB,
    ) -> None:
        self._problem = problem
        self._entry = entry
        self._cache = cache
        self._versions = versions
        self._faults = faults
        self._trainers: dict[str, Trainer] = {}
        self._failed: dict[str, RunResult] = {}

    def run(self, specs: list[RunSpec]) -> Iterator[tuple[str, RunResult, bool]]:
        """The digest and result of each run in turn, and whether it had to be trained.

        Raises:
            TrainingError: training raised, and the job is not to keep going.
            WriteError: the cache can't take a result.
        """
        digests = [self._digest(spec) for spec in specs]
        results = {digest: load_result(self._cache, digest, say) for digest in dict.fromkeys(digests)}
        overran = given_up()
        for digest, spec in zip(digests, specs, strict=True):
            if results[digest] is None and digest in overran:
                self._failed[digest] = self._give_up(spec, self._faults.overrun)
            results[digest] = results[digest] or self._failed.get(digest)
        missing = {digest: spec for digest, spec in zip(digests, specs, strict=True) if results[digest] is None}
        to_train = set(missing)
        for digest, spec in zip(digests, specs, strict=True):
            if digest in missing:
                together = self._beside(spec, missing)
                results |= self._train_together(together)
                missing = {name: other for name, other in missing.items() if name not in together}
            result = results[digest]
            assert result is not None
            yield digest, result, digest in to_train

    def _beside(self, first: RunSpec, missing: dict[str, RunSpec]) -> dict[str, RunSpec]:
        """As many of the missing runs, ``first`` the first of them, as train together."""
        alike = {
            digest: spec
            for digest, spec in missing.items()
            if self._key(spec) == self._key(first) and spec.sealed == first.sealed
        }
        return dict(itertools.islice(alike.items(), self._problem.width))

    def _train_together(self, together: dict[str, RunSpec]) -> dict[str, RunResult]:
        """Train runs side by side and keep them in the cache; both by digest."""
        faults = self._faults
        overrun = f"descentlab: run {_named(together)} {faults.overrun} {_described(together)}"
        try:
            with time_limit(faults.run_seconds, overrun, together if faults.keep_going else None):
                trained = dict(zip(together, self._train(list(together.values())), strict=True))
        except Exception as error:  # whatever it was, the reader must learn which run it was
            raised = error
        else:
            for digest, result in trained.items():
                store_result(self._cache, digest, result)
            return trained
        if len(together) > 1:  # which of them raised shows when each trains alone
            alone = [self._train_together({digest: spec}) for digest, spec in together.items()]
            return {digest: result for one in alone for digest, result in one.items()}
        ((digest, spec),) = together.items()
        if not self._failed:  # the next ones are mostly the same
            say("".join(traceback.format_exception(raised)))
        told = f"run {spec.run_id} raised {reason_of(raised)} {_described(together)}"
        if not faults.keep_going:
            raise TrainingError(told) from raised
        say(f"{told}; going on with the next")
        self._failed[digest] = self._give_up(spec, reason_of(raised))
        return {digest: self._failed[digest]}

    def _give_up(self, spec: RunSpec, message: str) -> RunResult:
        about = self._problem.about
        budget = run_budget(spec, about["train_examples"])
        return failed_result(message, budget.batch_size, budget.updates, about["parameters"])

    def _extended(self, spec: RunSpec) -> dict[str, Any]:
        return json.loads(spec.hyperparameters or "{}")

    def _key(self, spec: RunSpec) -> str:
        """What a trainer is compiled for: the hyperparameters, learning rate and schedule apart."""
        return json.dumps(arm_hyperparameters(self._entry, spec.arm, self._extended(spec)), sort_keys=True)

    def _digest(self, spec: RunSpec) -> str:
        trainer_source = ""
        if ":" in self._entry.factory:
            module = inspect.getmodule(resolve_factory(self._entry))
            trainer_source = source_digest([module.__name__]) if module else ""
        return run_digest(
            {
                **{name: value for name, value in spec.as_dict().items() if name not in NAMES_ONLY},
                "problem": [
                    self._problem.problem.name,
                    self._problem.source,
                    self._problem.config.train_examples,
                    self._problem.config.evaluation_examples,
                ],
                "data": self._problem.about["data_hash"],
                "optimizer": [
                    self._entry.factory,
                    json.loads(self._key(spec)),
                    trainer_source,
                    inspect.getsource(evaluation_weights),
                ],
                "sealed": spec.sealed,
                "mode": self._problem.mode,
                "width": self._problem.width,
                "device": self._problem.device,
                "code": source_digest(DECISIVE_MODULES),
                "versions": {name: self._versions[name] for name in ("tensorflow", "keras", "numpy")},
            }
        )

    def _trainer(self, spec: RunSpec) -> Trainer:
        """One compiled trainer for each set of hyperparameters."""
        key = self._key(spec)
        if key not in self._trainers:
            self._trainers[key] = Trainer(
                self._problem.compiled,
                lambda: build(self._entry, spec.arm, spec.learning_rate, self._extended(spec)),
                has_learning_rate=spec.learning_rate == spec.learning_rate,
            )
        return self._trainers[key]

    def _train(self, specs: list[RunSpec]) -> list[RunResult]:
        """Train runs side by side."""
        problem, trainer, first = self._problem, self._trainer(specs[0]), specs[0]
        tested = not first.sealed
        splits = [problem.split(spec.seed) for spec in specs]
        budget = run_budget(first, len(splits[0].train))
        limit = problem.config.evaluation_examples
        parts = [[split.train, split.val] + ([split.test] if tested else []) for split in splits]
        during = parts if limit is None else [[spread_evenly(part, limit) for part in one] for one in parts]
        rates = [learning_rates(spec.learning_rate, spec.schedule, budget.updates) for spec in specs]
        members = [
            Member(
                problem.initial(spec.seed),
                data_order(problem.problem.name, spec.seed, split.train, spec.batch_size, spec.epochs),
                rates[row],
                np.concatenate(during[row]),
                None if limit is None else np.concatenate(parts[row]),
            )
            for row, (spec, split) in enumerate(zip(specs, splits, strict=True))
        ]
        started_at = time.time()
        histories: list[list[dict[str, Any]]] = [[] for _ in specs]
        last: list[Evaluation | None] = [None] * len(specs)
        messages, weights = [""] * len(specs), [[] for _ in specs]  # type: list[str], list[list[np.ndarray]]
        evaluations = trainer.train_members(
            problem.data if tested else problem.sealed_data,
            members,
            evaluation_steps(budget.updates_per_epoch, first.epochs),
        )
        for found in evaluations:
            at_end = found[0].updates == budget.updates
            for row, evaluation in enumerate(found):
                if messages[row]:
                    continue
                last[row] = evaluation
                sizes = [len(part) for part in (parts if at_end else during)[row]]
                histories[row].append(
                    history_row(evaluation, sizes, budget.batch_size, len(splits[row].train), rates[row])
                )
                messages[row] = divergence(histories[row][-1], problem.problem.loss_bound)
                if tested and (messages[row] or at_end):
                    weights[row] = trainer.evaluated_variables(row)
            if all(messages):
                break
        results = []
        for row, spec in enumerate(specs):
            end, history = last[row], pd.DataFrame(histories[row])
            assert end is not None  # evaluation_steps always begins with 0
            record = {
                "status": "diverged" if messages[row] else "finished",
                "message": messages[row],
                "batch_size": budget.batch_size,
                "init_hash": hash_arrays(members[row].initial),
                "split_hash": splits[row].hash(),
                "updates_planned": budget.updates,
                "started_at": started_at,
                "members": len(specs),
                "evaluation_seconds": end.evaluation_seconds,
                "compile_seconds": trainer.compile_seconds,
                "parameters": trainer.parameters,
                "state_bytes_per_parameter": trainer.state_bytes_per_parameter,
                "optimum": problem.optimum(spec.seed),
                **moments(history, problem.problem.metric.higher_is_better),
            }
            scored = tested and not messages[row]
            scores = end.score[-len(splits[row].test) :] if scored else np.empty(0, np.float32)
            results.append(RunResult(record, history, scores, weights[row]))
        return results
