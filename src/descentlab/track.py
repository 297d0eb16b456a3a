"""Histories into MLflow: one MLflow run for each run, exactly once, however often it is called.

The files are the record, MLflow is a view of them. A run is known by the tag ``descentlab.run_id``; it is complete when
``descentlab.digest`` equals the digest in the files, which is written last. Time stamps come from the files, so logging
the same value again adds no row.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from descentlab.compare import find_targets
from descentlab.records import HISTORY, RUNS, SPLITS, read_table
from descentlab.stats import t_interval, updates_to_target

DATABASE = Path("results/mlflow.db")
ARTIFACTS = Path("results/mlflow-artifacts")
MOST_METRICS = 1000  # MLflow's limits for one batch
RUN_ID, DIGEST, KIND = "descentlab.run_id", "descentlab.digest", "descentlab.kind"
FOLLOW_SECONDS = 5.0


class TrackError(RuntimeError):
    """MLflow could not be reached or would not take what was logged; the files are untouched."""


@dataclass(frozen=True)
class TrackSummary:
    """What one call did with a problem's runs."""

    problem: str
    known: int
    logged: int
    removed: int

    def __str__(self) -> str:
        return (
            f"{self.problem}: {self.logged} runs logged, {self.known} known before, {self.removed} outdated or double "
            "ones removed"
        )


def store_uri(uri: str | None) -> str:
    """The tracking store: the config's, else MLFLOW_TRACKING_URI, else the database in results."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE}"


@contextlib.contextmanager
def open_store(uri: str | None) -> Iterator[MlflowClient]:
    """A client, with a lock against other writers of this machine where the store is a database file.

    Raises:
        TrackError: in one line, whatever MLflow raised.
    """
    where = store_uri(uri)
    try:
        with contextlib.ExitStack() as stack:
            if where.startswith("sqlite:///"):
                path = Path(where.removeprefix("sqlite:///"))
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(path.with_name(f".{path.name}.lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield MlflowClient(where)
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise TrackError(
            f"MLflow at {where} must take what is logged; it answered {type(error).__name__}: {reason[:300]}. Results "
            "are safe in their files: track again when it is back"
        ) from error


def create_store(uri: str | None) -> None:
    """Create the database with its schema, readable while it is written to (WAL); a server is left alone."""
    where = store_uri(uri)
    with open_store(uri) as client:
        client.search_experiments(max_results=1)
        if where.startswith("sqlite:///"):
            with contextlib.closing(sqlite3.connect(where.removeprefix("sqlite:///"))) as database:
                database.execute("PRAGMA journal_mode=WAL")


def find_experiment(client: MlflowClient, uri: str | None, plan: dict[str, Any]) -> str:
    """The id of the experiment, made with its description where it is new."""
    name = plan["config"]["experiment"]
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # A server decides itself where artifacts go.
    location = None if store_uri(uri).startswith("http") else (ARTIFACTS / name).resolve().as_uri()
    return client.create_experiment(name, location, tags={"mlflow.note.content": describe_experiment(plan)})


def describe_experiment(plan: dict[str, Any]) -> str:
    """What a stranger reads above the list of runs."""
    problems = ", ".join(plan["problems"])
    return (
        f"**descentlab**: which optimizer should a model be trained with? Experiment `{plan['config']['experiment']}` "
        f"on {problems}.\n\n"
        "- One parent run for each problem and optimizer, named `problem / optimizer`: means over final seeds with the "
        "ends of their 95 % intervals. Its children are the single trainings.\n"
        "- Group or filter by the tags `problem`, `optimizer`, `arm` (default or tuned), `phase` (tuning, final, "
        "neighbour), `seed`, `status`. For example: `tags.phase = 'final' and tags.arm = 'tuned' and tags.problem = "
        f"'{next(iter(plan['problems']))}'`.\n"
        "- Curves have updates as steps; `epoch`, `examples` and `train_seconds` are metrics to plot against.\n"
        f"- The report is an artifact of the run with the tag `{KIND} = 'report'`."
    )


def track_problem(results: Path, problem: str, uri: str | None, tuning_curves: bool = False) -> TrackSummary:
    """Log the runs of a problem that the store lacks.

    Args:
        results: ``results/<experiment>``, with its plan.json and the problem's tables.
        problem: name in the config.
        uri: store; None for the default (:func:`store_uri`).
        tuning_curves: log the curves of tuning runs too, not only their final values.

    Raises:
        TrackError: the store is away.
    """
    plan = json.loads((results / "plan.json").read_text(encoding="utf-8"))
    # A job writes its history last.
    histories = sorted((results / "train" / problem).glob("*.history.parquet"))
    if not histories:
        return TrackSummary(problem, 0, 0, 0)
    jobs = [path.with_name(path.name.replace(".history.", ".runs.")) for path in histories]
    runs = pd.concat([read_table(path, RUNS) for path in jobs], ignore_index=True)
    history = pd.concat([read_table(path, HISTORY) for path in histories], ignore_index=True)
    curves = {str(run_id): curve for run_id, curve in history.groupby("run_id", sort=False)}
    finals = runs[runs["phase"] == "final"]
    targets = find_targets(finals, history, plan["config"]["report"]["reference"])
    with open_store(uri) as client:
        experiment = find_experiment(client, uri, plan)
        existing, removed = existing_runs(client, experiment, problem)
        parents = {
            str(optimizer): upsert_parent(client, experiment, plan, problem, str(optimizer), group, existing)
            for optimizer, group in runs.groupby("optimizer", sort=False)
        }
        known = 0
        for row in runs.to_dict("records"):
            found = existing.get(row["run_id"])
            if found is not None and found.data.tags.get(DIGEST) == row["digest"]:
                known += 1
                continue
            if found is not None and found.data.tags.get("descentlab.started") != row["digest"]:
                client.delete_run(found.info.run_id)  # parameters can't be changed: another training, another run
                removed += 1
                found = None
            with_curve = row["phase"] == "final" or (row["phase"] == "tuning" and tuning_curves)
            log_run(
                client, experiment, plan, row, curves[row["run_id"]], targets, parents[row["optimizer"]],
                found.info.run_id if found else None, with_curve,
            )  # fmt: skip
    return TrackSummary(problem, known, len(runs) - known, removed)


def existing_runs(client: MlflowClient, experiment: str, problem: str) -> tuple[dict[str, Run], int]:
    """The problem's runs in the store by our id; of doubles the oldest is kept, the others are deleted."""
    found: dict[str, Run] = {}
    doubles, token = 0, None
    while True:
        page = client.search_runs(
            [experiment], f"tags.problem = '{problem}'", max_results=1000, page_token=token,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )  # fmt: skip
        for run in page:
            key = run.data.tags.get(RUN_ID)
            if key is None:
                continue
            if key in found:
                client.delete_run(run.info.run_id)
                doubles += 1
            else:
                found[key] = run
        token = page.token
        if not token:
            return found, doubles


