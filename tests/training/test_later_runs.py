"""Runs that become known after a problem's jobs: the final seeds at the rates tuned for speed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from descentlab.__main__ import main
from descentlab.analysis.compare import compare_runs
from descentlab.experiment.config import parse_config
from descentlab.experiment.plan import PLAN_FILE, TrainingPlan
from descentlab.experiment.records import EXAMPLES, HISTORY, RUNS
from descentlab.optimizers.arms import SPEED_ARM
from descentlab.storage.tables import read_table, write_table
from descentlab.training.collect import collect_runs, merge_jobs
from descentlab.training.job_files import JobFileError, timed_selections_of
from descentlab.training.make_plan import make_plan
from support.generated_comparisons import few_trials

NAME, SEEDS = "logistic_regression", 2


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, device: str) -> Path:
    """An experiment of which every rate is as good as the best, so that the middle is chosen and others are faster."""
    del device
    config = {
        "experiment": "e",
        "problems": [{"problem": NAME, "epochs": 3}],
        "optimizers": ["sgd", "momentum"],
        "arms": ["tuned"],
        "seeds": {"final": SEEDS, "tuning": 2},
        "tuning": {"points": 7, "growth": 0},
        "sweep": {"optimizers": []},
        "measurements": [],
    }
    plan = make_plan(parse_config(config, "test"))
    wide = replace(plan, problems={NAME: replace(plan.problems[NAME], margin=1.0)})
    results = tmp_path_factory.mktemp("later") / "results/e"
    wide.write(results / PLAN_FILE)
    job = [str(results / PLAN_FILE), "--problem", NAME]
    assert main(["train", *job, "--job", "0"]) == 0
    assert main(["train", *job, "--speed"]) == 0
    collect_runs(wide, results)
    return results


def runs_of(results: Path) -> pd.DataFrame:
    return read_table(results / "runs.parquet", RUNS)


def test_the_final_seeds_are_trained_at_the_fastest_rate_and_timed_there(results: Path) -> None:
    plan, runs = TrainingPlan.read(results), runs_of(results)
    fastest = json.loads((results / f"train/{NAME}/speed.json").read_text())
    speed = runs[runs["phase"] == "speed"]
    assert set(fastest) == set(speed["optimizer"]) == {"momentum"}  # sgd misses the target at every rate
    assert (speed["learning_rate"] == speed["optimizer"].map(fastest)).all()
    assert (speed["status"] == "finished").all() and speed["test_metric"].notna().all()
    assert speed.groupby("optimizer")["seed"].apply(set).tolist() == [set(range(SEEDS))]
    others = runs[runs["phase"].isin(["final", "neighbor"])].groupby("optimizer")["learning_rate"].agg(set)
    assert all(rate not in others[name] for name, rate in fastest.items())
    selections = json.loads((results / "selections.json").read_text())
    assert {entry["optimizer"]: entry["fastest"] for entry in selections if "fastest" in entry} == fastest
    history, examples = (
        read_table(results / f"{name}.parquet", columns)
        for name, columns in (("history", HISTORY), ("examples", EXAMPLES))
    )
    assert set(speed["run_id"]) <= set(history["run_id"]) and set(speed["run_id"]) <= set(examples["run_id"])
    with few_trials():
        table = compare_runs(plan, runs, history, selections, examples).speed
    medium = table[table["target"] == "medium"].pivot(
        index="optimizer", columns="arm", values="updates_restricted_mean"
    )
    assert medium.loc["momentum", SPEED_ARM] < medium.loc["momentum", "tuned"]
    assert medium.loc["sgd", SPEED_ARM] == medium.loc["sgd", "tuned"]
    assert not table["faster_untrained"].any()


def test_they_start_from_the_same_weights_and_split_as_the_runs_they_are_compared_with(results: Path) -> None:
    runs = runs_of(results)
    pairs = runs[runs["phase"].isin(["final", "speed"])].groupby("seed")[["init_hash", "split_hash"]].nunique()
    assert (pairs == 1).all(axis=None) and len(pairs) == SEEDS


def test_what_was_to_be_trained_and_is_not_there_is_a_missing_row(results: Path, tmp_path: Path) -> None:
    plan, copy = TrainingPlan.read(results), tmp_path / "e"
    for path in (results / "train" / NAME).iterdir():
        if not path.name.startswith("speed.") or path.suffix == ".json":
            (copy / "train" / NAME).mkdir(parents=True, exist_ok=True)
            (copy / "train" / NAME / path.name).write_bytes(path.read_bytes())
    collect_runs(plan, copy)
    whole, lost = runs_of(results).set_index("run_id"), runs_of(copy).set_index("run_id")
    assert set(lost.index) == set(whole.index)
    assert set(lost[lost["status"] == "missing"]["phase"]) == {"speed"}
    assert np.count_nonzero(lost["status"] == "missing") == SEEDS


def test_looks_and_an_experiment_without_them_read_none_of_their_files(results: Path) -> None:
    """Those of a look may be written meanwhile, those of an earlier config are not of this one."""
    plan = TrainingPlan.read(results)
    tuning = plan.config.tuning.model_copy(update={"neighbors": False})
    without = replace(plan, config=plan.config.model_copy(update={"tuning": tuning}))
    for merged in (merge_jobs(plan, results, ()), merge_jobs(without, results, (), speed=True)):
        assert "speed" not in set(merged.runs["phase"])
        assert not any("fastest" in entry for entry in merged.selections)


def test_where_tuning_was_fastest_at_a_trained_rate_the_tables_are_empty(results: Path, tmp_path: Path) -> None:
    plan, copy = TrainingPlan.read(results), tmp_path / "e"
    (copy / "train" / NAME).mkdir(parents=True)
    plan.write(copy / PLAN_FILE)
    runs = read_table(results / f"train/{NAME}/0.runs.parquet", RUNS)
    history = (results / f"train/{NAME}/0.history.parquet").read_bytes()
    seeded = runs[runs["phase"].isin(["final", "neighbor"])].groupby("optimizer")["learning_rate"].agg(set)
    among = [rate in seeded[name] for name, rate in zip(runs["optimizer"], runs["learning_rate"], strict=True)]
    write_table(runs[among], RUNS, copy / f"train/{NAME}/0.runs.parquet")
    (copy / f"train/{NAME}/0.history.parquet").write_bytes(history)
    assert main(["train", str(copy / PLAN_FILE), "--problem", NAME, "--speed"]) == 0
    assert json.loads((copy / f"train/{NAME}/speed.json").read_text()) == {}
    for name, columns in (("runs", RUNS), ("history", HISTORY), ("examples", EXAMPLES)):
        assert read_table(copy / f"train/{NAME}/speed.{name}.parquet", columns).empty


def test_a_damaged_file_of_rates_is_named(results: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "train" / NAME / "speed.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    with pytest.raises(JobFileError, match="speed.json"):
        timed_selections_of(TrainingPlan.read(results), tmp_path, NAME)
