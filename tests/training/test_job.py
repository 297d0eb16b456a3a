"""A job: the sealed test split, the selection, pairing, the cache, the files."""

from __future__ import annotations

import importlib
import json
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from descentlab.__main__ import main
from descentlab.experiment.config import Config, parse_config
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import RUNS
from descentlab.experiment.run_spec import RunSpec
from descentlab.experiment.runs import entries_of, final_runs, planned_runs, tuning_runs
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import ProblemError
from descentlab.storage.tables import read_table
from descentlab.training import member_run, optimizer_job, problem_data
from descentlab.training.find_problem import planned_problem
from descentlab.training.job import train_job
from descentlab.training.make_plan import make_plan
from descentlab.training.optimizer_job import OptimizerJob, TrainingError
from descentlab.training.run_digest import problem_code
from descentlab.training.run_result import RunResult
from descentlab.training.tuning import select_learning_rate

pytestmark = pytest.mark.usefixtures("device")


def planned(**changes: object) -> TrainingPlan:
    plain = {
        "experiment": "e",
        "problems": [{"problem": "logistic_regression", "epochs": 2}],
        "optimizers": ["sgd", "adam"],
        "seeds": {"final": 2, "tuning": 2},
        "tuning": {"points": 3, "growth": 0},
        "sweep": {"optimizers": []},
    }
    return make_plan(parse_config({**plain, **changes}, "test"))


@pytest.fixture(scope="module")
def plan(device: str) -> TrainingPlan:
    del device
    return planned()


def tuned_with_noisy_test_targets(
    plan: TrainingPlan, folder: Path, device: str, noise_seed: int | None
) -> tuple[list[float], list[RunResult]]:
    """Tuning results where the test targets were replaced by noise."""
    problem = planned_problem(plan, "logistic_regression", device)
    if noise_seed is not None:
        data = problem.data
        y = data.y.copy()
        test = problem.split(0).test
        y[test] = np.random.default_rng(noise_seed).integers(0, 10, len(test))
        assert (y[test] != data.y[test]).any()
        problem.__dict__["data"] = replace(data, y=y, test=test)
    jobs = OptimizerJob(plan, problem, entries_of(plan, "logistic_regression")["adam"], folder)
    results = [result for _, result, _ in jobs.run(tuning_runs(plan, "logistic_regression", "adam"))]
    return [result.record["val_metric"] for result in results], results


def selected(plan: TrainingPlan, results: list[RunResult]) -> dict[str, Any]:
    specs = tuning_runs(plan, "logistic_regression", "adam")
    records = [result.record for result in results]
    return select_learning_rate(OPTIMIZERS["adam"], "logistic_regression", specs, records, 1, 0.01)


def test_tuning_cannot_read_a_test_target(plan: TrainingPlan, tmp_path: Path, device: str) -> None:
    plain, plain_results = tuned_with_noisy_test_targets(plan, tmp_path / "plain", device, None)
    noisy, noisy_results = tuned_with_noisy_test_targets(plan, tmp_path / "noisy", device, 1)
    assert noisy == plain
    for a, b in zip(plain_results, noisy_results, strict=True):
        clocks = ["train_seconds"]
        assert_frame_equal(a.history.drop(columns=clocks), b.history.drop(columns=clocks), check_exact=True)
    assert selected(plan, noisy_results) == selected(plan, plain_results)
    assert all(result.history[["test_loss", "test_metric"]].isna().all(axis=None) for result in plain_results)


