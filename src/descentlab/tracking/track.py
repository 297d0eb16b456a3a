"""Histories into MLflow: one MLflow run for each run, exactly once, however often it is called.

The files are the record, MLflow is a view of them. This module decides what is logged; :mod:`descentlab.tracking.store`
logs it.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.intervals import reached_after
from descentlab.analysis.targets import find_targets
from descentlab.experiment.jobs import trains_for_speed
from descentlab.experiment.looks import Look, added_tables, extended_problems, look_file
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import BESIDE, HISTORY, RUNS, optimum_gap, rate_from_table
from descentlab.experiment.run_spec import SEALED_PHASES
from descentlab.problems.splits import SPLITS
from descentlab.storage.tables import read_table
from descentlab.tracking.entry import NOTE, RUN_ID, TRAINING, Entry
from descentlab.tracking.experiment_page import experiment_tags
from descentlab.tracking.links import link_artifact
from descentlab.tracking.logged_models import BestModel, put_models
from descentlab.tracking.parent_runs import KIND, SOURCE, data_set, metric_name, parent_entries
from descentlab.tracking.saved_views import OWNED, VIEW_TAG
from descentlab.tracking.sqlite_runs import put_runs
from descentlab.tracking.store import (
    MlflowClient,
    TrackError,
    clear_artifacts,
    create_store,
    database_file,
    find_experiment,
    find_runs,
    open_store,
    set_experiment_tags,
    store_uri,
)
from descentlab.training.best_model import best_final_run
from descentlab.training.job_files import job_table, problem_jobs, speed_job

__all__ = ["TrackError", "TrackSummary", "create_store", "follow", "track_problem", "track_report"]

FOLLOW_SECONDS = 5.0


@dataclass(frozen=True)
class TrackSummary:
    """How many runs of a problem one call found, logged and removed; their parents are not counted."""

    problem: str
    known: int
    logged: int
    removed: int

    def __str__(self) -> str:
        return (
            f"{self.problem}: {self.logged} runs logged, {self.known} already there, {self.removed} outdated or duplicate "
            "runs removed"
        )


def expected_jobs(plan: TrainingPlan, results: Path, problem: str) -> tuple[list[Path], bool]:
    """The paths of a problem's jobs and of its later runs, without suffixes, and whether every look has decided."""
    jobs = problem_jobs(plan, results, problem) + [speed_job(results, problem)] * trains_for_speed(plan.config, problem)
    files = [look_file(results, number) for number in range(1, len(plan.config.seeds.looks))]
    looks = [Look.read(file) for file in files if file.exists()]
    jobs += [added_tables(results, problem, look.number) for look in looks if problem in extended_problems(look)]
    return jobs, len(looks) == len(files)


def has_ended(job: Path) -> bool:
    """Whether a job has written its history, which it writes last."""
    return job_table(job, "history").exists()


def track_problem(
    plan: TrainingPlan, results: Path, problem: str, uri: str | None, tuning_curves: bool = False
) -> TrackSummary:
    """Make the store hold the runs of a problem, as the files of its finished jobs have them, and no others.

    Args:
        results: ``results/<experiment>``, with the problem's tables.
        problem: name in the config.
        uri: store; None for MLFLOW_TRACKING_URI, or results/mlflow.db.
        tuning_curves: log the curves of tuning runs too, not only their final values.

    Raises:
        TrackError: the store can't be reached or refuses the runs.
    """
    expected, _ = expected_jobs(plan, results, problem)
    ended = [job for job in expected if has_ended(job)]
    if not ended:
        return TrackSummary(problem, 0, 0, 0)
    whole = len(ended) == len(expected)
    runs, history, beside = (
        pd.concat(
            [read_table(job_table(job, name), columns) for job in ended],
            ignore_index=True,
        )
        for name, columns in (("runs", RUNS), ("history", HISTORY), ("beside", BESIDE))
    )
    curves = curves_by_run(with_beside(history, beside, str(runs["metric"].iloc[0])), runs["run_id"])
    # Of some jobs alone the targets could still change.
    targets = find_targets(plan, runs, history) if whole else {}
    done: Counter[str] = Counter()
    models: list[BestModel] = []
    ours, doubled = f"tags.problem = '{problem}'", 0
    with open_store(uri) as client:
        experiment = find_experiment(client, uri, plan.config.experiment)
        existing, removed = find_runs(client, experiment, ours)
        parents = parent_entries(plan, problem, runs, history, experiment, whole)
        logged = put_runs(client, uri, experiment, [(one, existing.pop(one.key, None)) for one in parents])
        curved = {"final", "tuning"} if tuning_curves else {"final"}
        for parent, (parent_id, _) in zip(parents, logged, strict=True):
            group = runs[runs["optimizer"] == parent.tags["optimizer"]]
            entries = [
                run_entry(plan, row, curves[row["run_id"]], targets, with_curve=row["phase"] in curved)
                for row in group.to_dict("records")
            ]
            put = put_runs(client, uri, experiment, [(one, existing.pop(one.key, None)) for one in entries], parent_id)
            done += Counter(outcome for _, outcome in put)
            ids = {one.key: (one, mlflow_id) for one, (mlflow_id, _) in zip(entries, put, strict=True)}
            best = best_final_run(group, plan.main_arm)
            file = results / "models" / problem / f"{parent.tags['optimizer']}.keras"
            if best is not None and file.exists():
                models.append(BestModel(file, *ids[best], parent_id))
        put_models(client, experiment, problem, models, whole)
        if whole:  # what is left in the store belongs to no run of the plan any more
            for run in existing.values():
                client.delete_run(run.info.run_id)
                removed += run.data.tags.get(KIND) == "run"
        refresh_experiment(client, experiment, plan)
        if database_file(store_uri(uri)) is None:
            # MLflow's client repeats a request that failed or took too long; the server may have carried out both.
            _, doubled = find_runs(client, experiment, ours)
    if doubled:  # the one that was kept may be incomplete
        track_problem(plan, results, problem, uri, tuning_curves)
    removed += done["replaced"] + doubled
    return TrackSummary(problem, done["known"], done["logged"] + done["replaced"], removed)