def metric_name(name: str) -> str:
    """A metric's name as MLflow takes it."""
    return name.replace(" ", "_")


def finite_metrics(values: dict[str, float], timestamp: int, step: int) -> list[Metric]:
    """Metrics of what is a finite number: infinity would be stored as a huge one."""
    return [
        Metric(name, float(value), timestamp, step)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    ]


def curve_metrics(row: dict[str, Any], curve: pd.DataFrame) -> list[Metric]:
    """Every evaluation of a run, updates as steps; losses, metric, rate, and the other axes."""
    began = row["started_at"] * 1000
    metric = metric_name(row["metric"])
    names = {f"{split}_metric": f"{split}_{metric}" for split in SPLITS}
    columns = [c for c in curve.columns if c not in ("run_id", "updates")]
    metrics = []
    for at in curve.to_dict("records"):
        values = {f"curve/{names.get(column, column)}": at[column] for column in columns}
        metrics += finite_metrics(values, int(began + at["train_seconds"] * 1000), int(at["updates"]))
    return metrics


def summary_metrics(row: dict[str, Any], curve: pd.DataFrame, targets: dict[str, float]) -> dict[str, float]:
    """What the list of runs shows: the end, the best validation epoch, the time to each target."""
    metric = metric_name(row["metric"])
    values: dict[str, float] = {}
    for prefix in ("", "best_"):
        for split in SPLITS:
            values[f"{prefix}{split}_loss"] = row[f"{prefix}{split}_loss"]
            values[f"{prefix}{split}_{metric}"] = row[f"{prefix}{split}_metric"]
    values["generalization_gap"] = row["test_loss"] - row["train_loss"]
    values["optimum_gap"] = row["train_loss"] + row["penalty"] - row["optimum"]
    for name in ("best_epoch", "updates", "examples", "train_seconds", "evaluation_seconds", "compile_seconds"):
        values[name] = row[name]
    for name, target in targets.items():
        reached = updates_to_target(curve["updates"].to_numpy(), curve["val_loss"].to_numpy(), target)
        values[f"updates_to_target_{name}"] = reached if row["status"] == "finished" else math.inf
    return values


