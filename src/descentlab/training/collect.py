"""Merging the tables of all jobs; a planned run without a result becomes a row of status ``missing``.

A job's tables are complete once its history exists, which it writes last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from descentlab.experiment.jobs import trains_for_speed
from descentlab.experiment.looks import Look, added_tables, extended_problems, read_looks
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import BESIDE, EXAMPLES, HISTORY, RUNS
from descentlab.experiment.runs import planned_runs
from descentlab.storage.atomic import write_text
from descentlab.storage.tables import Column, check_table, empty_table, read_table, write_table
from descentlab.training.execution.progress import say
from descentlab.training.job_files import job_table, problem_jobs, selections_of, speed_job, timed_selections_of


def collect_runs(plan: TrainingPlan, results: Path) -> None:
    """Merge ``train/<problem>/<job>.*`` into runs, history, examples and selections of the experiment.

    Args:
        plan: the experiment's plan.
        results: ``results/<experiment>``.

    Raises:
        JobFileError, TableError, LookError: a job's file, or what a look decided, is damaged.
    """
    merged = merge_jobs(plan, results, read_looks(results, range(1, len(plan.config.seeds.looks))), speed=True)
    say_unfinished(merged.runs)
    write_text(results / "selections.json", json.dumps(merged.selections, indent=1))
    write_table(merged.examples, EXAMPLES, results / "examples.parquet")
    write_table(read_all(merged.jobs, "beside", BESIDE), BESIDE, results / "beside.parquet")
    write_table(read_all(merged.jobs, "history", HISTORY), HISTORY, results / "history.parquet")
    write_table(merged.runs, RUNS, results / "runs.parquet")


class MergedJobs(NamedTuple):
    """What a contrast is judged by, of all jobs.

    Attributes:
        jobs: the paths of their tables, without the suffixes.
        runs: all runs, those that are missing included.
        examples: the scores of the final runs' test examples.
        selections: the choices of learning rates.
    """

    jobs: list[Path]
    runs: pd.DataFrame
    examples: pd.DataFrame
    selections: list[dict[str, Any]]


def merge_jobs(plan: TrainingPlan, results: Path, looks: Sequence[Look], speed: bool = False) -> MergedJobs:
    """Read the jobs' tables.

    Args:
        plan: the experiment's plan.
        results: ``results/<experiment>``.
        looks: those whose added runs count.
        speed: whether the runs at rates tuned for speed count; looks don't wait for them.

    Raises:
        JobFileError, TableError: a job's file is damaged.
    """
    # Of another problem, such files are of an earlier config.
    timed = [problem for problem in plan.problems if speed and trains_for_speed(plan.config, problem)]
    jobs = finished_jobs(plan, results, looks, timed)
    selections: list[dict[str, Any]] = []
    for problem in plan.problems:
        read = timed_selections_of if problem in timed else selections_of
        selections += read(plan, results, problem)
    runs = with_missing(plan, read_all(jobs, "runs", RUNS), selections, looks)
    return MergedJobs(jobs, runs, read_all(jobs, "examples", EXAMPLES), selections)


def finished_jobs(plan: TrainingPlan, results: Path, looks: Sequence[Look], timed: Sequence[str]) -> list[Path]:
    """The paths of every job's tables, without their suffixes; a job that wrote none is said.

    Args:
        plan: the experiment's plan.
        results: ``results/<experiment>``.
        looks: those whose added runs count.
        timed: the problems whose runs at rates tuned for speed count.
    """
    jobs = {
        path: f"{problem}, job {path.name} ({', '.join(optimizers)})"
        for problem, cut in plan.jobs.items()
        for path, optimizers in zip(problem_jobs(plan, results, problem), cut, strict=True)
    }
    for look in looks:
        for problem in extended_problems(look):
            jobs[added_tables(results, problem, look.number)] = f"{problem}, added by look {look.number}"
    for problem in timed:
        jobs[speed_job(results, problem)] = f"{problem}, rates tuned for speed"
    finished = [path for path in jobs if job_table(path, "history").exists()]
    for path in jobs:
        if path not in finished:
            say(f"{jobs[path]}: no tables at {path}.*, so its runs are missing")
    return finished


def say_unfinished(runs: pd.DataFrame) -> None:
    """Log how many runs of each problem and optimizer failed or are missing, and the reason of the first."""
    lost = runs[runs["status"].isin(["failed", "missing"])]
    for (problem, optimizer, status), group in lost.groupby(["problem", "optimizer", "status"], sort=False):
        say(
            f"{optimizer} on {problem}: {len(group)} runs {status}; {group['run_id'].iloc[0]}: {group['message'].iloc[0]}"
        )


def read_all(jobs: list[Path], name: str, columns: dict[str, Column]) -> pd.DataFrame:
    """The tables ``name`` of all jobs, concatenated.

    Raises:
        TableError: a table is damaged.
    """
    paths = [job_table(job, name) for job in jobs]
    tables = [table for path in paths if len(table := read_table(path, columns))]
    return pd.concat(tables, ignore_index=True) if tables else empty_table(columns)


def with_missing(
    plan: TrainingPlan, runs: pd.DataFrame, selections: list[dict[str, Any]], looks: Sequence[Look] = ()
) -> pd.DataFrame:
    """``runs`` plus a row of status ``missing`` for each planned run that is not among them."""
    present = set(runs["run_id"])
    rows = []
    for spec in planned_runs(plan, selections, looks):
        if spec.run_id in present:
            continue
        problem = plan.problems[spec.problem]
        values = {
            **spec.as_dict(),
            "run_id": spec.run_id,
            "batch_size": spec.batch_size or problem.train_examples,
            "status": "missing",
            "message": "planned, and not among the results",
            "metric": problem.metric,
            "higher_is_better": problem.higher_is_better,
            "parameters": problem.parameters,
        }
        blank = {"str": "", "int64": 0, "float64": float("nan"), "bool": False}
        rows.append({name: values.get(name, blank[column.dtype]) for name, column in RUNS.items()})
    if not rows:
        return runs
    missing = check_table(pd.DataFrame(rows), RUNS, "missing runs")
    return pd.concat([runs, missing], ignore_index=True) if len(runs) else missing
