"""Finished jobs of two optimizers, as files to track, and stores to track them to."""

from __future__ import annotations

import contextlib
import functools
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from descentlab.experiment.plan import TrainingPlan
from descentlab.tracking.store import create_store
from descentlab.tracking.track import TrackSummary, track_problem
from descentlab.training.job_files import speed_job, write_job_tables
from support.comparison_fixture import generated_history, generated_plan, generated_runs

RESULTS = Path("results/generated")
DATABASE = Path("results/mlflow.db")
EMPTY = Path("results/empty.db")
PROBLEM = "up"


def some_runs(optimizers: Sequence[str] = ("momentum", "adam")) -> pd.DataFrame:
    """Two optimizers on one problem, all phases, one final run of adam diverged."""
    runs = generated_runs(0)
    runs = runs[(runs["problem"] == PROBLEM) & runs["optimizer"].isin(optimizers)]
    runs = runs[runs["seed"].isin([0, 1, 1000])].reset_index(drop=True)
    runs["started_at"] = 1_700_000_000.0 + np.arange(len(runs))
    runs.loc[(runs["arm"] == "default") & (runs["seed"] == 1), "phase"] = "neighbor"
    diverged = runs.index[(runs["phase"] == "final") & (runs["optimizer"] == "adam")][0]
    runs.loc[diverged, ["status", "message"]] = ["diverged", "loss not finite after 16 updates"]
    runs.loc[diverged, ["train_loss", "val_loss", "test_loss"]] = [math.inf, math.nan, math.inf]
    return runs


def write_models(optimizers: Sequence[str] = ("momentum", "adam")) -> None:
    """The files of the best models; nothing here reads what is in them."""
    folder = RESULTS / "models" / PROBLEM
    folder.mkdir(parents=True, exist_ok=True)
    for optimizer in optimizers:
        (folder / f"{optimizer}.keras").write_text(f"the model of {optimizer}")


def write_jobs(runs: pd.DataFrame, jobs: int = 1) -> None:
    """plan.json and the tables of ``jobs`` jobs, an optimizer each where there are two."""
    names = list(dict.fromkeys(runs["optimizer"]))
    cut = [names] if jobs == 1 else [[name] for name in names]
    plan = generated_plan()
    plan = replace(plan, jobs={PROBLEM: tuple(map(tuple, cut))}, problems={PROBLEM: plan.problems[PROBLEM]})
    RESULTS.mkdir(parents=True, exist_ok=True)
    plan.write(RESULTS / "plan.json")
    for job, optimizers in enumerate(cut):
        mine = runs[runs["optimizer"].isin(optimizers)]
        tables = {"runs": mine, "history": generated_history(mine)}
        write_job_tables(RESULTS / "train" / PROBLEM / str(job), tables)
    write_job_tables(speed_job(RESULTS, PROBLEM), {})


@functools.cache
def empty_database() -> bytes:
    """The file of a store without experiments: MLflow takes seconds to make one."""
    with tempfile.TemporaryDirectory() as folder:
        create_store(f"sqlite:///{folder}/new.db")
        copy_database(Path(folder, "new.db"), Path(folder, "copy.db"))
        return Path(folder, "copy.db").read_bytes()


def copy_database(source: Path, target: Path) -> None:
    """Copy a database with what is still in its write-ahead log."""
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


def copy_empty_store(path: Path) -> str:
    """A store without experiments at ``path``; its URI."""
    path.write_bytes(empty_database())
    return f"sqlite:///{path.resolve()}"


def track(uri: str | None = None, results: Path = RESULTS, tuning_curves: bool = False) -> TrackSummary:
    """Track the problem of ``results`` in this process."""
    return track_problem(TrainingPlan.read(results), results, PROBLEM, uri, tuning_curves)


def write_tracked(folder: Path, optimizers: Sequence[str]) -> Path:
    """In ``folder`` the jobs of ``optimizers``, an empty store and one that holds them all; returns the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_jobs(some_runs(optimizers))
        write_models(optimizers)
        for database in (EMPTY, DATABASE):
            copy_empty_store(database)
        track()
    return folder


def copy_tracked(source: Path, target: Path) -> None:
    """Copy a folder from :func:`write_tracked`; the copy's store has its own artifacts."""
    shutil.copytree(source / "results", target / "results", ignore=shutil.ignore_patterns("*.db*"))
    copy_database(source / DATABASE, target / DATABASE)
    with contextlib.closing(sqlite3.connect(target / DATABASE)) as database, database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
        ):
            replaced = f"replace({column}, '{source.resolve().as_uri()}', '{target.resolve().as_uri()}')"
            database.execute(f"UPDATE {table} SET {column} = {replaced}")
