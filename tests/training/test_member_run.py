"""What a run's validation loss changes, and what is recorded beside it: through a whole job on a small problem."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from descentlab.experiment.config import parse_config
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import BESIDE, HISTORY, RUNS
from descentlab.problems.base import Data, Metric, Problem
from descentlab.storage.tables import read_table
from descentlab.training.job import train_job
from descentlab.training.make_plan import make_plan

pytestmark = pytest.mark.usefixtures("device")

EPOCHS = 12


def make_problem(**changes: Any) -> Problem:
    def build_model() -> Any:
        hidden = [keras.layers.BatchNormalization(), keras.layers.Dense(16, activation="relu")]
        return keras.Sequential([keras.Input((6,)), *hidden, keras.layers.Dense(2)])

    def load_data(path: str | None) -> Data:
        """Noise: whatever is learned raises the validation loss."""
        del path
        generator = np.random.default_rng(0)
        return Data(generator.normal(5, 3, size=(80, 6)).astype(np.float32), generator.integers(0, 2, 80))

    accuracy = Metric("accuracy", True, keras.metrics.sparse_categorical_accuracy)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    settings = {"batch_size": 16, "metric": accuracy, "divergence_factor": 1e9, **changes}
    return Problem("noise", "Noise", build_model, load_data, loss, **settings)


NOISE = make_problem()
WEIGHTED = make_problem(class_weight={1: 3.0}, metrics=(Metric("right", True, "accuracy"),))


def planned(problem: str = "NOISE", mode: str = "keras", optimizer: str = "adam", epochs: int = EPOCHS) -> TrainingPlan:
    """A plan with a rate at which noise is soon learned by heart."""
    config = {
        "experiment": "own",
        "problems": [{"problem": f"{__name__}:{problem}", "name": "noise", "epochs": epochs, "mode": mode}],
        "optimizers": [{"optimizer": optimizer, "center_learning_rate": 0.1}],
        "arms": ["tuned"],
        "seeds": {"final": 1, "tuning": 1},
        "tuning": {"points": 1},
        "sweep": {"optimizers": []},
    }
    return make_plan(parse_config(config, "test"))


@pytest.fixture(scope="module")
def plan(device: str) -> TrainingPlan:
    del device
    return planned(mode="graph")


def train(plan: TrainingPlan, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and history of one job."""
    train_job(plan, "noise", 0, folder / "train", folder / "cache")
    runs = read_table(folder / "train/0.runs.parquet", RUNS)
    assert set(runs["status"]) == {"finished"}
    return runs, read_table(folder / "train/0.history.parquet", HISTORY)


@pytest.mark.parametrize("mode", ["graph", "keras"])
def test_patience_ends_a_run_where_keras_callback_would(mode: str, plan: TrainingPlan, tmp_path: Path) -> None:
    """Compared with the same runs without patience: the same until they end, and they end where EarlyStopping says."""
    problem = replace(plan.problems["noise"], mode=mode, by_example=mode == "graph")
    settings = plan.config.model_dump(mode="json")
    settings["problems"][0] |= {"mode": mode, "evaluation_examples": 8}
    free = replace(plan, config=parse_config(settings, "test"), problems={"noise": problem})
    patient = replace(free, config=parse_config({**settings, "patience": 3}, "test"))
    free_runs, free_history = train(free, tmp_path / "free")
    runs, history = train(patient, tmp_path / "ended")
    assert (runs["updates"] < runs["updates_planned"]).any()
    assert (free_runs["updates"] == free_runs["updates_planned"]).all()
    for run_id, run in runs.set_index("run_id").iterrows():
        mine, whole = (table[table["run_id"] == run_id].reset_index(drop=True) for table in (history, free_history))
        per_epoch = run["updates_planned"] // EPOCHS
        losses = whole.loc[(whole["updates"] % per_epoch == 0) & (whole["updates"] > 0), "val_loss"].tolist()
        epochs = keras_epochs(losses, 3)
        assert run["updates"] == epochs * per_epoch
        assert run["examples"] == run["updates"] * run["batch_size"]
        assert set(mine["learning_rate"].iloc[1:]) <= set(whole["learning_rate"])
        whole = whole[whole["updates"] <= run["updates"]]
        assert mine["val_loss"].tolist()[:-1] == whole["val_loss"].tolist()[:-1]
        if epochs < EPOCHS:  # the last evaluation takes all examples, those before it some
            assert mine["val_loss"].iloc[-1] != whole["val_loss"].iloc[-1]
        assert np.isnan(run["test_loss"]) == (run["phase"] != "final")


def keras_epochs(losses: list[float], patience: int) -> int:
    """After how many epochs Keras' own callback stops, given the validation losses."""
    callback = keras.callbacks.EarlyStopping(patience=patience)
    callback.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    callback.model.stop_training = False
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if callback.model.stop_training:
            return epoch + 1
    return len(losses)


def test_a_plateau_divides_the_rate(plan: TrainingPlan, tmp_path: Path) -> None:
    adam = replace(plan.optimizers["adam"], tuned_schedule="plateau")
    runs, history = train(replace(plan, optimizers={"adam": adam}), tmp_path)
    assert set(runs["schedule"]) == {"plateau"}
    for run_id, initial in runs.set_index("run_id")["learning_rate"].items():
        rows = history[history["run_id"] == run_id]
        powers = -np.log10(rows["learning_rate"].to_numpy() / initial)
        np.testing.assert_allclose(powers, np.rint(powers), atol=1e-4)
        assert (np.diff(powers) > -1e-4).all() and powers[-1] > 0.5
        first = int(np.argmax(powers > 0.5))
        seen = rows["val_loss"].to_numpy()[: first + 1]
        assert seen[-1] >= seen[:-1].min() - 1e-4  # the loss of that epoch was no fall


def test_averages_that_lag_are_measured_anew_beside_what_keras_gives(tmp_path: Path) -> None:
    """Full batch, four updates: the averages have hardly begun to move, so the loss as evaluated is that of other inputs."""
    runs, _ = train(planned(optimizer="gd", epochs=4), tmp_path)
    finals = runs[runs["phase"] == "final"]
    gd = finals[finals["optimizer"] == "gd"]
    assert (gd["renormalized_train_loss"] < 0.8 * gd["train_loss"]).all()
    columns = [name for name in RUNS if name.startswith("renormalized_")]
    assert np.isfinite(finals[columns]).all(axis=None)
    assert runs.loc[runs["phase"] != "final", columns].isna().all(axis=None)


def test_what_is_recorded_beside_loss_and_metric(tmp_path: Path) -> None:
    plan = planned("WEIGHTED", epochs=2)
    runs, history = train(plan, tmp_path)
    assert plan.problems["noise"].class_weight == {"1": 3.0}
    beside = read_table(tmp_path / "train/0.beside.parquet", BESIDE)
    assert set(beside["name"]) == {"right", "weighted_loss"}
    wide = beside.pivot(index=["run_id", "updates"], columns=["split", "name"], values="value")
    wide.columns = ["_".join(column) for column in wide.columns]
    both = history.merge(wide.reset_index(), on=["run_id", "updates"], validate="one_to_one")
    assert len(both) == len(history)
    for split in ("train", "val"):
        np.testing.assert_allclose(both[f"{split}_right"], both[f"{split}_metric"], rtol=1e-6)
        assert (both[f"{split}_weighted_loss"] > both[f"{split}_loss"]).all()  # the weights are 1 and 3
    tuning = set(runs.loc[runs["phase"] == "tuning", "run_id"])
    assert set(beside.loc[beside["run_id"].isin(tuning), "split"]) == {"train", "val"}