def refresh_experiment(client: MlflowClient, experiment: str, plan: TrainingPlan) -> None:
    """Bring the experiment's description and views up to date with the runs that the store holds."""
    overviews, _ = find_runs(client, experiment, f"tags.`{KIND}` != 'run'")
    ids = {key: str(run.info.run_id) for key, run in overviews.items()}
    set_experiment_tags(client, experiment, experiment_tags(plan, experiment, ids), owned=VIEW_TAG + OWNED)


def with_beside(history: pd.DataFrame, beside: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The history with a column ``<split>_<name>`` for each value that was recorded beside loss and metric.

    Names that MLflow would take for one, or for that of the loss or of the ``metric``, are numbered.
    """
    if beside.empty:
        return history
    keys: dict[str, str] = {}
    taken = {"loss", "metric", metric_name(metric)}
    for name in beside["name"].unique():
        key = metric_name(name)
        keys[name] = next(
            free for free in (key, *(f"{key}_{n}" for n in range(2, len(taken) + 3))) if free not in taken
        )
        taken.add(keys[name])
    named = beside.assign(column=beside["split"] + "_" + beside["name"].map(keys))
    wide = named.pivot(index=["run_id", "updates"], columns="column", values="value")
    return history.merge(wide.reset_index(), on=["run_id", "updates"], how="left")


def curves_by_run(history: pd.DataFrame, runs: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """The columns of each run's evaluations, shape (evaluations,) each; one table per run would cost more than its rows.

    A run that failed has no evaluations.
    """
    columns = {name: history[name].to_numpy() for name in history.columns.drop("run_id")}
    rows, none = history.groupby("run_id", sort=False).indices, np.empty(0, dtype=np.intp)
    return {run: {name: column[rows.get(run, none)] for name, column in columns.items()} for run in runs}


def curve_columns(row: dict[str, Any], curve: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Losses, metric and rate at every evaluation; ``step`` is updates, the time stamp is training time.

    Epochs and examples are multiples of updates, and seconds are the charts' time axis: as curves of their own they
    would only be a third more points to store. A rate that stays the same is a parameter.
    """
    named = {f"{split}_metric": f"{split}_{metric_name(row['metric'])}" for split in SPLITS}
    left = {"updates", "epoch", "examples", "train_seconds"}
    left |= {name for name in ("penalty", "learning_rate") if len(np.unique(curve[name])) == 1}
    stamps = (row["started_at"] * 1000 + curve["train_seconds"] * 1000).astype(np.int64)
    values = {named.get(name, name): column for name, column in curve.items() if name not in left}
    return {"step": curve["updates"], "timestamp": stamps, **values}


def summary_metrics(row: dict[str, Any], curve: dict[str, np.ndarray], targets: dict[str, float]) -> dict[str, float]:
    """What the list of runs shows: the end, the best validation epoch, the time to each target."""
    metric = metric_name(row["metric"])
    values: dict[str, float] = {}
    for prefix in ("", "best_", "renormalized_"):
        for split in SPLITS:
            values[f"{prefix}{split}_loss"] = row[f"{prefix}{split}_loss"]
            values[f"{prefix}{split}_{metric}"] = row[f"{prefix}{split}_metric"]
    values["generalization_gap"] = row["test_loss"] - row["train_loss"]
    values["optimum_gap"] = optimum_gap(row)
    for name in ("best_epoch", "updates", "examples", "train_seconds", "evaluation_seconds", "compile_seconds"):
        values[name] = row[name]
    values |= {name: column[-1] for name, column in curve.items() if name not in HISTORY and len(column)}
    if row["status"] == "finished":
        for name, target in targets.items():
            values[f"updates_to_target_{name}"] = reached_after(curve["updates"], curve["val_loss"], target)
    return values


def run_entry(
    plan: TrainingPlan,
    row: dict[str, Any],
    curve: dict[str, np.ndarray],
    targets: dict[str, float],
    with_curve: bool,
) -> Entry:
    """One training, from its row of the table of runs and its rows of the history."""
    began = row["started_at"] * 1000
    learning_rate = rate_from_table(row["learning_rate"])
    rate = "none" if learning_rate is None else f"{learning_rate:g}"
    extended = json.loads(row["hyperparameters"] or "{}")
    named = {name: str(row[name]) for name in ("problem", "optimizer", "arm", "phase", "seed")}
    hyperparameters = {**plan.optimizers[row["optimizer"]].hyperparameters.get(row["arm"], {}), **extended}
    return Entry(
        key=row["run_id"],
        name=f"{row['problem']} / {row['optimizer']} / {row['arm']} {row['phase']} lr={rate} seed={row['seed']}",
        began=int(began),
        ended=int(began + (row["train_seconds"] + row["evaluation_seconds"]) * 1000),
        finished=row["status"] == "finished",
        tags={
            **SOURCE,
            **named,
            KIND: "run",
            "status": row["status"],
            "learning_rate": rate,
            "mode": row["mode"],
            "device": row["device"],
            "init_hash": row["init_hash"],
            "split_hash": row["split_hash"],
            "message": row["message"],
            TRAINING: row["digest"],
        },
        params={
            **named,
            "schedule": row["schedule"],
            "batch_size": str(row["batch_size"]),
            "learning_rate": rate,
            **{f"hyperparameter.{name}": str(value) for name, value in hyperparameters.items()},
        },
        metrics=summary_metrics(row, curve, targets),
        step=int(row["updates"]),
        curve=curve_columns(row, curve) if with_curve else None,
        dataset=data_set(plan, row["problem"], SPLITS[:2] if row["phase"] in SEALED_PHASES else SPLITS),
    )


def track_report(plan: TrainingPlan, results: Path, report: Path, uri: str | None) -> None:
    """Log the report, its figures and its tables as artifacts of the experiment's one report run, replacing older ones.

    Args:
        results: ``results/<experiment>``, with comparison/ and figures/.
        report: the HTML file.

    Raises:
        TrackError: the store can't be reached or refuses the runs.
    """
    with open_store(uri) as client:
        experiment = find_experiment(client, uri, plan.config.experiment)
        reports, _ = find_runs(client, experiment, f"tags.`{KIND}` = 'report'")
        if "report" in reports:
            mlflow_id = reports["report"].info.run_id
            clear_artifacts(client, uri, mlflow_id)
        else:
            tags = {**SOURCE, KIND: "report", RUN_ID: "report"}
            mlflow_id = client.create_run(experiment, None, tags, "report").info.run_id
        page = link_artifact(experiment, mlflow_id, report.name)
        client.set_tag(
            mlflow_id, NOTE, f"[Open the report]({page}). Under *Artifacts* are also its figures and tables."
        )
        # Of the report, not of the runs: a run from the cache may be older than the commit that planned it.
        client.set_tag(mlflow_id, "mlflow.source.git.commit", plan.versions["git_commit"])
        client.log_artifact(mlflow_id, str(report))
        if (results / "figures").is_dir():
            client.log_artifacts(mlflow_id, str(results / "figures"), "figures")
        with tempfile.TemporaryDirectory() as folder:
            for path in sorted(
                (results / "comparison").glob("[!.]*.parquet")
            ):  # a partly written file's name begins with a dot
                pd.read_parquet(path).to_csv(Path(folder, f"{path.stem}.csv"), index=False)
            client.log_artifacts(mlflow_id, folder, "tables")
        client.set_terminated(mlflow_id, "FINISHED")
        refresh_experiment(client, experiment, plan)


def follow(plan: TrainingPlan, results: Path, uri: str | None, tuning_curves: bool = False) -> None:
    """Track again whenever a job has ended, until all have.

    Raises:
        TrackError: the store can't be reached or refuses the runs.
    """
    seen: dict[str, int] = {}
    while True:
        ended = []
        for problem in plan.problems:
            expected, decided = expected_jobs(plan, results, problem)
            done = sum(map(has_ended, expected))
            if done > seen.get(problem, 0):
                print(track_problem(plan, results, problem, uri, tuning_curves), flush=True)
                seen[problem] = done
            ended.append(decided and done == len(expected))
        if all(ended):
            return
        time.sleep(FOLLOW_SECONDS)
