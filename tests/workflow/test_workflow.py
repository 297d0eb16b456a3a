"""The workflow end to end on test.yaml: what comes out, what runs again and what doesn't."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import pandas as pd
import pytest
import yaml
from pandas.testing import assert_frame_equal

from descentlab.__main__ import main
from descentlab.analysis.comparison import read_comparison
from descentlab.experiment.config import parse_config
from descentlab.experiment.records import EXAMPLES, HISTORY, RUNS
from descentlab.experiment.run_spec import SEALED_PHASES
from descentlab.storage.tables import read_table
from support.same_results import assert_same_tables
from support.workflow_fixture import ROOT, TEST_CONFIG, run_snakemake, run_verb


def copied(finished: Path, to: Path) -> Path:
    """A copy of a finished folder to change, time stamps and Snakemake's records kept."""
    return Path(shutil.copytree(finished, to, symlinks=True))


def changed_config(folder: Path, **changes: object) -> Path:
    """test.yaml with other values, written into ``folder``."""
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(TEST_CONFIG.read_text()), **changes}))
    return path


def cached(folder: Path) -> set[str]:
    """Files of finished runs, without one that is just being written, whose name begins with a dot."""
    return {path.name for path in (folder / "results/cache").rglob("[!.]*.npz")}


def planned_rules(dry_run: str) -> set[str]:
    """Rules in the job table of ``snakemake -n``."""
    table = dry_run.split("Job stats:", 1)[1].split("\n\n")[0]
    return {line.split()[0] for line in table.splitlines()[3:]} - {"total", "all"}


def test_everything_promised_comes_out(finished_workflow: Path) -> None:
    results = finished_workflow / "results/test"
    plan = json.loads((results / "plan.json").read_text())
    runs = read_table(results / "runs.parquet", RUNS)
    history = read_table(results / "history.parquet", HISTORY)
    examples = read_table(results / "examples.parquet", EXAMPLES)
    selections = json.loads((results / "selections.json").read_text())
    # 2 problems × 3 optimizers × 2 arms × 2 final seeds, and 2 seeds at each rate of a grid, at each neighbor and at a fastest
    # rate that is none of these, 5 at each rate of the sweep.
    keys = ("grid", "neighbors", "sweep")
    tried, neighbors, swept = (sum(len(selection[key]) for selection in selections) for key in keys)
    fastest = sum("fastest" in selection for selection in selections)
    assert len(runs) == 2 * 3 * 4 + 2 * (tried + neighbors + fastest) + 5 * swept
    assert runs["run_id"].is_unique
    finished = runs["status"] == "finished"
    assert set(runs[~finished]["status"]) <= {"diverged"}
    assert finished.mean() > 0.8
    assert set(history["run_id"]) == set(runs["run_id"])
    finals = runs[~runs["phase"].isin(SEALED_PHASES) & finished]
    assert set(examples["run_id"]) == set(finals["run_id"])
    for problem, about in plan["problems"].items():
        assert (history["run_id"].str.startswith(f"{problem}.")).any()
        for optimizer in plan["optimizers"]:
            model = keras.saving.load_model(results / "models" / problem / f"{optimizer}.keras")
            assert model.count_params() == about["parameters"]
        of_problem = finals[finals["problem"] == problem]["run_id"]
        assert len(examples[examples["run_id"].isin(of_problem)]) == len(of_problem) * about["test_examples"]
    page = (finished_workflow / "reports/test/index.html").read_text()
    assert {f"test-metric-{problem}" for problem in plan["problems"]} <= set(re.findall(r'<figure id="([^"]+)"', page))
    with contextlib.closing(sqlite3.connect(finished_workflow / "results/mlflow.db")) as store:
        tagged = dict(
            store.execute(
                "select id.value, kind.value from tags id join tags kind using (run_uuid) "
                "where id.key = 'descentlab.run_id' and kind.key = 'descentlab.kind'"
            )
        )
    assert {run for run, kind in tagged.items() if kind == "run"} == set(runs["run_id"])


def test_the_tables_agree_with_each_other(finished_workflow: Path) -> None:
    results = finished_workflow / "results/test"
    runs = read_table(results / "runs.parquet", RUNS).set_index("run_id")
    history = read_table(results / "history.parquet", HISTORY)
    last = history.groupby("run_id").last().loc[runs.index]
    for column in ("train_loss", "val_metric", "test_metric", "updates", "examples"):
        assert_frame_equal(last[[column]], runs[[column]])
    examples = read_table(results / "examples.parquet", EXAMPLES)
    mean_score = examples.groupby("run_id")["score"].mean()
    pd.testing.assert_series_equal(mean_score, runs.loc[mean_score.index, "test_metric"], check_names=False, rtol=1e-6)
    sealed = runs["phase"].isin(SEALED_PHASES)
    assert runs.loc[sealed, ["test_loss", "test_metric", "best_test_loss", "best_test_metric"]].isna().all(axis=None)
    assert runs.loc[~sealed & (runs["status"] == "finished"), "test_metric"].notna().all()


