"""The store against the files: every value, each run exactly once, whatever happened before."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.entities import Metric, Run
from mlflow.tracking import MlflowClient

from descentlab.experiment.plan import TrainingPlan
from descentlab.tracking.entry import DIGEST, PARENT, RUN_ID
from descentlab.tracking.store import store_uri
from descentlab.tracking.track import TrackError, create_store, follow, track_report
from support.comparison_fixture import generated_history
from support.logged_experiment import new_store
from support.tracked_jobs import DATABASE, RESULTS, some_runs, track, write_jobs

pytestmark = pytest.mark.usefixtures("own_folder")
tracked = pytest.mark.usefixtures("tracked")


def client() -> MlflowClient:
    return MlflowClient(store_uri(None))


def logged() -> dict[str, Run]:
    """Every active run of the experiment by our id; a double fails."""
    experiment = client().get_experiment_by_name("generated")
    assert experiment is not None
    runs = list(client().search_runs([experiment.experiment_id], max_results=5000))
    by_key = {run.data.tags[RUN_ID]: run for run in runs}
    assert len(by_key) == len(runs)
    return by_key


def dump() -> list[str]:
    """Everything in the database."""
    with contextlib.closing(sqlite3.connect(DATABASE)) as database:
        return list(database.iterdump())


def curves_of(run: Run) -> dict[str, dict[int, float]]:
    names = [name for name in run.data.metrics if name.startswith("curve/")]
    return {
        name.removeprefix("curve/"): {m.step: m.value for m in client().get_metric_history(run.info.run_id, name)}
        for name in names
    }


@pytest.mark.usefixtures("empty_store")
def test_the_store_holds_what_the_files_hold_and_nothing_else() -> None:
    runs = some_runs()
    write_jobs(runs)
    summary = track()
    assert (summary.logged, summary.known, summary.removed) == (len(runs), 0, 0)
    tracked_runs = logged()
    assert set(tracked_runs) == {*runs["run_id"], "up.adam", "up.momentum"}
    history = generated_history(runs)
    for row in runs.to_dict("records"):
        run = tracked_runs[row["run_id"]]
        expected = {
            name: str(row[name]) for name in ("problem", "optimizer", "arm", "phase", "schedule", "batch_size", "seed")
        }
        assert run.data.params == {**expected, "learning_rate": f"{row['learning_rate']:g}"}
        assert run.info.status == ("FINISHED" if row["status"] == "finished" else "FAILED")
        assert run.data.tags["status"] == row["status"]
        assert run.data.tags[PARENT] == tracked_runs[f"up.{row['optimizer']}"].info.run_id
        check_metrics(run, row, history[history["run_id"] == row["run_id"]])


def check_metrics(run: Run, row: dict[str, Any], curve: pd.DataFrame) -> None:
    """All of a run's metrics, both ways."""
    ends = {name: value for name, value in run.data.metrics.items() if not name.startswith("curve/")}
    for name, value in ends.items():
        if name in row:
            assert value == row[name], name
    copied = {name: row[name] for name in row if name.endswith(("_loss", "_seconds")) or name == "best_epoch"}
    assert {name for name, value in copied.items() if math.isfinite(value)} <= set(ends)
    for prefix in ("", "best_"):
        for split in ("train", "val", "test"):
            value = row[f"{prefix}{split}_metric"]
            assert ends.get(f"{prefix}{split}_accuracy", math.nan) == pytest.approx(value, nan_ok=True)
    gap = row["test_loss"] - row["train_loss"]
    assert ends.get("generalization_gap", math.nan) == pytest.approx(
        gap if math.isfinite(gap) else math.nan, nan_ok=True
    )
    assert all(abs(value) < 1e300 for value in run.data.metrics.values())
    curves = curves_of(run)
    if row["phase"] != "final":
        assert curves == {}
        return
    renamed = curve.rename(columns={f"{split}_metric": f"{split}_accuracy" for split in ("train", "val", "test")})
    changing = [name for name in ("penalty", "learning_rate") if renamed[name].nunique() > 1]
    names = [name for name in renamed.columns if name.endswith(("_loss", "_accuracy"))] + changing
    assert names[:2] == ["train_loss", "train_accuracy"]
    assert set(curves) == set(names)
    for name in names:
        expected = dict(zip(renamed["updates"], renamed[name], strict=True))
        assert curves[name] == {step: value for step, value in expected.items() if math.isfinite(value)}


@tracked
def test_tracking_again_changes_nothing() -> None:
    before = dump()
    again = track()
    assert (again.logged, again.known, again.removed) == (0, len(some_runs()), 0)
    assert dump() == before


@pytest.mark.usefixtures("empty_store")
def test_a_new_run_adds_only_itself() -> None:
    runs = some_runs()
    write_jobs(runs.iloc[:-1])
    track()
    before = {key: run.info.run_id for key, run in logged().items()}
    write_jobs(runs)
    assert track().logged == 1
    after = {key: run.info.run_id for key, run in logged().items()}
    assert set(after) - set(before) == {runs["run_id"].iloc[-1]}
    assert {key: after[key] for key in runs["run_id"].iloc[:-1]} == {
        key: before[key] for key in runs["run_id"].iloc[:-1]
    }


