"""The files that a job leaves under ``train/<problem>``: its tables, and the learning rates that it chose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from descentlab.experiment.plan import TrainingPlan


class JobFileError(ValueError):
    """A job's file is damaged; the message says which one."""


def job_table(job: Path, name: str) -> Path:
    """The file of a job's table.

    Example:
        >>> job_table(Path("train/mlp/0"), "runs").name
        '0.runs.parquet'
    """
    return job.with_name(f"{job.name}.{name}.parquet")


def selections_of(plan: TrainingPlan, results: Path, problem: str) -> list[dict[str, Any]]:
    """The selections that a problem's jobs made.

    Raises:
        JobFileError: a file is damaged.
    """
    folder, jobs = results / "train" / problem, range(len(plan.jobs[problem]))
    return [entry for job in jobs for entry in read_selections(folder / f"{job}.selections.json")]


def read_selections(path: Path) -> list[dict[str, Any]]:
    """The selections that a job made; empty if it made none.

    Raises:
        JobFileError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise JobFileError(
            f"{path}: damaged ({error}); delete it and run the same command again: finished runs come from the cache"
        ) from error
