"""Models of readers through plan, job and comparison: how each is trained is planned, recorded, and what it says is compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descentlab.analysis.pairing import PairedRuns, scores_by_run
from descentlab.experiment.config import parse_config
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import EXAMPLES, RUNS
from descentlab.problems.base import ProblemError
from descentlab.storage.tables import read_table
from descentlab.training.engine.modes import WIDTH
from descentlab.training.find_problem import planned_problem
from descentlab.training.job import train_job
from descentlab.training.make_plan import make_plan
from support.zoo_cases import one_of_a_kind

pytestmark = pytest.mark.usefixtures("device")

PROBLEMS = {
    "measures:AUC": ("xla", False),
    "pairs:HEADS_DICT": ("keras", False),
    "losses:MASKED_LOSS": ("xla", False),
    "losses:FLAT_TARGETS": ("xla", True),
    "generative:GAN_OF_PARTS": ("keras", False),
}


def planned(problem: str, **changes: Any) -> TrainingPlan:
    config = {
        "experiment": "own",
        "problems": [{"problem": problem, "name": "mine", "epochs": 1, **changes}],
        "optimizers": [
            {"optimizer": "sgd", "center_learning_rate": 0.05},
            {"optimizer": "support.own_optimizers:Counting", "name": "counting", "center_learning_rate": 0.05},
        ],
        "arms": ["tuned"],
        "seeds": {"final": 2, "tuning": 1},
        "tuning": {"points": 1},
        "sweep": {"optimizers": []},
    }
    return make_plan(parse_config(config, "test"))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_from_plan_to_comparison(problem: str, tmp_path: Path, device: str) -> None:
    mode = PROBLEMS[problem][
        0
    ]  # asked for, as the fastest differs between machines; for what only Keras can train, chosen
    plan = planned(f"models.zoo.{problem}", mode="auto" if mode == "keras" else mode)
    assert (plan.problems["mine"].mode, plan.problems["mine"].by_example) == PROBLEMS[problem]
    assert bool(plan.problems["mine"].mode_reasons) != plan.problems["mine"].by_example
    assert not plan.optimizers["sgd"].by_keras
    assert plan.optimizers["counting"].by_keras
    train_job(plan, "mine", 0, tmp_path / "train", tmp_path / "cache")
    runs = read_table(tmp_path / "train/0.runs.parquet", RUNS)
    assert set(runs["status"]) == {"finished"}
    assert set(runs.loc[runs["optimizer"] == "sgd", "mode"]) == {PROBLEMS[problem][0]}
    assert set(runs.loc[runs["optimizer"] == "counting", "mode"]) == {"keras"}
    tuning = runs[runs["phase"] == "tuning"]
    assert tuning["test_metric"].isna().all() and tuning["val_metric"].notna().all()

    finals = runs[(runs["phase"] == "final") & (runs["arm"] == "tuned")].set_index("seed")
    scores = scores_by_run(read_table(tmp_path / "train/0.examples.parquet", EXAMPLES))
    for _, run in finals.iterrows():
        assert scores[run["run_id"]].mean() == pytest.approx(run["test_metric"], abs=1e-4)
    first, second = (finals[finals["optimizer"] == name] for name in ("counting", "sgd"))
    assert (first["init_hash"] == second["init_hash"]).all()
    for counting, sgd in zip(
        first["run_id"], second["run_id"], strict=True
    ):  # the same rule, so the same example by example
        np.testing.assert_allclose(scores[counting], scores[sgd], rtol=1e-3, atol=1e-4)
        assert np.ptp(scores[sgd]) > 0
    pair = PairedRuns(first, second, scores, "mine", 0.01)
    assert pair.test.estimate.mean == pytest.approx(pair.differences.mean(), abs=1e-4)


def test_a_mode_that_is_asked_for_is_used_or_refused() -> None:
    assert planned("models.zoo.measures:AUC", mode="keras").problems["mine"].mode == "keras"
    with pytest.raises(ProblemError) as caught:
        planned("models.zoo.pairs:HEADS_DICT", mode="xla")
    assert str(caught.value) == (
        "problem 'mine': mode: xla can't train it; write mode: auto. Reason: "
        "the compiled loop needs a model with one output"
    )


def test_a_tuning_run_is_given_no_test_example(device: str) -> None:
    """An autoencoder's targets are its inputs: neither is left of a test example."""
    problem = planned_problem(planned("models.zoo.generative:AUTOENCODER"), "mine", device)
    test = problem.split(0).test
    assert problem.data.x[test].any() and problem.data.y[test].any()
    assert not problem.sealed_data.x[test].any() and not problem.sealed_data.y[test].any()
    others = np.setdiff1d(np.arange(len(problem.data)), test)
    np.testing.assert_array_equal(problem.sealed_data.x[others], problem.data.x[others])


