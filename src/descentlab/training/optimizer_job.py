"""The runs of one optimizer on one problem, through the run cache: as many side by side as train together."""

from __future__ import annotations

import itertools
import json
import traceback
from collections.abc import Iterator
from pathlib import Path

from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.run_spec import RunSpec
from descentlab.optimizers.build import arm_hyperparameters
from descentlab.optimizers.error_line import one_line
from descentlab.optimizers.table import OptimizerEntry
from descentlab.training.cache import load_result, store_result
from descentlab.training.engine.any_trainer import AnyTrainer
from descentlab.training.engine.trainer import Trainer
from descentlab.training.execution.progress import say
from descentlab.training.execution.time_limit import given_up, time_limit
from descentlab.training.failed_runs import END_THE_JOB, FaultPolicy, failed_result
from descentlab.training.member_run import run_budget, train_side_by_side
from descentlab.training.problem_data import ProblemData
from descentlab.training.run_digest import run_digest
from descentlab.training.run_result import RunResult


class TrainingError(RuntimeError):
    """A run raised; the message names it. Runs that finished before are in the cache."""


def _join_ids(group: dict[str, RunSpec]) -> str:
    return ", ".join(spec.run_id for spec in group.values())


def _describe(group: dict[str, RunSpec]) -> str:
    """The first run in full; the others differ from it only as their ids say."""
    return f"({json.dumps(next(iter(group.values())).as_dict())})"


class OptimizerJob:
    """All runs of one optimizer on one problem; compiles when the first run is not in the cache."""

    def __init__(
        self,
        plan: TrainingPlan,
        problem: ProblemData,
        entry: OptimizerEntry,
        cache: Path,
        faults: FaultPolicy = END_THE_JOB,
    ) -> None:
        self._planned = plan.problems[problem.name]
        self._versions = plan.versions
        self._by_keras = bool(plan.optimizers[entry.name].by_keras)
        self._problem = problem
        self._entry = entry
        self._cache = cache
        self._faults = faults
        self._trainers: dict[str, AnyTrainer] = {}
        self._alone: set[str] = set()  # hyperparameters with which the optimizer can't be computed side by side
        self._failed: dict[str, RunResult] = {}

    def run(self, specs: list[RunSpec]) -> Iterator[tuple[str, RunResult, bool]]:
        """The digest and result of each run in turn, and whether it had to be trained.

        Raises:
            TrainingError: training raised, and the job does not keep going.
            WriteError: a result can't be written to the cache.
        """
        digests = [run_digest(self._problem, self._entry, spec, self._versions, self._by_keras) for spec in specs]
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
                group = self._group_with(spec, missing)
                results |= self._train_group(group, [other.seed for other in missing.values()])
                missing = {key: value for key, value in missing.items() if key not in group}
            result = results[digest]
            assert result is not None
            yield digest, result, digest in to_train

    def _group_with(self, first: RunSpec, missing: dict[str, RunSpec]) -> dict[str, RunSpec]:
        """As many of the missing runs as train side by side, beginning with ``first``."""
        compatible = {
            digest: spec
            for digest, spec in missing.items()
            if self._compiled_for(spec) == self._compiled_for(first) and spec.sealed == first.sealed
        }
        alone = self._by_keras or self._compiled_for(first) in self._alone
        return dict(itertools.islice(compatible.items(), 1 if alone else self._problem.width))

    def _train_group(self, group: dict[str, RunSpec], seeds: list[int]) -> dict[str, RunResult]:
        """Train runs side by side and store them in the cache; runs and results are keyed by digest.

        Args:
            group: the runs.
            seeds: theirs and those of the runs to come.
        """
        faults = self._faults
        overrun = f"descentlab: run {_join_ids(group)} {faults.overrun} {_describe(group)}"
        try:
            with time_limit(faults.run_seconds, overrun, group if faults.keep_going else None):
                specs = list(group.values())
                for seed in seeds:  # first: Keras' seeding makes TensorFlow forget the functions that it has prepared
                    self._problem.initial(seed)
                results = train_side_by_side(self._problem, self._trainer(specs[0]), specs)
        except Exception as error:  # the reader must learn which run it was, whatever it raised
            raised = error
        else:
            trained = dict(zip(group, results, strict=True))
            for digest, result in trained.items():
                store_result(self._cache, digest, result)
            return trained
        if self._goes_alone(next(iter(group.values()))) or len(group) > 1:
            # One at a time they may train; if not, training each alone shows which of them raised.
            singles = [self._train_group({digest: spec}, [spec.seed]) for digest, spec in group.items()]
            return {digest: result for single in singles for digest, result in single.items()}
        ((digest, spec),) = group.items()
        message = f"run {spec.run_id} raised {one_line(raised)} {_describe(group)}"
        say(f"{message}; going on with the next" if faults.keep_going else message)
        if not self._failed:
            # The line says what to know. The plan was made without this fault, so the stack is kept, behind the line: nothing
            # else has it. Later ones are mostly the same.
            say("".join(traceback.format_exception(raised)))
        if not faults.keep_going:
            raise TrainingError(message) from raised
        self._failed[digest] = self._give_up(spec, one_line(raised))
        return {digest: self._failed[digest]}

    def _give_up(self, spec: RunSpec, message: str) -> RunResult:
        budget = run_budget(spec, self._planned.train_examples)
        return failed_result(message, budget.batch_size, budget.updates, self._planned.parameters)

    def _goes_alone(self, spec: RunSpec) -> bool:
        """Whether runs like this one, which raised, have one more try: those that were not compiled side by side.

        XLA has no sparse gradients and no loops of several members at once. Whether it can compile an optimizer depends on
        nothing else, so a run is trained the same way again.
        """
        key = self._compiled_for(spec)
        trainer = self._trainers.get(key)
        if not isinstance(trainer, Trainer) or trainer.width == 1 or trainer.compiled:
            return False
        self._alone.add(key)
        del self._trainers[key]
        return True

    def _compiled_for(self, spec: RunSpec) -> str:
        """What a trainer is compiled for: the hyperparameters, without learning rate and schedule."""
        return json.dumps(arm_hyperparameters(self._entry, spec.arm, spec.extended), sort_keys=True)

    def _trainer(self, spec: RunSpec) -> AnyTrainer:
        """One compiled trainer for each set of hyperparameters."""
        key = self._compiled_for(spec)
        if key not in self._trainers:
            self._trainers[key] = self._problem.trainer(
                self._entry, spec.arm, spec.learning_rate, spec.extended, self._by_keras, key in self._alone
            )
        return self._trainers[key]