def test_same_seed_means_same_start_and_split_for_every_optimizer(finished_workflow: Path) -> None:
    runs = read_table(finished_workflow / "results/test/runs.parquet", RUNS)
    by_seed = runs.groupby(["problem", "seed"])[["init_hash", "split_hash"]].nunique()
    assert (by_seed == 1).all(axis=None)
    assert (runs.groupby("problem")[["init_hash", "split_hash"]].nunique() == runs["seed"].nunique()).all(axis=None)


def test_progress_can_be_followed(finished_workflow: Path) -> None:
    log = (finished_workflow / "results/test/logs/train/mlp.0.log").read_text()
    done, of, trained = map(int, re.findall(r"(\d+) of (\d+) runs \((\d+) trained\), ETA 0 s", log)[-1])
    # The same training in another phase, as a rate of the sweep that tuning tried, is not trained again.
    runs = read_table(finished_workflow / "results/test/train/mlp/0.runs.parquet", RUNS)
    assert done == of == len(runs)
    assert trained == runs["digest"].nunique() < done
    assert re.search(r"\d+ of \d+ steps", (finished_workflow / "snakemake.out").read_text())


def test_a_second_run_has_nothing_to_do(finished_workflow: Path, tmp_path: Path) -> None:
    again = run_snakemake(copied(finished_workflow, tmp_path / "copy"))
    assert again.returncode == 0, again.stdout
    assert "Nothing to be done" in again.stdout


def test_only_new_runs_are_trained(finished_workflow: Path, tmp_path: Path) -> None:
    """One more seed and one more optimizer: of the known optimizers one more final run an arm, and at each neighbor."""
    changes = {"seeds": {"final": 3, "tuning": 2}, "optimizers": ["sgd", "momentum", "adam", "adamax"]}
    folder = copied(finished_workflow, tmp_path / "copy")
    before = read_table(folder / "results/test/runs.parquet", RUNS)
    known = {path: path.stat().st_mtime_ns for path in (folder / "results/cache").rglob("*.npz")}
    extended = run_snakemake(folder, config=changed_config(tmp_path, **changes))
    assert extended.returncode == 0, extended.stdout
    after = read_table(folder / "results/test/runs.parquet", RUNS)
    added = after[~after["run_id"].isin(before["run_id"])]
    assert set(before["run_id"]) <= set(after["run_id"])
    known_optimizers = added[added["optimizer"] != "adamax"]
    assert set(known_optimizers["seed"]) == {2} and set(known_optimizers["phase"]) == {"final", "neighbor"}
    assert set(added[added["optimizer"] == "adamax"]["seed"]) > {0, 1, 2}
    assert len(cached(folder)) - len(known) == added["digest"].nunique() > 0
    assert all(path.stat().st_mtime_ns == written for path, written in known.items())
    # What was known stays as it was, clocks and all.
    kept = after[after["run_id"].isin(before["run_id"])].set_index("run_id").loc[before["run_id"]]
    assert_frame_equal(kept, before.set_index("run_id"))


def test_a_killed_job_goes_on_after_its_last_finished_run(finished_workflow: Path, tmp_path: Path) -> None:
    plan = tmp_path / "results/test/plan.json"
    plan.parent.mkdir(parents=True)
    shutil.copy(finished_workflow / "results/test/plan.json", plan)
    arguments = ["train", "results/test/plan.json", "--problem", "mlp", "--job", "0"]
    command = [sys.executable, "-m", "descentlab", *arguments]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True) as job:
        while len(cached(tmp_path)) < 5:
            assert job.poll() is None, "the job ended before it could be killed"
            time.sleep(0.01)
        os.killpg(job.pid, signal.SIGKILL)
    survived = len(cached(tmp_path))
    resumed = run_verb(tmp_path, *arguments)
    assert resumed.returncode == 0, resumed.stdout
    trained = int(re.findall(r"\d+ of \d+ runs \((\d+) trained\)", resumed.stdout)[-1])
    runs = read_table(tmp_path / "results/test/train/mlp/0.runs.parquet", RUNS)
    assert trained == runs["digest"].nunique() - survived
    tables = "results/test/train/mlp"
    assert_same_tables(tmp_path / tables, finished_workflow / tables, "0.")