ALONE = [("recurrent:PLAIN_LSTM", "sgd"), ("text:EMBEDDING_BAG", "rmsprop")]
SPARSE = [("text:EMBEDDING_BAG", name) for name in ("adagrad", "adadelta", "adafactor", "schedule_free_adamw")]


@pytest.mark.parametrize(("problem", "optimizer"), one_of_a_kind([*ALONE, *SPARSE], ALONE))
def test_a_small_model_trains_whatever_can_be_compiled_side_by_side(
    problem: str, optimizer: str, tmp_path: Path
) -> None:
    """Sequences are found when the plan is made, sparse gradients of an optimizer in its job; a run is the same again."""
    plan = planned(f"models.zoo.{problem}", mode="xla")
    assert plan.problems["mine"].width == (1 if optimizer == "sgd" else WIDTH)
    config = {**json.loads(plan.config.as_json()), "optimizers": [optimizer]}
    plan = make_plan(parse_config(config, "test"), tmp_path / "cache")
    for folder in ("first", "again"):
        train_job(plan, "mine", 0, tmp_path / folder, tmp_path / f"{folder}-cache")
    first, again = (read_table(tmp_path / folder / "0.runs.parquet", RUNS) for folder in ("first", "again"))
    assert set(first["status"]) == {"finished"} and set(first["members"]) == {1} and set(first["mode"]) == {"xla"}
    assert first["test_loss"].equals(again["test_loss"]) and first["train_loss"].notna().all()


def test_a_keras_mode_that_is_asked_for_is_tried() -> None:
    plan = planned("models.zoo.losses:FLAT_TARGETS", mode="eager")
    assert plan.problems["mine"].mode == "eager"
    with pytest.raises(ProblemError, match="Keras can't train and evaluate it"):
        planned("support.own_problems:UNKNOWN_LOSS", mode="keras")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            "DATASET",
            "x must be an array, or a table, dense tensor or list that becomes one; received _BatchDataset, whose ",
        ),
        ("MISSING", "its data or model can't be loaded: KeyError: 'age' (line "),
        ("RAGGED", "its data or model can't be loaded: ValueError: x: a list's rows have different lengths, "),
        (
            "NARROW",
            "the model can't be called on the data: ValueError: Dimensions must be equal, but are 5 and 7 for 'sub = "
            "Sub[T=DT_FLOAT](Placeholder, ones)' with input shapes: [2,5], [1,7] (in Narrow.call(), line ",
        ),
        ("PAIR", "its model has a compile of its own that doesn't take one optimizer, a loss and metrics, "),
        ("UNKNOWN_LOSS", "Keras can't train and evaluate it: ValueError: Could not interpret loss identifier: msee"),
        ("RAISING_METRIC", "Keras can't train and evaluate it: ArithmeticError: no metric today (line "),
    ],
)
def test_what_can_not_be_trained_is_refused_in_one_line(problem: str, said: str) -> None:
    with pytest.raises(ProblemError) as refused:
        planned(f"support.own_problems:{problem}")
    line = str(refused.value).partition(": ")[2]
    assert line.startswith(said)
    assert line.isprintable() and len(line) < 500


def test_float16_is_trained_by_keras_which_scales_the_loss() -> None:
    problem = planned("support.own_problems:HALF_PRECISION").problems["mine"]
    assert (problem.mode, problem.by_example) == ("keras", False)
    assert problem.mode_reasons[-1].startswith("in float16 Keras scales the loss")
