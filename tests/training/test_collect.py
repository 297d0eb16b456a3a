"""Merging the jobs' tables; what is missing becomes a row."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from pandas.testing import assert_frame_equal

from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import BESIDE, EXAMPLES, HISTORY, RUNS
from descentlab.storage.tables import empty_table, read_table, write_table
from descentlab.training.collect import collect_runs
from support.comparison_fixture import generated_history, generated_plan, generated_runs, generated_selections


def written_jobs(results: Path, problems: tuple[str, ...]) -> pd.DataFrame:
    """One job a problem, as training writes it; returns all its runs."""
    runs = generated_runs(0)
    plan = generated_plan(tuning={"points": 3, "neighbors": False}, seeds={"final": 6, "tuning": 2})
    results.mkdir(parents=True)
    plan.write(results / "plan.json")
    for problem in problems:
        mine = runs[runs["problem"] == problem]
        job = results / "train" / problem
        write_table(mine, RUNS, job / "0.runs.parquet")
        write_table(generated_history(mine), HISTORY, job / "0.history.parquet")
        write_table(empty_table(EXAMPLES), EXAMPLES, job / "0.examples.parquet")
        write_table(empty_table(BESIDE), BESIDE, job / "0.beside.parquet")
        selections = [s for s in generated_selections() if s["problem"] == problem]
        (job / "0.selections.json").write_text(json.dumps(selections))
    return runs[runs["problem"].isin(problems)].reset_index(drop=True)


def test_whole_jobs_are_joined_as_they_are(tmp_path: Path) -> None:
    runs = written_jobs(tmp_path / "e", ("up", "down"))
    # The generated rmsprop runs are at 0.01, its selection at 0.1: those finals are planned and not there.
    collect_runs(TrainingPlan.read(tmp_path / "e"), tmp_path / "e")
    merged = read_table(tmp_path / "e/runs.parquet", RUNS)
    there = merged[merged["status"] != "missing"].reset_index(drop=True)
    assert_frame_equal(there, runs)
    missing = merged[merged["status"] == "missing"]
    assert set(missing["optimizer"]) == {"rmsprop"}
    assert set(missing["learning_rate"]) == {0.1}
    assert len(missing) == 2 * 6
    assert_frame_equal(read_table(tmp_path / "e/history.parquet", HISTORY), generated_history(runs))
    assert json.loads((tmp_path / "e/selections.json").read_text()) == generated_selections()


def test_a_job_that_is_not_there_becomes_rows(tmp_path: Path) -> None:
    written_jobs(tmp_path / "e", ("up",))
    collect_runs(TrainingPlan.read(tmp_path / "e"), tmp_path / "e")
    merged = read_table(tmp_path / "e/runs.parquet", RUNS)
    missing = merged[merged["problem"] == "down"]
    assert set(missing["status"]) == {"missing"}
    # 5 optimizers × (3 rates × 2 tuning seeds + 6 default seeds); tuned finals need a selection.
    assert len(missing) == 5 * (6 + 6)
    assert not missing["higher_is_better"].any()
    assert missing["test_metric"].isna().all()
    assert set(missing["message"]) == {"planned, and not among the results"}


def test_the_same_jobs_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        written_jobs(tmp_path / folder, ("up", "down"))
        collect_runs(TrainingPlan.read(tmp_path / folder), tmp_path / folder)
    for name in ("runs.parquet", "history.parquet", "examples.parquet", "selections.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