def log_run(
    client: MlflowClient,
    experiment: str,
    plan: dict[str, Any],
    row: dict[str, Any],
    curve: pd.DataFrame,
    targets: dict[str, float],
    parent: str,
    mlflow_id: str | None,
    with_curve: bool,
) -> None:
    """Log one run, or complete one that was begun; the digest goes last."""
    began = int(row["started_at"] * 1000)
    ended = int(began + (row["train_seconds"] + row["evaluation_seconds"]) * 1000)
    labels = {name: str(row[name]) for name in ("problem", "optimizer", "arm", "phase", "seed", "status")}
    rate = row["learning_rate"]
    labels["learning_rate"] = f"{rate:g}" if math.isfinite(rate) else "none"
    if mlflow_id is None:
        name = f"{row['optimizer']} {row['arm']} {row['phase']} lr={labels['learning_rate']} seed={row['seed']}"
        tags = {
            **labels, RUN_ID: row["run_id"], "descentlab.started": row["digest"], "mlflow.parentRunId": parent,
            "mode": row["mode"], "device": row["device"], "init_hash": row["init_hash"], "message": row["message"],
            "mlflow.source.name": "descentlab", "mlflow.source.git.commit": plan["versions"]["git_commit"],
        }  # fmt: skip
        mlflow_id = client.create_run(experiment, began, {k: v for k, v in tags.items() if v}, name).info.run_id
    hyperparameters = plan["optimizers"][row["optimizer"]]["hyperparameters"].get(row["arm"], {})
    params = {
        **{name: row[name] for name in ("problem", "optimizer", "arm", "phase", "schedule", "batch_size", "seed")},
        "learning_rate": labels["learning_rate"],
        **{f"hyperparameter.{name}": value for name, value in hyperparameters.items()},
    }
    metrics = finite_metrics(summary_metrics(row, curve, targets), ended, int(row["updates"]))
    metrics += curve_metrics(row, curve) if with_curve else []
    if row["phase"] == "final":
        about = Dataset(row["problem"], row["data_hash"][:36], "code", json.dumps({"problem": row["problem"]}))
        client.log_inputs(mlflow_id, [DatasetInput(about, [InputTag("mlflow.data.context", "train, val, test")])])
    log_metrics(client, mlflow_id, metrics, [Param(name, str(value)) for name, value in params.items()])
    client.set_terminated(mlflow_id, "FINISHED" if row["status"] == "finished" else "FAILED", ended)
    client.set_tag(mlflow_id, DIGEST, row["digest"])


def log_metrics(client: MlflowClient, mlflow_id: str, metrics: list[Metric], params: list[Param]) -> None:
    """All metrics in as few batches as MLflow takes, the parameters with the first."""
    client.log_batch(mlflow_id, metrics[:MOST_METRICS], params)
    for begin in range(MOST_METRICS, len(metrics), MOST_METRICS):
        client.log_batch(mlflow_id, metrics[begin : begin + MOST_METRICS])


