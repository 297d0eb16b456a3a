"""The best final model of each problem and optimizer among MLflow's logged models, linked to the run that trained it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric

from descentlab.tracking.entry import DIGEST, NOTE, TRAINING, Entry
from descentlab.tracking.links import link_run
from descentlab.tracking.store import MlflowClient

MODEL_FILE = "model.keras"


@dataclass(frozen=True)
class BestModel:
    """The best final model of a problem and optimizer.

    Attributes:
        file: ``.keras``, as the job wrote it.
        run: the training that it is from.
        run_id, parent: MLflow's ids of that training and of its parent.
    """

    file: Path
    run: Entry
    run_id: str
    parent: str

    @property
    def name(self) -> str:
        """What the list of models shows; MLflow allows no ``/`` in it."""
        return f"{self.run.tags['problem']}-{self.run.tags['optimizer']}"

    def digest(self) -> str:
        """sha256 of what is logged; the file counts as its training, which decides it."""
        parts = [self.run.tags[TRAINING], self.run_id, self.parent]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def put_models(client: MlflowClient, experiment: str, problem: str, models: Sequence[BestModel], whole: bool) -> None:
    """Make the store hold the models of a problem, each once, and no others of their names.

    Args:
        experiment: MLflow's id.
        models: of the jobs that have ended.
        whole: whether these are all; any other model of the problem is deleted then.
    """
    stored = find_models(client, experiment, problem)
    wanted = {model.digest(): model for model in models}
    names = {model.name for model in models}
    for digest, logged in stored.items():
        for one in logged[1:] if digest in wanted else logged:
            if whole or one.name in names:
                client.delete_logged_model(one.model_id)
    for digest, model in wanted.items():
        if digest not in stored:
            put_model(client, experiment, model, digest)


def find_models(client: MlflowClient, experiment: str, problem: str) -> dict[str, list[LoggedModel]]:
    """The problem's models in the store by digest; those whose logging was cut off are under ``""``."""
    models: dict[str, list[LoggedModel]] = {}
    token = None
    while True:
        page = client.search_logged_models([experiment], f"tags.problem = '{problem}'", page_token=token)
        for model in page:
            digest = model.tags.get(DIGEST, "") if model.status == LoggedModelStatus.READY else ""
            models.setdefault(digest, []).append(model)
        token = page.token
        if not token:
            return models


def put_model(client: MlflowClient, experiment: str, model: BestModel, digest: str) -> None:
    """Log a model that the store lacks; its status becomes READY once all of it is there.

    Its source is the parent, so the list of runs shows it in the parent's row; its metrics are those of its training.
    """
    run = model.run
    assert run.dataset is not None  # every training has one
    note = (
        f"Of [{run.name}]({link_run(experiment, model.run_id)}), the final run that was best on validation data: "
        "`mlflow.keras.load_model('models:/MODEL_ID')`."
    )
    tags = {name: run.tags[name] for name in ("problem", "optimizer", "arm", "seed")} | {NOTE: note, DIGEST: digest}
    params = {name: run.params[name] for name in ("learning_rate", "schedule", "batch_size", "seed")}
    made = client.create_logged_model(experiment, model.name, model.parent, tags, params, "keras")
    with tempfile.TemporaryDirectory() as folder:
        write_model_folder(Path(folder), model.file, made.model_id, model.run_id)
        client.log_model_artifacts(made.model_id, folder)
    evaluated = {
        "model_id": made.model_id,
        "dataset_name": run.dataset.name,
        "dataset_digest": run.dataset.mlflow_fields()[1],
    }
    values = {name: value for name, value in run.metrics.items() if name.startswith(("val_", "test_"))}
    client.log_batch(
        model.run_id, [Metric(name, value, run.ended, run.step, **evaluated) for name, value in values.items()]
    )
    for mlflow_id in (model.run_id, model.parent):
        client.log_outputs(mlflow_id, [LoggedModelOutput(made.model_id, run.step)])
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)


def write_model_folder(folder: Path, file: Path, model_id: str, run: str) -> None:
    """Write a Keras file the way ``mlflow.keras.load_model`` reads it; MLflow's own writer would load and save the model."""
    (folder / "data").mkdir()
    shutil.copyfile(file, folder / "data" / MODEL_FILE)
    flavor = {"data": "data", "keras_backend": "tensorflow", "save_exported_model": False}
    description = {"flavors": {"keras": flavor}, "model_id": model_id, "run_id": run}
    # in place: into a temporary folder that MLflow copies
    (folder / "MLmodel").write_text(json.dumps(description, indent=1), encoding="utf-8")  # YAML too
