"""One job: the runs of some optimizers on one problem, through the run cache.

Optimizer by optimizer: the tuning runs (test examples erased), the selection written to a file, then the final runs.
A run in the cache is not trained again, so a killed job continues after its last finished run. A run that raises or exceeds
its time limit ends the job; if DESCENTLAB_KEEP_GOING is set, it becomes a row of status ``failed`` instead.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from descentlab.experiment.jobs import is_swept, runs_per_optimizer
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.run_spec import RunSpec
from descentlab.experiment.runs import entries_of, extended_runs, final_runs, sweep_runs, tuning_runs
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.table import OptimizerEntry
from descentlab.storage.atomic import write_text
from descentlab.training.best_model import best_final_run, write_model
from descentlab.training.engine.device import configure_device
from descentlab.training.execution.gpu_slots import gpu_slot
from descentlab.training.execution.progress import Progress, say
from descentlab.training.failed_runs import FaultPolicy
from descentlab.training.find_problem import planned_problem
from descentlab.training.job_tables import JobTables, say_failures
from descentlab.training.optimizer_job import OptimizerJob
from descentlab.training.problem_data import ProblemData
from descentlab.training.run_result import RunResult
from descentlab.training.sweep import next_step
from descentlab.training.tuning import rates_beyond, select_learning_rate, select_trial

KEEP_GOING = "DESCENTLAB_KEEP_GOING"  # the workflow sets it for snakemake --keep-going


def train_job(plan: TrainingPlan, problem_name: str, job: int, output: Path, cache: Path) -> None:
    """Train a job's runs; write ``<output>/<job>.history.parquet`` with the tables next to it, and the best models.

    On a machine with GPUs it waits for a free slot.

    Args:
        plan: the experiment's plan.
        problem_name: the problem's name in the config.
        job: index into ``plan.jobs[problem_name]``, which holds the optimizers of each job.
        output: ``results/<experiment>/train/<problem>``.
        cache: folder of the run cache.

    Raises:
        TrainingError: a run raised, and the job does not keep going. ProblemError: data or model have changed since planning.
        WriteError: a file can't be written.
    """
    with gpu_slot(plan.config.execution.jobs_per_gpu):
        problem = planned_problem(plan, problem_name, configure_device())
        Job(plan, problem, job, output, cache).train()


def fault_policy(plan: TrainingPlan) -> FaultPolicy:
    """What happens to runs of this experiment that raise or take too long."""
    return FaultPolicy(bool(os.environ.get(KEEP_GOING)), plan.config.execution.run_minutes)


def run_into(tables: JobTables, progress: Progress, runs: OptimizerJob, specs: list[RunSpec]) -> list[RunResult]:
    """Train runs or load them from the cache, and add them to the tables; their results in the same order."""
    results = []
    for spec, (digest, result, trained) in zip(specs, runs.run(specs), strict=True):
        progress.step(spec.run_id, trained)
        tables.add(spec, digest, result)
        results.append(result)
    return results


class Job:
    """The runs of some optimizers on one problem."""

    def __init__(self, plan: TrainingPlan, problem: ProblemData, number: int, output: Path, cache: Path) -> None:
        self._plan = plan
        self._problem = problem
        self._number = number
        self._output = output
        self._cache = cache
        self._names = plan.jobs[problem.name][number]
        self._faults = fault_policy(plan)
        self._progress = Progress(self._expected_runs * len(self._names))
        self._tables = JobTables(problem)
        self._selections: list[dict[str, Any]] = []

    @cached_property
    def _expected_runs(self) -> int:
        """Runs of one optimizer without its sweep, if the chosen rate has two neighbors."""
        return runs_per_optimizer(self._plan.config, self._problem.name)

    def train(self) -> None:
        """Train every optimizer's runs, and write the tables."""
        say(f"{self._problem.name}: {', '.join(self._names)} on {self._problem.device}, {self._problem.mode}")
        entries = entries_of(self._plan, self._problem.name)
        for name in self._names:
            self._train_optimizer(entries[name])
        self._write_selections()
        self._tables.write(self._output / str(self._number))
        say_failures(self._tables.runs)

    def _train_optimizer(self, entry: OptimizerEntry) -> None:
        plan, problem = self._plan, self._problem
        runs = OptimizerJob(plan, problem, entry, self._cache, self._faults)
        before = len(self._tables.runs)
        selection = self._tune(runs, entry) if Arm.TUNED in plan.config.arms else None
        beyond = 0  # runs that were announced when they became known
        if selection is not None:
            beyond = len(self._tables.runs) - before - len(tuning_runs(plan, problem.name, entry.name))
            if is_swept(plan.config, problem.name, entry.name) and selection["learning_rate"] is not None:
                selection["sweep"] = self._sweep(runs, entry, selection["learning_rate"])
                beyond += len(sweep_runs(plan, problem.name, entry.name, selection["sweep"]))
            self._extend(runs, entry, selection)
        finals = final_runs(plan, problem.name, entry.name, selection)
        trained = len(self._tables.runs) - before - beyond
        self._progress.expect(trained + len(finals) - self._expected_runs)
        results = dict(zip([spec.run_id for spec in finals], self._run(runs, finals), strict=True))
        best = best_final_run(self._tables.of_optimizer(entry.name), plan.main_arm)
        model = self._output.parents[1] / "models" / problem.name / f"{entry.name}.keras"
        result = None if best is None else results[best]
        if fault := write_model(problem.problem if result is None else problem.trainable, result, model):
            say(f"{entry.name}: its best model can't be saved as a file: {fault}")

    def _run(self, runs: OptimizerJob, specs: list[RunSpec]) -> list[RunResult]:
        return run_into(self._tables, self._progress, runs, specs)

    def _tune(self, runs: OptimizerJob, entry: OptimizerEntry) -> dict[str, Any]:
        """Choose the learning rate; the choice is on disk before any run that sees a test target starts.

        The grid grows while the good rates reach its end.
        """
        plan, name, sign = self._plan, self._problem.name, self._problem.problem.metric.sign
        margin = plan.problems[name].margin
        specs = tuning_runs(plan, name, entry.name)
        records = [result.record for result in self._run(runs, specs)]
        while rates := rates_beyond(entry, specs, records, sign, margin, plan.config.tuning_of(name).most_points):
            grown = tuning_runs(plan, name, entry.name, rates)
            self._progress.expect(len(grown))
            records += [result.record for result in self._run(runs, grown)]
            specs += grown
        selection = select_learning_rate(entry, name, specs, records, sign, margin)
        self._selections.append(selection)
        self._write_selections()
        return selection

    def _sweep(self, runs: OptimizerJob, entry: OptimizerEntry, chosen_rate: float) -> list[float]:
        """The learning rates of the robustness sweep, ascending, all trained."""
        chosen, sign = entry.step_of(chosen_rate), self._problem.problem.metric.sign
        margin = self._plan.problems[self._problem.name].margin
        goodness: dict[float, np.ndarray] = {}
        while (step := next_step(goodness, chosen, margin)) is not None:
            specs = sweep_runs(self._plan, self._problem.name, entry.name, [entry.rate_at(step)])
            self._progress.expect(len(specs))
            records = [result.record for result in self._run(runs, specs)]
            goodness[step] = np.array(
                [sign * record["val_metric"] if record["status"] == "finished" else np.nan for record in records]
            )
        return [entry.rate_at(step) for step in sorted(goodness)]

    def _extend(self, runs: OptimizerJob, entry: OptimizerEntry, selection: dict[str, Any]) -> None:
        """Choose the extended arm's trial, if the plan has that arm."""
        trials = extended_runs(self._plan, self._problem.name, entry.name, selection)
        if trials:
            records = [[result.record for result in self._run(runs, specs)] for _, specs in trials]
            chosen, _ = trials[select_trial(records, self._problem.problem.metric.sign)]
            selection["extended"] = asdict(chosen)
            self._write_selections()

    def _write_selections(self) -> None:
        write_text(self._output / f"{self._number}.selections.json", json.dumps(self._selections, indent=1))
