"""Looks in the workflow: open contrasts get seeds, tables and store hold them, and nothing runs twice."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import yaml

from descentlab.analysis.comparison import read_comparison
from descentlab.experiment.looks import Look, look_file
from descentlab.experiment.records import RUNS
from descentlab.storage.tables import read_table
from support.workflow_fixture import run_snakemake

CONFIG = {
    "experiment": "looks",
    "problems": [
        {"problem": "linear_regression", "epochs": 2, "mode": "graph"},
        {"problem": "slides_mlp", "epochs": 1, "mode": "graph", "optimizers": ["sgd", "adam"], "seeds": {"final": 3}},
    ],
    "optimizers": ["sgd", "momentum", "adam"],
    "arms": ["default"],
    "measurements": [],
    "seeds": {"final": 2, "most": 8},
}
LOOKS = [2, 4, 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("looks")
    (folder / "looks.yaml").write_text(yaml.safe_dump(CONFIG))
    finished = run_snakemake(folder, config=folder / "looks.yaml")
    assert finished.returncode == 0, finished.stdout
    return folder


def final_seeds(folder: Path) -> pd.Series:
    runs = read_table(folder / "results/looks/runs.parquet", RUNS)
    assert (runs["status"] == "finished").all() and set(runs["phase"]) <= {"final", "added"}
    runs = runs[runs["problem"] == "linear_regression"]
    assert ((runs["seed"] < 2) == (runs["phase"] == "final")).all()
    return runs.groupby("optimizer")["seed"].max() + 1


def test_seeds_are_added_where_a_contrast_was_open_and_nowhere_else(folder: Path) -> None:
    looks = [Look.read(look_file(folder / "results/looks", number)) for number in (1, 2)]
    assert looks[0].contrasts  # two seeds settle nothing
    table = read_comparison(folder / "results/looks/comparison").contrasts
    table = table[table["problem"] == "linear_regression"]
    for row in table.to_dict("records"):
        extended = [look for look in looks for one in look.contrasts if tuple(one[2:]) == (row["first"], row["second"])]
        assert row["look"] == 1 + len(extended)
        assert row["n"] == LOOKS[len(extended)]
    expected = {"sgd": 2, "momentum": 2, "adam": 2}
    for look in looks:
        for one in look.contrasts:
            expected |= dict.fromkeys((one.first, one.second), LOOKS[look.number])
    assert final_seeds(folder).to_dict() == expected


def test_a_problem_with_its_own_optimizers_and_seeds_has_these_alone(folder: Path) -> None:
    runs = read_table(folder / "results/looks/runs.parquet", RUNS)
    own = runs[runs["problem"] == "slides_mlp"]
    assert {tuple(row) for row in own[["optimizer", "seed"]].to_numpy()} == {
        (name, seed) for name in ("sgd", "adam") for seed in range(3)
    }
    contrasts = read_comparison(folder / "results/looks/comparison").contrasts
    of_own = contrasts[contrasts["problem"] == "slides_mlp"]
    assert of_own[["first", "second", "n", "look"]].to_numpy().tolist() == [["adam", "sgd", 3, 1]]


def test_the_store_holds_what_looks_added(folder: Path) -> None:
    runs = read_table(folder / "results/looks/runs.parquet", RUNS)
    with contextlib.closing(sqlite3.connect(folder / "results/mlflow.db")) as store:
        tags = dict(store.execute("select run_uuid, value from tags where key = 'descentlab.run_id'"))
    assert set(runs["run_id"]) <= set(tags.values())
    assert len(tags) == len(set(tags.values()))


def test_a_second_time_nothing_runs_and_a_lost_table_is_made_again_from_the_cache(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy", symlinks=True))
    again = run_snakemake(copy, "--dry-run", config=copy / "looks.yaml")
    assert "Nothing to be done" in again.stdout, again.stdout
    before = (copy / "results/looks/runs.parquet").read_bytes()
    lost = sorted((copy / "results/looks/train/linear_regression").glob("look1.*"))
    assert len(lost) == 4
    for path in lost:
        path.unlink()
    finished = run_snakemake(copy, "--forcerun", "collect", "--until", "collect", config=copy / "looks.yaml")
    assert finished.returncode == 0, finished.stdout
    assert "(0 trained)" in (copy / "results/looks/logs/train/linear_regression.look1.log").read_text()
    assert (copy / "results/looks/runs.parquet").read_bytes() == before
