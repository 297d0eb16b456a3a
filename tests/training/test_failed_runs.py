"""A run that raises or hangs: named where it ends the job, a row of its own where the job keeps going."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pandas.testing import assert_frame_equal

from descentlab.experiment.config import parse_config
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import HISTORY, RUNS
from descentlab.experiment.run_spec import RunSpec
from descentlab.experiment.runs import entries_of, final_runs
from descentlab.storage.tables import check_table, read_table
from descentlab.training import member_run
from descentlab.training.failed_runs import FaultPolicy, failed_result
from descentlab.training.find_problem import planned_problem
from descentlab.training.make_plan import make_plan
from descentlab.training.optimizer_job import OptimizerJob, TrainingError
from descentlab.training.run_result import RunResult
from descentlab.training.tuning import select_learning_rate
from support.workflow_fixture import run_snakemake

PROBLEM = "logistic_regression"
# Both can be planned: what they can't take is the kernel of linear_regression.
OWN_RULES = """
import keras
import tensorflow as tf

KERNEL = (10, 1)


class Raises(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        if tuple(variable.shape) == KERNEL:
            raise ArithmeticError("no step <today>")
        super().update_step(gradient, variable, learning_rate)


class Hangs(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        if tuple(variable.shape) == KERNEL:
            (never,) = tf.while_loop(lambda x: x >= 0.0, lambda x: [tf.abs(x)], [tf.constant(1.0)])
            gradient *= never
        super().update_step(gradient, variable, learning_rate)
"""
OWN_DATA = """
from dataclasses import replace

import numpy as np

from descentlab.problems.base import Data
from descentlab.problems.builtin.linear_regression import PROBLEM


def load_data(path):
    y = np.loadtxt("targets.txt", dtype=np.float32)[:, None]
    return Data(np.repeat(y, PROBLEM.build_model().input_shape[1], axis=1), y)


LOST = replace(PROBLEM, name="lost", title="Lost", load_data=load_data, stratified=False)
"""


@pytest.fixture(scope="module")
def plan(device: str) -> TrainingPlan:
    del device
    config = {
        "experiment": "e",
        "problems": [{"problem": PROBLEM, "epochs": 1}],
        "optimizers": ["sgd"],
        "seeds": {"final": 3, "tuning": 2},
        "arms": ["default"],
    }
    return make_plan(parse_config(config, "test"))


@pytest.fixture
def bad_seed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The batches of seed 1 can't be drawn, until the patch is undone."""
    whole = member_run.data_order

    def order(problem: str, seed: int, *arguments: Any) -> np.ndarray:
        if seed == 1:
            raise MemoryError("too much")
        return whole(problem, seed, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(member_run, "data_order", order)
        yield patch


def trained(plan: TrainingPlan, cache: Path, device: str, keep_going: bool = True) -> list[tuple[RunResult, bool]]:
    """The results of the three final runs, which train side by side, and whether each had to be trained."""
    problem, entry = planned_problem(plan, PROBLEM, device), entries_of(plan, PROBLEM)["sgd"]
    job = OptimizerJob(plan, problem, entry, cache, FaultPolicy(keep_going))
    return [(result, anew) for _, result, anew in job.run(final_runs(plan, PROBLEM, "sgd", None))]


def cached(cache: Path) -> int:
    return len(list(cache.rglob("*.npz")))


def test_one_of_several_side_by_side_fails_alone_and_is_trained_again(
    plan: TrainingPlan, tmp_path: Path, device: str, bad_seed: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    results = [result for result, _ in trained(plan, tmp_path / "disturbed", device)]
    assert [result.record["status"] for result in results] == ["finished", "failed", "finished"]
    assert results[1].record["message"].startswith("MemoryError: too much (line ")
    assert cached(tmp_path / "disturbed") == 2
    log = capfd.readouterr().err
    assert log.count("Traceback") == 1
    line, _, _ = log.partition("Traceback")
    assert f"run {PROBLEM}.sgd.default.final.lr=0.01.seed=1 raised MemoryError: too much (line " in line
    assert '"seed": 1' in line

    bad_seed.undo()
    again = trained(plan, tmp_path / "disturbed", device)
    assert [anew for _, anew in again] == [False, True, False]
    undisturbed = trained(plan, tmp_path / "undisturbed", device)
    for (one, _), (other, _) in zip(again, undisturbed, strict=True):
        clocks = ["train_seconds"]
        assert_frame_equal(one.history.drop(columns=clocks), other.history.drop(columns=clocks), check_exact=True)
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.usefixtures("bad_seed")
def test_without_keeping_going_the_job_ends_with_the_runs_name_and_what_finished_is_kept(
    plan: TrainingPlan, tmp_path: Path, device: str
) -> None:
    with pytest.raises(TrainingError) as raised:
        trained(plan, tmp_path, device, keep_going=False)
    run_id = f"{PROBLEM}.sgd.default.final.lr=0.01.seed=1"
    assert str(raised.value).startswith(f"run {run_id} raised MemoryError: too much (line ")
    assert cached(tmp_path) == 1


def test_a_failed_run_is_a_row_and_has_no_history() -> None:
    result = failed_result("too long", batch_size=32, updates_planned=40, parameters=7)
    spec = RunSpec("mlp", "sgd", "default", "final", 0.1, "constant", 32, 1, 32, False, 0)
    named = {name: value for name, value in spec.as_dict().items() if name in RUNS}
    common = {"data_hash": "", "device": "", "mode": "", "metric": "accuracy", "higher_is_better": True, "digest": ""}
    row = check_table(pd.DataFrame([{**named, "run_id": "a", **result.record, **common}]), RUNS, "here").iloc[0]
    assert (row["status"], row["message"]) == ("failed", "too long")
    assert (row["updates"], row["updates_planned"], row["train_seconds"]) == (0, 40, 0.0)
    assert np.isnan(row["val_metric"])
    assert len(check_table(result.history.assign(run_id="a"), HISTORY, "here")) == 0


def test_a_rate_with_a_failed_seed_is_not_chosen() -> None:
    config = {"experiment": "e", "problems": ["mlp"], "optimizers": ["sgd"], "seeds": {"final": 1, "tuning": 2}}
    entry = parse_config(config, "test").optimizers[0].entry()
    specs = [
        RunSpec("mlp", "sgd", "tuned", "tuning", rate, "linear", 32, 1, 32, False, seed)
        for rate in (0.1, 0.2)
        for seed in (1000, 1001)
    ]
    ends = [("finished", 0.8), ("finished", 0.8), ("finished", 0.9), ("failed", float("nan"))]
    records = [{"status": status, "val_metric": value, "val_loss": value} for status, value in ends]
    assert select_learning_rate(entry, "mlp", specs, records, 1, 0.01)["learning_rate"] == 0.1


def test_snakemake_fails_loudly_or_keeps_going(tmp_path: Path) -> None:
    """An optimizer that raises, one that hangs inside a compiled loop, and a problem whose data are gone after planning."""
    (tmp_path / "own_rules.py").write_text(OWN_RULES)
    (tmp_path / "own_data.py").write_text(OWN_DATA)
    (tmp_path / "targets.txt").write_text("1\n2\n4\n" * 40)
    config = tmp_path / "faulty.yaml"
    wanted = {
        "experiment": "faulty",
        "optimizers": ["sgd", "own_rules:Raises", "own_rules:Hangs"],
        "arms": ["default"],
        "problems": [
            {"problem": name, "epochs": 1, "mode": "graph"} for name in ("linear_regression", "own_data:LOST")
        ],
        "seeds": {"final": 1},
        "measurements": [],
        "execution": {"run_minutes": 0.4},
    }
    config.write_text(yaml.safe_dump(wanted))
    run_id = "linear_regression.raises.default.final.lr=0.01.seed=0"
    log = Path("results/faulty/logs/train/linear_regression.0.log")

    target = "results/faulty/train/linear_regression/0.runs.parquet"
    loud = run_snakemake(tmp_path, "--", target, config=config)
    assert loud.returncode != 0
    assert f"descentlab: run {run_id} raised ArithmeticError: no step <today> (line 11 of own_rules.py) " in loud.stdout
    assert '"optimizer": "raises", "arm": "default", "phase": "final", "learning_rate": 0.01' in loud.stdout
    assert str(log) in loud.stdout
    assert f"descentlab: run {run_id} raised" in (tmp_path / log).read_text()
    assert not (tmp_path / target).exists()
    assert cached(tmp_path / "results/cache") == 1

    (tmp_path / "targets.txt").unlink()
    going = run_snakemake(tmp_path, "--keep-going", config=config)
    assert going.returncode == 0, going.stdout
    runs = read_table(tmp_path / "results/faulty/runs.parquet", RUNS)
    status = runs.pivot(index="problem", columns="optimizer", values="status")
    assert status.loc["linear_regression"].to_dict() == {"sgd": "finished", "raises": "failed", "hangs": "failed"}
    assert set(status.loc["lost"]) == {"failed"}
    page = (tmp_path / "reports/faulty/index.html").read_text()
    for told in (
        "raises on linear_regression, default arm: 1 of 1 final runs failed (ArithmeticError: no step &lt;today&gt; (line 11 of "
        "own_rules.py))",
        "hangs on linear_regression, default arm: 1 of 1 final runs failed (took longer than execution.run_minutes (0.4))",
        "sgd on lost, default arm: 1 of 1 final runs failed (FileNotFoundError: targets.txt not found (line 11 of own_data.py))",
    ):
        assert told in page
    assert cached(tmp_path / "results/cache") == 1
    again = run_snakemake(tmp_path, config=config)
    assert "Nothing to be done" in again.stdout, "keeping going is no reason to train again"