@tracked
def test_another_training_replaces_the_run() -> None:
    runs = some_runs()
    changed = runs["run_id"].iloc[0]
    old = logged()[changed].info.run_id
    runs.loc[0, ["digest", "val_loss"]] = ["f" * 64, 0.125]
    write_jobs(runs)
    summary = track()
    assert (summary.logged, summary.removed) == (1, 1)
    run = logged()[changed]
    assert run.info.run_id != old
    assert run.data.metrics["val_loss"] == 0.125


@tracked
def test_a_run_that_left_the_plan_leaves_the_store() -> None:
    runs = some_runs()
    write_jobs(runs.iloc[1:])
    assert track().removed == 1
    assert runs["run_id"].iloc[0] not in logged()


@tracked
def test_a_duplicate_is_removed() -> None:
    runs = some_runs()
    original = logged()[runs["run_id"].iloc[0]]
    tags = {k: v for k, v in original.data.tags.items() if k != DIGEST}
    later = original.info.start_time + 5
    client().create_run(original.info.experiment_id, later, tags, original.info.run_name)
    assert track().removed == 1
    assert logged()[runs["run_id"].iloc[0]].info.run_id == original.info.run_id


@tracked
def test_a_run_that_was_cut_off_is_completed() -> None:
    runs = some_runs()
    key = runs[runs["phase"] == "final"]["run_id"].iloc[-1]
    whole = logged()[key]
    history = {name: client().get_metric_history(whole.info.run_id, name) for name in whole.data.metrics}
    client().delete_run(whole.info.run_id)
    tags = {k: v for k, v in whole.data.tags.items() if k not in (DIGEST, PARENT)}
    begun = client().create_run(whole.info.experiment_id, whole.info.start_time, tags, whole.info.run_name).info.run_id
    first = history["curve/val_loss"][0]
    client().log_batch(begun, [Metric(first.key, first.value, first.timestamp, first.step)])
    assert track().logged == 1
    completed = logged()[key]
    assert completed.info.run_id == begun
    assert completed.data.metrics == whole.data.metrics
    for name, values in history.items():
        got = client().get_metric_history(begun, name)
        assert [(m.value, m.timestamp, m.step) for m in got] == [(m.value, m.timestamp, m.step) for m in values]


@pytest.mark.usefixtures("empty_store")
def test_curves_of_tuning_runs_are_logged_when_asked_for() -> None:
    runs = some_runs()
    write_jobs(runs)
    track(tuning_curves=True)
    trainings = [run.data for run in logged().values() if "phase" in run.data.tags]
    with_curve = [data for data in trainings if any(name.startswith("curve/") for name in data.metrics)]
    assert {data.tags["phase"] for data in with_curve} == {"tuning", "final"}


@pytest.mark.usefixtures("empty_store")
def test_jobs_are_followed_until_all_have_ended() -> None:
    runs = some_runs()
    write_jobs(runs, jobs=2)
    follow(TrainingPlan.read(RESULTS), RESULTS, None)
    assert set(runs["run_id"]) <= set(logged())


def test_a_store_is_created_once_without_mlflows_empty_experiment_and_can_be_read_while_it_is_written() -> None:
    create_store(None)
    with contextlib.closing(sqlite3.connect(DATABASE)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert client().search_experiments() == []
    before = dump()
    create_store(None)
    assert dump() == before


def test_a_store_that_mlflow_created_keeps_its_empty_experiment() -> None:
    uri = new_store(Path.cwd())
    create_store(uri)
    assert [experiment.name for experiment in MlflowClient(uri).search_experiments()] == ["Default"]


@pytest.mark.usefixtures("empty_store")
def test_there_is_one_report_with_the_newest_files() -> None:
    write_jobs(some_runs())
    (RESULTS / "figures").mkdir()
    (RESULTS / "figures/old.svg").write_text("<svg/>")
    (RESULTS / "comparison").mkdir()
    report = Path("index.html")
    report.write_text("first")
    track_report(TrainingPlan.read(RESULTS), RESULTS, report, None)
    (RESULTS / "figures/old.svg").rename(RESULTS / "figures/new.svg")
    report.write_text("second")
    track_report(TrainingPlan.read(RESULTS), RESULTS, report, None)
    run = logged()["report"]
    page = client().download_artifacts(run.info.run_id, "index.html")
    assert Path(page).read_text() == "second"
    assert [a.path for a in client().list_artifacts(run.info.run_id, "figures")] == ["figures/new.svg"]


def test_a_server_that_is_away_is_one_line_and_soon() -> None:
    write_jobs(some_runs())
    begun = time.monotonic()
    with pytest.raises(TrackError) as refused:
        track("http://127.0.0.1:9")
    assert time.monotonic() - begun < 60
    message = str(refused.value)
    assert message.startswith("Logging to MLflow at http://127.0.0.1:9 failed with ")
    assert message.endswith(
        "The results are safe in their files; track again when MLflow works (tracking.uri or MLFLOW_TRACKING_URI sets its "
        "address)"
    )
    assert "\n" not in message