FROM_TRAINING_ON = {"train", "train_for_speed", "measure", "track", "collect", "compare", "report", "track_report"}


def test_an_edit_reruns_the_stages_that_it_touches(finished_workflow: Path, tmp_path: Path) -> None:
    """What each module touches is for ``test_provenance.py``."""
    source = tmp_path / "source"
    for part in ("workflow", "src"):
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", source)
    folder = copied(finished_workflow, tmp_path / "copy")
    unchanged = run_snakemake(folder, "-n", source=source)
    assert "Nothing to be done" in unchanged.stdout, unchanged.stdout
    for edited, rules in (
        ("report/page.py", {"report", "track_report"}),
        ("training/optimizer_job.py", FROM_TRAINING_ON - {"measure"}),
    ):
        with (source / "src/descentlab" / edited).open("a") as file:
            file.write("edited = 1\n")
        dry_run = run_snakemake(folder, "-n", source=source)
        assert dry_run.returncode == 0, dry_run.stdout
        assert planned_rules(dry_run.stdout) == rules


def test_a_bad_config_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    refused = run_snakemake(tmp_path, config=changed_config(tmp_path, optimizer="adam"))
    assert refused.returncode != 0
    assert "config: optimizer: unknown key 'optimizer', did you mean 'optimizers'?" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert not (tmp_path / "results").exists()


def test_what_only_importing_shows_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    config = changed_config(tmp_path, optimizers=["no_such_module:Optimizer"])
    refused = run_snakemake(tmp_path, config=config)
    assert refused.returncode != 0
    assert (
        "descentlab: optimizer 'optimizer': 'no_such_module:Optimizer' can't be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    ) in refused.stdout
    assert not (tmp_path / "results/test/train").exists()
    assert "Traceback" not in (tmp_path / "results/test/logs/plan.log").read_text()


@pytest.mark.parametrize("folder", ["results", "reports"])
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).write_text("in the way")
    refused = run_snakemake(tmp_path)
    assert refused.returncode != 0
    assert (
        f"{folder}/test: results and reports need a folder that can be written to; '{folder}' is a file"
    ) in refused.stdout
    assert "Traceback" not in refused.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name != ".snakemake"] == [folder]


@pytest.mark.usefixtures("own_folder", "device")
def test_a_diverging_run_is_a_row_not_a_failure(tmp_path: Path) -> None:
    """Each stage as its rule calls it, in one process."""
    raw = {
        "experiment": "test",
        "problems": [{"problem": "linear_regression", "epochs": 3}],
        "optimizers": [{"optimizer": "sgd", "learning_rate": 1000.0}, "momentum"],
        "arms": ["default"],
        "seeds": {"final": 2},
        "measurements": [],
    }
    plan, job = "results/test/plan.json", ["--problem", "linear_regression", "--job", "0"]
    config = parse_config(raw, "test").as_json()
    for verb in (
        ["plan", "--config-json", config, "--output", plan],
        ["train", plan, *job],
        ["collect", "results/test"],
        ["compare", "results/test"],
        ["report", "results/test"],
    ):
        assert main(verb) == 0, verb
    runs = read_table(tmp_path / "results/test/runs.parquet", RUNS)
    diverged = runs[runs["optimizer"] == "sgd"]
    assert len(diverged) == 2
    assert set(diverged["status"]) == {"diverged"}
    assert (
        diverged["message"]
        .str.match(r"(loss not finite|train_loss .*, more than 1000 times .*,) after \d+ updates")
        .all()
    )
    assert (diverged["updates"] < diverged["updates_planned"]).all()
    assert set(runs[runs["optimizer"] == "momentum"]["status"]) == {"finished"}
    alarms = read_comparison(tmp_path / "results/test/comparison").alarms
    assert set(alarms.loc[alarms["optimizer"] == "sgd", "kind"]) == {"diverged"}


def test_snakemake_lints_and_reports(finished_workflow: Path, tmp_path: Path) -> None:
    folder = copied(finished_workflow, tmp_path / "copy")
    lint = run_snakemake(folder, "--lint")
    assert lint.returncode == 0, lint.stdout
    report = tmp_path / "snakemake-report.zip"
    made = run_snakemake(folder, "--report", str(report))
    assert made.returncode == 0, made.stdout
    with zipfile.ZipFile(report) as archive:
        pages = [name for name in archive.namelist() if name.endswith(".html")]
        assert {Path(name).name for name in pages} >= {"report.html", "index.html"}
        shown = [archive.read(name) for name in pages]
    assert (finished_workflow / "reports/test/index.html").read_bytes() in shown