def test_the_selection_is_on_disk_before_a_final_run_starts(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "e/train/logistic_regression"
    selected_when_final: list[set[str]] = []
    whole = OptimizerJob.run

    def run(self: OptimizerJob, specs: list[RunSpec]) -> Iterator[tuple[str, RunResult, bool]]:
        for spec in specs:
            if spec.phase != "tuning":
                selections = json.loads((output / "0.selections.json").read_text())
                selected_when_final.append({selection["optimizer"] for selection in selections})
                assert spec.optimizer in selected_when_final[-1]
        return whole(self, specs)

    monkeypatch.setattr(OptimizerJob, "run", run)
    train_job(plan, "logistic_regression", 0, output, tmp_path / "cache")
    assert selected_when_final[0] == {"sgd"}
    assert selected_when_final[-1] == {"sgd", "adam"}
    runs = read_table(output / "0.runs.parquet", RUNS)
    assert len(runs) == len(selected_when_final) + 2 * 3 * 2


def test_a_grid_far_from_the_good_rates_grows_toward_them(tmp_path: Path) -> None:
    """Half a decade at a time, at most by four points; every run is recorded, and planned once the choice is known."""
    far = [{"optimizer": "sgd", "center_learning_rate": 1e-4}]
    made = planned(optimizers=far, tuning={"points": 3, "growth": 4}, arms=["tuned"])
    output = tmp_path / "e/train/logistic_regression"
    train_job(made, "logistic_regression", 0, output, tmp_path / "cache")
    (selection,) = json.loads((output / "0.selections.json").read_text())
    grid = selection["grid"]
    assert len(grid) == 7 and grid == sorted(grid) and grid[-1] > 3.16e-4 and selection["edge"]
    assert np.diff(np.log10(grid)) == pytest.approx(0.5, abs=0.01)
    runs = read_table(output / "0.runs.parquet", RUNS)
    tuning = runs[runs["phase"] == "tuning"]
    assert set(tuning["learning_rate"]) == set(selection["grid"]) and len(tuning) == 7 * 2
    assert {spec.run_id for spec in planned_runs(made, [selection])} == set(runs["run_id"])


def run_once(plan: TrainingPlan, optimizer: str, seed: int, cache: Path, device: str) -> RunResult:
    problem = planned_problem(plan, "logistic_regression", device)
    job = OptimizerJob(plan, problem, entries_of(plan, "logistic_regression")[optimizer], cache)
    specs = final_runs(plan, "logistic_regression", optimizer, None)
    ((_, result, trained),) = job.run([next(spec for spec in specs if spec.seed == seed)])
    assert trained
    return result


def test_same_seed_same_bits_other_seed_other_bits(plan: TrainingPlan, tmp_path: Path, device: str) -> None:
    first = run_once(plan, "adam", 0, tmp_path / "first", device)
    again = run_once(plan, "adam", 0, tmp_path / "again", device)
    other = run_once(plan, "adam", 1, tmp_path / "other", device)
    clocks = ["train_seconds"]
    assert_frame_equal(first.history.drop(columns=clocks), again.history.drop(columns=clocks), check_exact=True)
    np.testing.assert_array_equal(first.scores, again.scores)
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    assert first.record["init_hash"] != other.record["init_hash"]
    assert first.record["split_hash"] != other.record["split_hash"]


def test_optimizers_of_one_seed_are_paired(plan: TrainingPlan, tmp_path: Path, device: str) -> None:
    sgd = run_once(plan, "sgd", 0, tmp_path, device)
    adam = run_once(plan, "adam", 0, tmp_path, device)
    for name in ("init_hash", "split_hash", "optimum", "updates_planned"):
        assert sgd.record[name] == adam.record[name]
    start = ["train_loss", "val_loss", "test_loss", "penalty"]
    assert_frame_equal(sgd.history.loc[[0], start], adam.history.loc[[0], start], check_exact=True)
    assert sgd.record["train_loss"] != adam.record["train_loss"]


def test_training_does_not_go_below_the_optimum(plan: TrainingPlan, tmp_path: Path, device: str) -> None:
    record = run_once(plan, "adam", 0, tmp_path, device).record
    assert record["train_loss"] + record["penalty"] > record["optimum"] > 0.1


def test_data_other_than_those_planned_with_are_refused(plan: TrainingPlan, device: str) -> None:
    planned_with = plan.problems["logistic_regression"]
    others = replace(plan, problems={"logistic_regression": replace(planned_with, data_hash="0" * 64)})
    problem = planned_problem(others, "logistic_regression", device)
    with pytest.raises(ProblemError) as refused:
        _ = problem.data
    received = planned_with.data_hash[:12]
    assert str(refused.value).startswith(
        "problem 'logistic_regression': the data have changed since plan.json was written (sha256 000000000000… then, "
        f"{received}… now). Restore the data, or plan again; "
    )


def test_a_run_that_raises_is_named(
    plan: TrainingPlan, tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(*arguments: object) -> None:
        raise MemoryError("too much")

    monkeypatch.setattr(member_run, "data_order", raising)
    with pytest.raises(TrainingError) as raised:
        run_once(plan, "adam", 0, tmp_path, device)
    message = str(raised.value)
    assert message.startswith(
        "run logistic_regression.adam.default.final.lr=0.001.seed=0 raised MemoryError: too much (line "
    )
    assert '"seed": 0' in message


def test_models_are_seeded_before_any_is_trained(
    plan: TrainingPlan, tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras' seeding makes TensorFlow forget its prepared functions: between two runs, their seconds would count as training."""
    happened: list[str] = []

    def note(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **named: Any) -> Any:
            happened.append(what)
            return function(*arguments, **named)

        return noted

    monkeypatch.setattr(problem_data, "initial_variables", note("seeded", problem_data.initial_variables))
    monkeypatch.setattr(optimizer_job, "train_side_by_side", note("trained", optimizer_job.train_side_by_side))
    problem = planned_problem(plan, "logistic_regression", device)
    monkeypatch.setattr(problem, "width", 1)
    specs = tuning_runs(plan, "logistic_regression", "sgd")
    runs = OptimizerJob(plan, problem, entries_of(plan, "logistic_regression")["sgd"], tmp_path)
    assert len([*runs.run(specs)]) == len(specs)
    seeds = len({spec.seed for spec in specs})
    assert happened == ["seeded"] * seeds + ["trained"] * len(specs)


def test_a_loss_far_above_the_initial_one_is_a_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exploding_problem.py").write_text(
        "from dataclasses import replace\n"
        "from descentlab.problems.builtin.linear_regression import PROBLEM as LINEAR\n"
        "PROBLEM = replace(LINEAR, name='exploding', divergence_factor=0.5, optimum=None)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = planned(problems=[{"problem": "exploding_problem:PROBLEM", "name": "exploding", "epochs": 2}])
    output = tmp_path / "e/train/exploding"
    train_job(made, "exploding", 0, output, tmp_path / "cache")
    runs = read_table(output / "0.runs.parquet", RUNS)
    assert set(runs["status"]) == {"diverged"}
    assert (
        runs["message"]
        .str.fullmatch(r"train_loss [\d.]+, more than 0.5 times the initial [\d.]+, after 0 updates")
        .all()
    )
    assert (runs["updates"] == 0).all()
    assert (
        json.loads((output / "0.selections.json").read_text())[0]["learning_rate"]
        == OPTIMIZERS["sgd"].center_learning_rate
    )
    assert not (tmp_path / "e/models/exploding/sgd.keras").exists()


def test_an_edit_of_the_readers_problem_makes_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    module = tmp_path / "edited_problem.py"
    monkeypatch.syspath_prepend(tmp_path)
    sources = []
    for bound in ("0.5", "0.25"):
        module.write_text(
            "from dataclasses import replace\n"
            "from descentlab.problems.builtin.linear_regression import PROBLEM as LINEAR\n"
            f"PROBLEM = replace(LINEAR, name='edited', divergence_factor={bound})\n"
        )
        monkeypatch.delitem(sys.modules, "edited_problem", raising=False)
        importlib.invalidate_caches()
        linecache.checkcache()
        plan = planned(problems=["edited_problem:PROBLEM"], optimizers=["sgd"], arms=["default"])
        problem = planned_problem(plan, "problem", device)
        sources.append(problem_code(problem.problem, problem.source))
    assert sources[0] != sources[1]


def test_the_saved_model_is_the_best_final_run_by_validation(plan: TrainingPlan, tmp_path: Path, device: str) -> None:
    output = tmp_path / "e/train/logistic_regression"
    train_job(plan, "logistic_regression", 0, output, tmp_path / "cache")
    runs = read_table(output / "0.runs.parquet", RUNS)
    finals = runs[(runs["arm"] == "tuned") & (runs["phase"] == "final") & (runs["optimizer"] == "adam")]
    best = finals.loc[finals["val_metric"].idxmax()]
    model = keras.saving.load_model(tmp_path / "e/models/logistic_regression/adam.keras")
    problem = planned_problem(plan, "logistic_regression", device)
    test = problem.split(int(best["seed"])).test
    predicted = np.asarray(model(problem.data.x[test])).argmax(1)
    assert np.mean(predicted == problem.data.y[test]) == pytest.approx(best["test_metric"])


def test_evaluations_on_a_part_end_with_the_whole(tmp_path: Path) -> None:
    wanted = {"problem": "logistic_regression", "epochs": 2, "evaluation_examples": 50, "train_examples": 320}
    made = planned(problems=[wanted], optimizers=["sgd"], arms=["default"])
    problem = made.problems["logistic_regression"]
    assert (problem.train_examples, problem.val_examples) == (320, 80)
    output = tmp_path / "e/train/logistic_regression"
    train_job(made, "logistic_regression", 0, output, tmp_path / "cache")
    history = pd.read_parquet(output / "0.history.parquet")
    run = history[history["run_id"] == history["run_id"].iloc[0]]
    # The mean of 0s and 1s over n examples is a multiple of 1 / n.
    right = np.append(run["test_metric"].iloc[:-1] * 50, run["test_metric"].iloc[-1] * 599)
    np.testing.assert_allclose(right, np.round(right), atol=1e-6)
    assert len(pd.read_parquet(output / "0.examples.parquet")) == 2 * 599


def test_a_problem_of_the_readers_own_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_problem.py").write_text(
        "import keras, numpy as np\n"
        "from descentlab.problems.base import Data, Metric, Problem\n"
        "def build_model():\n"
        "    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "def load_data(path):\n"
        "    x = np.random.default_rng(0).normal(size=(90, 2)).astype('float32')\n"
        "    return Data(x, x @ np.float32([[1], [-2]]))\n"
        "PROBLEM = Problem('own', 'Own', build_model, load_data, 'mse',\n"
        "    Metric('absolute error', False, keras.losses.mean_absolute_error), epochs=30, batch_size=8, stratified=False)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = planned(problems=["own_problem:PROBLEM"], optimizers=["momentum"])
    output = tmp_path / "e/train/problem"
    train_job(made, "problem", 0, output, tmp_path / "cache")
    runs = read_table(output / "0.runs.parquet", RUNS)
    tuned = runs[(runs["arm"] == "tuned") & (runs["phase"] == "final")]
    assert (tuned["test_metric"] < 0.01).all()  # a noise-free affine target


def test_a_process_that_trains_parses_the_config_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = planned(optimizers=["sgd"], arms=["default"], seeds={"final": 1, "tuning": 1})
    small.write(tmp_path / "e/plan.json")
    parsed: list[str] = []

    def counting(raw: Any, where: str) -> Config:
        parsed.append(where)
        return parse_config(raw, where)

    for module in [module for name, module in sys.modules.items() if name.startswith("descentlab.")]:
        if getattr(module, "parse_config", None) is parse_config:
            monkeypatch.setattr(module, "parse_config", counting)
    assert main(["train", str(tmp_path / "e/plan.json"), "--problem", "logistic_regression", "--job", "0"]) == 0
    assert parsed == [str(tmp_path / "e/plan.json")]
    assert len(read_table(tmp_path / "e/train/logistic_regression/0.runs.parquet", RUNS)) == 1
