"""Runs that are known only once a problem's jobs have ended: at rates tuned for speed, and on seeds that a look added."""

from __future__ import annotations

from pathlib import Path

from descentlab.experiment.looks import Look, added_tables
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.run_spec import SPEED, RunSpec
from descentlab.experiment.runs import added_runs, entries_of, final_runs
from descentlab.training.engine.device import configure_device
from descentlab.training.execution.gpu_slots import gpu_slot
from descentlab.training.execution.progress import Progress, say
from descentlab.training.find_problem import planned_problem
from descentlab.training.job import fault_policy, run_into
from descentlab.training.job_files import selections_of, speed_job, timed_selections_of
from descentlab.training.job_tables import JobTables, say_failures
from descentlab.training.optimizer_job import OptimizerJob


def train_for_speed(plan: TrainingPlan, problem: str, results: Path, cache: Path) -> None:
    """Train the final seeds at the rates that were tuned for speed, and write their tables as a job does.

    Args:
        plan: the experiment's plan.
        problem: its name in the config; its fastest rates are on disk.
        results: ``results/<experiment>``.
        cache: folder of the run cache.

    Raises:
        TrainingError, ProblemError, WriteError: as :func:`descentlab.training.job.train_job`. JobFileError: the file of a
        job's selections is damaged.
    """
    specs = [
        spec
        for selection in timed_selections_of(plan, results, problem)
        for spec in final_runs(plan, problem, selection["optimizer"], selection)
        if spec.phase == SPEED
    ]
    _train(plan, problem, specs, "at rates tuned for speed", speed_job(results, problem), cache)


def train_added(plan: TrainingPlan, problem: str, look: Look, results: Path, cache: Path) -> None:
    """Train the runs that a look added to a problem; see :func:`train_for_speed`."""
    specs = added_runs(plan, problem, look, selections_of(plan, results, problem))
    _train(plan, problem, specs, "for its open contrasts", added_tables(results, problem, look.number), cache)


def _train(plan: TrainingPlan, problem_name: str, specs: list[RunSpec], why: str, output: Path, cache: Path) -> None:
    """Train the runs of some optimizers on one problem, and write the tables ``<output>.*.parquet``."""
    with gpu_slot(plan.config.execution.jobs_per_gpu):
        problem = planned_problem(plan, problem_name, configure_device())
        say(f"{problem_name}: {len(specs)} more runs {why}, on {problem.device}, {problem.mode}")
        tables, progress, entries = JobTables(problem), Progress(len(specs)), entries_of(plan, problem_name)
        for name in dict.fromkeys(spec.optimizer for spec in specs):
            runs = OptimizerJob(plan, problem, entries[name], cache, fault_policy(plan))
            run_into(tables, progress, runs, [spec for spec in specs if spec.optimizer == name])
        tables.write(output)
        say_failures(tables.runs)
