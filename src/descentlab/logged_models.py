"""The best final model of each problem and optimizer among MLflow's logged models, linked to the run that trained it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric

from descentlab.mlflow_entry import DIGEST, DataSet, Entry
from descentlab.mlflow_store import MlflowClient
from descentlab.parent_runs import main_arm

MODEL_FILE = "model.keras"


@dataclass(frozen=True)
class BestModel:
    """A ``.keras`` file and what it is of.

    Attributes:
        name: ``problem-optimizer``; MLflow allows no ``/`` in it.
        file: as the job wrote it.
        run: the training that it is from.
        source, parent: MLflow's ids of that run and of its parent.
        metrics: those of the run that the list of models shows.
        data: what the run read.
        tags, params: as text.
    """

    name: str
    file: Path
    run: Entry
    source: str
    parent: str
    metrics: tuple[str, ...]
    data: DataSet
    tags: dict[str, str]
    params: dict[str, str]

    def digest(self) -> str:
        """sha256 of what is logged; the file counts as its run, which decides it."""
        parts = [self.name, self.run.digest(), self.source, self.parent, self.metrics, self.tags, self.params]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def best_final_run(runs: pd.DataFrame) -> dict[str, Any] | None:
    """The run whose model ``train.save_best_model`` keeps: of the main arm's finished runs the best by validation metric.

    Args:
        runs: of one problem and optimizer.
    """
    finals = runs[runs["phase"] == "final"]
    if finals.empty:
        return None
    finished = finals[(finals["arm"] == main_arm(finals)) & (finals["status"] == "finished")]
    sign = 1 if runs["higher_is_better"].iloc[0] else -1
    ordered = finished.assign(goodness=sign * finished["val_metric"]).sort_values(
        ["goodness", "seed"], ascending=[False, True]
    )
    return dict(ordered.iloc[0]) if len(ordered) else None


def put_models(client: MlflowClient, experiment: str, problem: str, models: Iterable[BestModel]) -> None:
    """Make the store hold the models of a problem, each once, and no others of it."""
    found = find_models(client, experiment, problem)
    wanted = {model.digest(): model for model in models}
    for digest, logged in found.items():
        for one in logged[1:] if digest in wanted else logged:
            client.delete_logged_model(one.model_id)
    for digest, model in wanted.items():
        if digest not in found:
            put_model(client, experiment, model, digest)


def find_models(client: MlflowClient, experiment: str, problem: str) -> dict[str, list[LoggedModel]]:
    """The problem's models in the store by digest; those that were begun and not finished have none."""
    found: dict[str, list[LoggedModel]] = {}
    token = None
    while True:
        page = client.search_logged_models([experiment], f"tags.problem = '{problem}'", page_token=token)
        for model in page:
            digest = model.tags.get(DIGEST, "") if model.status == LoggedModelStatus.READY else ""
            found.setdefault(digest, []).append(model)
        token = page.token
        if not token:
            return found


def put_model(client: MlflowClient, experiment: str, model: BestModel, digest: str) -> None:
    """Log a model that the store doesn't have; it is ready when all of it is there."""
    made = client.create_logged_model(
        experiment, model.name, model.source, {**model.tags, DIGEST: digest}, model.params, "keras"
    )
    with tempfile.TemporaryDirectory() as folder:
        write_model_folder(Path(folder), model.file, made.model_id, model.source)
        client.log_model_artifacts(made.model_id, folder)
    values = {name: value for name, value in model.run.metrics.items() if name in model.metrics}
    about = {"model_id": made.model_id, "dataset_name": model.data.name, "dataset_digest": model.data.described()[1]}
    metrics = [Metric(name, value, model.run.ended, model.run.step, **about) for name, value in values.items()]
    client.log_batch(model.source, metrics)
    for run in (model.source, model.parent):
        client.log_outputs(run, [LoggedModelOutput(made.model_id, model.run.step)])
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)


def write_model_folder(folder: Path, file: Path, model_id: str, run: str) -> None:
    """A Keras file as ``mlflow.keras.load_model`` reads it. MLflow's own writer would load the model, to save it again."""
    (folder / "data").mkdir()
    shutil.copyfile(file, folder / "data" / MODEL_FILE)
    flavor = {"data": "data", "keras_backend": "tensorflow", "save_exported_model": False}
    about = {"flavors": {"keras": flavor}, "model_id": model_id, "run_id": run}
    (folder / "MLmodel").write_text(json.dumps(about, indent=1), encoding="utf-8")  # YAML too