def upsert_parent(
    client: MlflowClient,
    experiment: str,
    plan: dict[str, Any],
    problem: str,
    optimizer: str,
    runs: pd.DataFrame,
    existing: dict[str, Run],
) -> str:
    """The parent run of (problem, optimizer) with means over final seeds; returns MLflow's id of it."""
    key = f"{problem}.{optimizer}"
    latest = int(runs["started_at"].max() * 1000)
    state = str(hash_of(runs["digest"]))
    found = existing.get(key)
    if found is None:
        about = plan["problems"][problem]
        layers = pd.DataFrame(about["layers"]).to_string(index=False)
        tags = {
            RUN_ID: key, KIND: "parent", "problem": problem, "optimizer": optimizer,
            "mlflow.source.name": "descentlab",
            "mlflow.note.content": f"{about['title']} with {optimizer} ({plan['optimizers'][optimizer]['paper']}): means "
            "over final seeds; the single runs are its children.\n\n"
            f"```\n{layers}\n\n{about['parameters']:,} parameters\n```",
        }  # fmt: skip
        began = int(runs["started_at"].min() * 1000)
        mlflow_id = str(client.create_run(experiment, began, tags, f"{problem} / {optimizer}").info.run_id)
        client.log_text(mlflow_id, f"{layers}\n{about['parameters']:,} parameters\n", "model.txt")
    elif found.data.tags.get(DIGEST) == state:
        return str(found.info.run_id)
    else:
        mlflow_id = str(found.info.run_id)
    values: dict[str, float] = {}
    finals = runs[runs["phase"] == "final"]
    for arm, group in finals.groupby("arm", sort=False):
        finished = group[group["status"] == "finished"]
        metric = metric_name(str(group["metric"].iloc[0]))
        for column, label in (("test_metric", f"test_{metric}"), ("val_metric", f"val_{metric}"), ("test_loss",) * 2):
            mean = t_interval(finished[column].to_numpy())
            parts = {"mean": mean.mean, "low": mean.low, "high": mean.high}
            values |= {f"{arm}/{label}_{part}": value for part, value in parts.items()}
        values |= {f"{arm}/n": float(len(finished)), f"{arm}/n_diverged": float((group["status"] == "diverged").sum())}
        values[f"{arm}/learning_rate"] = float(group["learning_rate"].iloc[0])
    client.log_batch(mlflow_id, finite_metrics(values, latest, 0))
    client.set_terminated(mlflow_id, "FINISHED", latest)
    client.set_tag(mlflow_id, DIGEST, state)
    return mlflow_id


def hash_of(digests: pd.Series) -> str:
    """One digest for a set of runs, whatever their order."""
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def track_report(results: Path, report: Path, uri: str | None) -> None:
    """The report, its figures and its tables as artifacts of the experiment's one report run.

    Args:
        results: ``results/<experiment>``.
        report: the HTML file.

    Raises:
        TrackError: the store is away.
    """
    plan = json.loads((results / "plan.json").read_text(encoding="utf-8"))
    with open_store(uri) as client:
        experiment = find_experiment(client, uri, plan)
        found = client.search_runs([experiment], f"tags.`{KIND}` = 'report'", order_by=["attributes.start_time ASC"])
        for double in found[1:]:
            client.delete_run(double.info.run_id)
        if found:
            mlflow_id = found[0].info.run_id
        else:
            tags = {KIND: "report", RUN_ID: "report", "mlflow.source.name": "descentlab"}
            tags["mlflow.note.content"] = "The report: open `index.html` under Artifacts."
            mlflow_id = client.create_run(experiment, None, tags, "report").info.run_id
        client.log_artifact(mlflow_id, str(report))
        figures = results / "figures"
        if figures.is_dir():
            client.log_artifacts(mlflow_id, str(figures), "figures")
        with tempfile.TemporaryDirectory() as folder:
            for path in sorted((results / "comparison").glob("*.parquet")):
                pd.read_parquet(path).to_csv(Path(folder, f"{path.stem}.csv"), index=False)
            client.log_artifacts(mlflow_id, folder, "tables")
        client.set_terminated(mlflow_id, "FINISHED")


def follow(results: Path, uri: str | None, tuning_curves: bool = False) -> None:
    """Track again whenever a job has finished, until all have."""
    seen: set[Path] = set()
    while True:
        plan = json.loads((results / "plan.json").read_text(encoding="utf-8"))
        for problem in plan["problems"]:
            done = set((results / "train" / problem).glob("*.history.parquet"))
            if done - seen:
                print(track_problem(results, problem, uri, tuning_curves), flush=True)
                seen |= done
        if len(seen) == sum(map(len, plan["jobs"].values())):
            return
        time.sleep(FOLLOW_SECONDS)
