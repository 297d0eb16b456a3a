"""The files that a job leaves under ``train/<problem>``: its tables, and the learning rates that it chose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import JOB_TABLES
from descentlab.storage.tables import empty_table, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


class JobFileError(ValueError):
    """A job's file is damaged; the message says which one."""


def job_table(job: Path, name: str) -> Path:
    """The file of a job's table.

    Example:
        >>> job_table(Path("train/mlp/0"), "runs").name
        '0.runs.parquet'
    """
    return job.with_name(f"{job.name}.{name}.parquet")


def problem_jobs(plan: TrainingPlan, results: Path, problem: str) -> list[Path]:
    """The paths of a problem's jobs, without the suffixes of their files."""
    return [results / "train" / problem / str(job) for job in range(len(plan.jobs[problem]))]


def speed_job(results: Path, problem: str) -> Path:
    """The path of the runs at the rates that are tuned for speed, without the suffixes of their files."""
    return results / "train" / problem / "speed"


def fastest_rates_file(results: Path, problem: str) -> Path:
    """Where the rates that are tuned for speed, and trained for it alone, are kept: a rate by optimizer."""
    return speed_job(results, problem).with_suffix(".json")


def write_job_tables(job: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write a job's tables; those that are not among ``tables`` are written without rows.

    Raises:
        WriteError: a file can't be written.
    """
    for name, columns in JOB_TABLES.items():
        rows = tables.get(name)
        write_table(empty_table(columns) if rows is None else rows, columns, job_table(job, name))


def selections_of(plan: TrainingPlan, results: Path, problem: str) -> list[dict[str, Any]]:
    """The selections that a problem's jobs made.

    Raises:
        JobFileError: a file is damaged.
    """
    jobs = problem_jobs(plan, results, problem)
    return [entry for job in jobs for entry in _read_json(job.with_name(f"{job.name}.selections.json"), [])]


def timed_selections_of(plan: TrainingPlan, results: Path, problem: str) -> list[dict[str, Any]]:
    """The selections, each with the ``fastest`` rate if final seeds are trained at it for speed alone.

    Raises:
        JobFileError: a file is damaged.
    """
    fastest = _read_json(fastest_rates_file(results, problem), {})
    return [
        entry | ({"fastest": fastest[entry["optimizer"]]} if entry["optimizer"] in fastest else {})
        for entry in selections_of(plan, results, problem)
    ]


def _read_json(path: Path, absent: Any) -> Any:
    if not path.exists():
        return absent
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise JobFileError(
            f"{path}: damaged ({error}); delete it and run the same command again: finished runs come from the cache"
        ) from error
