"""The extended arm: what it tries, and that it contains the tuned arm."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descentlab.experiment.config import ConfigError, parse_config
from descentlab.experiment.jobs import runs_per_optimizer
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import RUNS
from descentlab.experiment.runs import planned_runs
from descentlab.optimizers.build import build
from descentlab.optimizers.schedules import TUNED_SCHEDULES
from descentlab.optimizers.search_space import EPSILONS, MOMENTA, Trial, all_trials, extended_trials, momentum_name
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.storage.tables import read_table
from descentlab.training.collect import collect_runs
from descentlab.training.job import train_job
from descentlab.training.make_plan import make_plan
from descentlab.training.tuning import select_trial

pytestmark = pytest.mark.usefixtures("device")


def hyperparameters(trials: list[Trial], name: str) -> set[float]:
    return {trial.hyperparameters[name] for trial in trials}


@pytest.mark.parametrize(
    ("optimizer", "momentum"),
    [("sgd", None), ("momentum", "momentum"), ("rmsprop", "momentum"), ("adagrad", None), ("adam", "beta_1")],
)
def test_what_is_tuned_is_what_the_optimizer_has(optimizer: str, momentum: str | None) -> None:
    entry = OPTIMIZERS[optimizer]
    assert momentum_name(entry) == momentum
    trials = extended_trials(entry, 7, 60)
    names = {name for trial in trials for name in trial.hyperparameters}
    assert names == {name for name in (momentum, "epsilon" if entry.factory != "SGD" else None) if name}
    if momentum:
        assert hyperparameters(trials, momentum) == set(MOMENTA)
    assert {trial.schedule for trial in trials} == set(TUNED_SCHEDULES)


def test_the_learning_rate_moves_up_with_the_root_of_epsilon() -> None:
    entry = OPTIMIZERS["adam"]
    grid = entry.grid(7)
    assert hyperparameters(extended_trials(entry, 7, 60), "epsilon") == set(EPSILONS)
    for trial in extended_trials(entry, 7, 60):
        assert trial.learning_rate is not None
        moved = trial.learning_rate / np.sqrt(max(1.0, trial.hyperparameters["epsilon"] / 1e-4))
        assert np.abs(np.log(np.array(grid) / moved)).min() < 0.01


def test_every_optimizer_gets_the_same_points_and_none_twice() -> None:
    schedules = {
        name: [trial.schedule for trial in extended_trials(OPTIMIZERS[name], 7, 20)] for name in ("adam", "nadam")
    }
    assert schedules["adam"] == schedules["nadam"]
    assert len(extended_trials(OPTIMIZERS["adam"], 7, 20)) == 20
    of_sgd = extended_trials(OPTIMIZERS["sgd"], 3, 200)
    assert len({trial.as_json() for trial in of_sgd}) == len(of_sgd) <= 3 * len(TUNED_SCHEDULES)


def test_an_optimizer_without_a_rate_has_no_schedule() -> None:
    entry = replace(OPTIMIZERS["adam"], center_learning_rate=None)
    trials = extended_trials(entry, 7, 10)
    assert {(trial.learning_rate, trial.schedule) for trial in trials} == {(None, "constant")}


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_trial_of_every_optimizer_can_be_built(optimizer: str) -> None:
    for trial in extended_trials(OPTIMIZERS[optimizer], 7, 6):
        made = build(OPTIMIZERS[optimizer], "extended", trial.learning_rate, trial.hyperparameters)
        for name, value in trial.hyperparameters.items():
            assert getattr(made, name) == value


def test_the_tuned_choice_comes_first_and_once() -> None:
    first, other = Trial(0.01, "linear", {}), Trial(0.1, "cosine", {})
    assert all_trials(0.01, "linear", [other, first], 0.01) == [first, other]
    assert all_trials(None, "linear", [first], None)[0] == Trial(None, "constant", {})


def test_the_others_lie_around_the_tuned_choice() -> None:
    """Half-decades around the center become half-decades around the choice, however far the grid grew."""
    around = [Trial(rate, "cosine", {}) for rate in (0.001, 0.01, 0.1)]
    assert [trial.learning_rate for trial in all_trials(3.16, "linear", around, 0.01)] == [3.16, 0.316, 3.16, 31.6]


def record(metric: float, loss: float = 1.0, status: str = "finished") -> dict[str, Any]:
    return {"val_metric": metric, "val_loss": loss, "status": status}


def test_the_best_trial_is_chosen() -> None:
    trials = [[record(0.5), record(0.7)], [record(0.9), record(0.4)], [record(0.99, status="diverged"), record(0.99)]]
    assert select_trial(trials, 1) == 1
    assert select_trial(trials, -1) == 0
    assert select_trial([[record(0.5, 2.0)], [record(0.5, 1.0)]], 1) == 1
    assert select_trial([[record(0.5, status="diverged")]] * 2, 1) == 0


def test_the_arm_needs_the_tuned_one() -> None:
    with pytest.raises(ConfigError, match=r"^here: arms: 'extended' begins with the tuned arm's choice, so it needs"):
        parse_config({"experiment": "e", "problems": ["mlp"], "optimizers": ["adam"], "arms": ["extended"]}, "here")


def test_the_arm_is_trained_selected_and_recorded(tmp_path: Path) -> None:
    raw = {
        "experiment": "e",
        "problems": [{"problem": "logistic_regression", "epochs": 2}],
        "optimizers": ["sgd", "adam"],
        "arms": ["tuned", "extended"],
        "seeds": {"final": 2, "tuning": 2},
        "sweep": {"optimizers": []},
        "tuning": {"points": 3, "growth": 0, "neighbors": False, "extended_trials": 4},
    }
    config = parse_config(raw, "test")
    plan = make_plan(config)
    results = tmp_path / "e"
    results.mkdir()
    plan.write(results / "plan.json")
    train_job(plan, "logistic_regression", 0, results / "train/logistic_regression", tmp_path / "cache")
    collect_runs(TrainingPlan.read(results), results)
    runs = read_table(results / "runs.parquet", RUNS)
    assert (runs["status"] != "missing").all() and runs["run_id"].is_unique
    selections = json.loads((results / "selections.json").read_text())
    assert {spec.run_id for spec in planned_runs(plan, selections)} == set(runs["run_id"])
    sizes = runs.groupby("optimizer").size()
    assert sizes["adam"] == runs_per_optimizer(config, "logistic_regression") >= sizes["sgd"]
    extended = runs[runs["arm"] == "extended"]
    tuning = extended[extended["phase"] == "tuning"]
    assert tuning[["test_loss", "test_metric"]].isna().all(axis=None)
    for selection in selections:
        mine = tuning[(tuning["optimizer"] == selection["optimizer"]) & (tuning["status"] == "finished")]
        by = ["learning_rate", "schedule", "hyperparameters"]
        means = mine.groupby(by)["val_metric"].agg(["mean", "size"]).query("size == 2")["mean"]
        chosen = selection["extended"]
        key = (chosen["learning_rate"], chosen["schedule"], json.dumps(chosen["hyperparameters"], sort_keys=True))
        assert means.loc[key] == means.max()
        # The tuned arm's choice is one of the trials, so it is never better by validation.
        grid = runs[
            (runs["arm"] == "tuned") & (runs["phase"] == "tuning") & (runs["optimizer"] == selection["optimizer"])
        ]
        assert means.loc[key] >= grid.groupby("learning_rate")["val_metric"].mean()[selection["learning_rate"]]
        finals = extended[(extended["optimizer"] == selection["optimizer"]) & (extended["phase"] == "final")]
        assert finals["test_metric"].notna().all()
        assert set(zip(finals["learning_rate"], finals["schedule"], finals["hyperparameters"], strict=True)) == {key}
