"""An experiment's tracking store against its files, value by value."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from descentlab.experiment.records import HISTORY, RUNS
from descentlab.problems.splits import SPLITS
from descentlab.storage.tables import read_table
from descentlab.tracking.entry import PARENT, RUN_ID, TRAINING

PARAMS = ["problem", "optimizer", "arm", "phase", "schedule", "batch_size", "seed"]
TAGS = ["problem", "optimizer", "arm", "phase", "seed", "status", "mode", "device", "init_hash", "split_hash"]
METRICS = ["best_epoch", "updates", "examples", "train_seconds", "evaluation_seconds", "compile_seconds"]


def assert_store_holds(uri: str, results: Path) -> int:
    """The store has exactly the runs of ``results``, each with its parameters, tags, metrics and, where final, curves.

    Returns:
        How many values of metrics were compared, those of curves among them.
    """
    client = MlflowClient(uri)
    runs = read_table(results / "runs.parquet", RUNS)
    history = dict(iter(read_table(results / "history.parquet", HISTORY).groupby("run_id")))
    experiment = client.get_experiment_by_name(results.name)
    assert experiment is not None
    found = list(client.search_runs([experiment.experiment_id], max_results=5000))
    stored = {run.data.tags[RUN_ID]: run for run in found}
    assert len(stored) == len(found)
    parents = {f"{problem}.{optimizer}" for problem, optimizer in zip(runs["problem"], runs["optimizer"], strict=True)}
    assert set(stored) == {*runs["run_id"], *parents, "report"}
    compared = 0
    for row in runs.to_dict("records"):
        run = stored[row["run_id"]]
        assert {name: run.data.params[name] for name in PARAMS} == {name: str(row[name]) for name in PARAMS}
        assert {name: run.data.tags[name] for name in TAGS} == {name: str(row[name]) for name in TAGS}
        assert run.data.tags[TRAINING] == row["digest"]
        assert run.data.tags[PARENT] == stored[f"{row['problem']}.{row['optimizer']}"].info.run_id
        assert run.info.status == ("FINISHED" if row["status"] == "finished" else "FAILED")
        assert run.info.start_time == int(row["started_at"] * 1000)
        compared += _assert_metrics(run, row)
        if row["phase"] == "final":
            compared += _assert_curves(client, run, row, history[row["run_id"]])
    return compared


def _assert_metrics(run: Run, row: dict[str, Any]) -> int:
    metric = row["metric"].replace(" ", "_")
    names = {name: name for name in METRICS}
    for split in SPLITS:
        for moment in ("", "best_"):
            names[f"{moment}{split}_loss"] = f"{moment}{split}_loss"
            names[f"{moment}{split}_metric"] = f"{moment}{split}_{metric}"
    expected = {stored: row[name] for name, stored in names.items() if math.isfinite(row[name])}
    assert {name: value for name, value in run.data.metrics.items() if name in names.values()} == expected
    return len(expected)


def _assert_curves(client: MlflowClient, run: Run, row: dict[str, Any], history: pd.DataFrame) -> int:
    metric = row["metric"].replace(" ", "_")
    names = {f"{split}_loss": f"{split}_loss" for split in SPLITS}
    names |= {f"{split}_metric": f"{split}_{metric}" for split in SPLITS}
    compared = 0
    for name, stored in names.items():
        points = zip(history["updates"], history[name], strict=True)
        expected = {step: value for step, value in points if math.isfinite(value)}
        logged = client.get_metric_history(run.info.run_id, f"curve/{stored}") if expected else []
        assert [(point.step, point.value) for point in logged] == list(expected.items()), f"{row['run_id']}: {name}"
        compared += len(expected)
    return compared
