"""The best final models among MLflow's logged models."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.tracking import MlflowClient

from descentlab.experiment.plan import TrainingPlan
from descentlab.tracking.entry import DIGEST, NOTE, RUN_ID
from descentlab.tracking.store import store_uri
from descentlab.training.best_model import best_final_run
from support.tracked_jobs import (
    PROBLEM,
    RESULTS,
    some_runs,
    track,
    write_jobs,
    write_models,
)


@pytest.fixture
def client(tracked: None) -> MlflowClient:
    """A client of a store in which the runs of two optimizers are tracked, with their models."""
    return MlflowClient(store_uri(None))


def experiment(client: MlflowClient) -> str:
    experiment = client.get_experiment_by_name("generated")
    assert experiment is not None
    return str(experiment.experiment_id)


def models(client: MlflowClient) -> dict[str, LoggedModel]:
    """The logged models by name; a duplicate fails."""
    logged = list(client.search_logged_models([experiment(client)]))
    by_name = {model.name: model for model in logged}
    assert len(by_name) == len(logged)
    return by_name


def runs_by_key(client: MlflowClient) -> dict[str, str]:
    return {run.data.tags[RUN_ID]: run.info.run_id for run in client.search_runs([experiment(client)], max_results=500)}


def test_each_parent_has_the_model_of_its_best_run(client: MlflowClient) -> None:
    logged, ids, runs = models(client), runs_by_key(client), some_runs()
    assert set(logged) == {"up-adam", "up-momentum"}
    for name, model in logged.items():
        optimizer = name.removeprefix("up-")
        best = best_final_run(runs[runs["optimizer"] == optimizer], "tuned")
        assert best is not None
        assert model.source_run_id == ids[f"up.{optimizer}"]
        assert f"/runs/{ids[best]}?" in model.tags[NOTE]
        assert model.status == LoggedModelStatus.READY
        run = client.get_run(ids[best])
        assert {metric.key: metric.value for metric in model.metrics or ()} == {
            metric: run.data.metrics[metric] for metric in ("val_loss", "val_accuracy", "test_loss", "test_accuracy")
        }
        assert {(metric.dataset_name, metric.dataset_digest) for metric in model.metrics or ()} == {("up", "d" * 36)}
        assert model.params == {
            "learning_rate": "0.01",
            "schedule": "linear",
            "batch_size": "8",
            "seed": model.tags["seed"],
        }
        for key in (best, f"up.{optimizer}"):
            outputs = client.get_run(ids[key]).outputs
            assert [output.model_id for output in outputs.model_outputs] == [model.model_id]
        folder = Path(model.artifact_location.removeprefix("file://"))
        assert (folder / "data/model.keras").read_text() == f"the model of {optimizer}"
        assert json.loads((folder / "MLmodel").read_text())["run_id"] == ids[best]


def test_logging_a_model_adds_nothing_to_its_run(client: MlflowClient) -> None:
    with sqlite3.connect("results/mlflow.db") as database:
        twice = "SELECT run_uuid, key, step FROM metrics GROUP BY run_uuid, key, step HAVING count(*) > 1"
        assert database.execute(twice).fetchall() == []
    ids, runs = runs_by_key(client), some_runs()
    for optimizer in ("adam", "momentum"):
        best = best_final_run(runs[runs["optimizer"] == optimizer], "tuned")
        for key in (best, f"up.{optimizer}"):
            run = client.get_run(ids[str(key)])
            assert run.info.status == "FINISHED"
            assert run.data.tags[DIGEST]


def test_another_training_of_the_best_run_replaces_its_model(client: MlflowClient) -> None:
    before = {name: model.model_id for name, model in models(client).items()}
    runs = some_runs()
    runs.loc[runs["run_id"] == best_final_run(runs[runs["optimizer"] == "adam"], "tuned"), "digest"] = "f" * 64
    write_jobs(runs)
    track()
    after = models(client)
    assert after["up-adam"].model_id != before["up-adam"]
    assert after["up-momentum"].model_id == before["up-momentum"]


def test_a_model_whose_logging_was_cut_off_is_removed(client: MlflowClient) -> None:
    whole = models(client)["up-adam"]
    client.create_logged_model(experiment(client), "up-adam", whole.source_run_id, whole.tags)
    track()
    assert models(client)["up-adam"].model_id == whole.model_id


def test_a_model_whose_optimizer_left_the_plan_leaves_the_store(client: MlflowClient) -> None:
    write_jobs(some_runs(("adam",)))
    track()
    assert set(models(client)) == {"up-adam"}


def test_models_of_jobs_that_have_not_ended_are_left_alone(client: MlflowClient) -> None:
    before = models(client)["up-adam"].model_id
    write_jobs(some_runs(), jobs=2)
    (RESULTS / "train" / PROBLEM / "1.history.parquet").unlink()  # adam's
    track()
    after = models(client)
    assert set(after) == {"up-adam", "up-momentum"}
    assert after["up-adam"].model_id == before


@pytest.mark.usefixtures("empty_store")
def test_without_a_file_there_is_no_model() -> None:
    write_jobs(some_runs())
    write_models(("adam",))
    track()
    assert set(models(MlflowClient(store_uri(None)))) == {"up-adam"}


def test_a_loaded_model_has_the_test_metric_that_is_logged_of_it(
    finished_workflow: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    from descentlab.training.find_problem import planned_problem

    problem = planned_problem(TrainingPlan.read(finished_workflow / "results/test"), "mlp", device)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished_workflow}/results/mlflow.db")
    client = MlflowClient()
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    logged = client.search_logged_models([experiment.experiment_id], "tags.problem = 'mlp'")
    assert {model.name for model in logged} == {"mlp-sgd", "mlp-momentum", "mlp-adam"}
    for model in logged:
        test = problem.split(int(model.params["seed"])).test
        scores = mlflow.keras.load_model(f"models:/{model.model_id}").predict(problem.data.x[test], verbose=0)
        accuracy = np.mean(scores.argmax(axis=1) == problem.data.y[test])
        (metric,) = [metric.value for metric in model.metrics or () if metric.key == "test_accuracy"]
        assert accuracy == pytest.approx(metric, abs=1e-6)
