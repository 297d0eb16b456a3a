"""Which runs a config asks for, how they are cut into jobs, and what is refused before training."""

from __future__ import annotations

import collections
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from descentlab.experiment.config import Config, ConfigError, load_config, parse_config
from descentlab.experiment.jobs import cut_jobs, runs_per_optimizer
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.plan_parts import Layer
from descentlab.experiment.runs import final_runs, planned_runs, tuning_runs
from descentlab.optimizers.table import LITERATURE, OPTIMIZERS
from descentlab.problems.base import ProblemError
from descentlab.training.make_plan import make_plan

CONFIGS = Path(__file__).parents[2] / "workflow/config"

pytestmark = pytest.mark.usefixtures("device")


def config(**changes: object) -> Config:
    plain = {"experiment": "e", "problems": ["linear_regression"], "optimizers": ["gd", "adam"]}
    return parse_config({**plain, **changes}, "test")


@pytest.fixture(scope="module")
def plan(device: str) -> TrainingPlan:
    del device
    return make_plan(config(seeds={"final": 2, "tuning": 2}, tuning={"points": 5}))


def selection(rate: float | None, neighbors: list[float]) -> dict[str, Any]:
    grid = [None] if rate is None else [0.001, 0.00316, 0.01, 0.0316, 0.1]
    about = {"problem": "linear_regression", "optimizer": "adam"}
    return {**about, "learning_rate": rate, "grid": grid, "neighbors": neighbors}


def test_the_default_experiment_has_its_size() -> None:
    default = load_config(CONFIGS / "default.yaml")
    # And those that two of the claims ask for.
    assert [o.name for o in default.optimizers] == [*OPTIMIZERS, "rmsprop_momentum", "slides_adagrad"]
    assert default.seeds.final == 10
    runs = [len(default.entries(p)) * (runs_per_optimizer(default, p.name) - 10) for p in default.problems]
    assert sum(runs) >= 2500  # an edge costs at most one neighbor


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_is_valid_and_named_after_its_file(path: Path) -> None:
    assert load_config(path).experiment == path.stem


def test_the_schema_is_that_of_the_config() -> None:
    assert json.loads((CONFIGS / "schema.json").read_text()) == Config.model_json_schema()


@pytest.mark.parametrize("most", [1, 2, 5, 100, "auto"])
def test_jobs_hold_every_optimizer_once_and_in_order(most: int | str) -> None:
    for problem, jobs in cut_jobs(config(optimizers="all", execution={"optimizers_per_job": most})).items():
        names = [name for job in jobs for name in job]
        assert names == ["gd", "gd_equal_updates", *list(OPTIMIZERS)[1:]], problem
        sizes = [len(job) for job in jobs]
        assert max(sizes) - min(sizes) <= 1
        assert isinstance(most, str) or max(sizes) <= most


def test_expensive_optimizers_get_jobs_of_their_own() -> None:
    jobs = cut_jobs(config(problems=["linear_regression", "slides_cnn"], optimizers="all"))
    assert all(len(job) == 1 for job in jobs["slides_cnn"])
    assert len(jobs["linear_regression"]) < 5


def test_tuning_and_final_seeds_never_meet(plan: TrainingPlan) -> None:
    tuning = {spec.seed for spec in tuning_runs(plan, "linear_regression", "adam")}
    final = {spec.seed for spec in final_runs(plan, "linear_regression", "adam", selection(0.003, []))}
    assert len(tuning) == len(final) == 2
    assert tuning & final == set()


def test_runs_of_an_optimizer(plan: TrainingPlan) -> None:
    tuning = tuning_runs(plan, "linear_regression", "adam")
    assert sorted({spec.learning_rate for spec in tuning}) == [0.0001, 0.000316, 0.001, 0.00316, 0.01]
    assert {(spec.arm, spec.phase, spec.schedule) for spec in tuning} == {("tuned", "tuning", "linear")}
    runs = final_runs(plan, "linear_regression", "adam", selection(0.0316, [0.01, 0.1]))
    counted = collections.Counter((spec.arm, spec.phase, spec.schedule, spec.learning_rate) for spec in runs)
    assert counted == {
        ("default", "final", "constant", 0.001): 2,
        ("tuned", "final", "linear", 0.0316): 2,
        ("tuned", "neighbor", "linear", 0.01): 2,
        ("tuned", "neighbor", "linear", 0.1): 2,
    }
    assert len(tuning) + len(runs) == runs_per_optimizer(plan.config, "linear_regression")


@pytest.mark.parametrize(
    ("points", "rates"), [(1, [0.001]), (3, [0.000316, 0.001, 0.00316]), (5, [0.0001, 0.000316, 0.001, 0.00316, 0.01])]
)
def test_a_problem_with_fewer_points_has_those_in_the_middle(
    plan: TrainingPlan, points: int, rates: list[float]
) -> None:
    own = {"problem": "linear_regression", "tuning": {"points": points, "neighbors": False}}
    shorter = dataclasses.replace(
        plan, config=config(problems=[own], seeds={"final": 2, "tuning": 2}, tuning={"points": 5})
    )
    tuning = tuning_runs(shorter, "linear_regression", "adam")
    assert sorted({spec.learning_rate for spec in tuning}) == rates
    runs = final_runs(shorter, "linear_regression", "adam", selection(0.001, rates[:1]))
    assert {spec.phase for spec in runs} == {"final"}
    assert len(tuning) + len(runs) == runs_per_optimizer(shorter.config, "linear_regression")


def test_full_batch_has_a_second_row_with_as_many_updates(plan: TrainingPlan) -> None:
    specs = [tuning_runs(plan, "linear_regression", name)[0] for name in ("gd", "gd_equal_updates", "adam")]
    assert [(spec.batch_size, spec.equal_updates) for spec in specs] == [(0, False), (0, True), (32, False)]
    without = config(problems=[{"problem": "mlp", "gd_equal_updates": False}])
    assert cut_jobs(without) == {"mlp": [["gd", "adam"]]}


def test_run_ids_are_unique_and_plain(plan: TrainingPlan) -> None:
    made = [{**selection(0.01, [0.00316]), "optimizer": name} for name in ("gd", "gd_equal_updates", "adam")]
    ids = [spec.run_id for spec in planned_runs(plan, made)]
    assert len(ids) == len(set(ids)) == 3 * (10 + 2 + 2 + 2)
    assert "linear_regression.adam.tuned.neighbor.lr=0.00316.seed=1" in ids


def test_without_selections_only_what_is_known_is_planned(plan: TrainingPlan) -> None:
    assert {(spec.arm, spec.phase) for spec in planned_runs(plan, [])} == {("tuned", "tuning"), ("default", "final")}


def test_plan_describes_problems_and_optimizers(plan: TrainingPlan) -> None:
    problem = plan.problems["linear_regression"]
    assert (problem.parameters, problem.layers) == (11, (Layer("linear", "Dense", "(None, 1)", 11),))
    assert problem.train_examples + problem.val_examples + problem.test_examples == 442
    assert plan.optimizers["adam"].default_learning_rate == 0.001  # Keras 3.15's documented default


def test_a_default_arm_s_own_settings_are_those_that_are_not_the_class_s_defaults(device: str) -> None:
    """A rate that is written down and is Keras' own is a default; a class without a default rate has nothing to depart from."""
    del device
    own = {
        "adam": {"optimizer": "adam", "learning_rate": 0.001},
        "faster": {"optimizer": "adam", "name": "faster", "learning_rate": 0.01},
        "momentum": {"optimizer": "momentum"},
        "tuned_decay": {"optimizer": "sgd", "name": "tuned_decay", "tuned_weight_decay": 0.1},
    }
    made = make_plan(config(optimizers=list(own.values()), seeds={"final": 2, "tuning": 2}))
    assert {name: made.optimizers[name].own_settings for name in own} == {
        "adam": False,
        "faster": True,
        "momentum": True,
        "tuned_decay": False,
    }


def test_an_optimizer_without_a_rate_has_no_rate_to_tune(device: str) -> None:
    del device
    mapping = {"optimizer": "descentlab.optimizers.slides_adagrad:SlidesAdaGrad", "learning_rate": None}
    made = make_plan(config(optimizers=[mapping], seeds={"final": 2, "tuning": 2}))
    specs = planned_runs(made, [{**selection(None, []), "optimizer": "slides_ada_grad"}])
    assert {(spec.schedule, spec.learning_rate) for spec in specs} == {("constant", None)}
    assert specs[0].run_id == "linear_regression.slides_ada_grad.tuned.tuning.lr=none.seed=1000"


def test_a_literature_optimizer_is_planned_by_its_name(device: str) -> None:
    """It is tried as a reader's own is, and is not one: its lines aren't counted."""
    del device
    made = make_plan(config(optimizers=["adam", "signum"], seeds={"final": 2, "tuning": 2}))
    planned = made.optimizers["signum"]
    assert (planned.factory, planned.by_keras) == (LITERATURE["signum"].factory, "")
    assert (planned.default_learning_rate, planned.source_lines, planned.state_slots) == (1e-4, None, 1)
    rates = {spec.learning_rate for spec in tuning_runs(made, "linear_regression", "signum")}
    assert (len(rates), min(rates), max(rates)) == (7, 3.16e-6, 0.00316)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "PROBLEM = 3",
            "problem 'problem': an import path must name a descentlab.problems.base.Problem; "
            "'bad_problem_module:PROBLEM' is a int",
        ),
        (
            "OTHER = 3",
            "problem 'problem': an import path is 'package.module:name'; module 'bad_problem_module' has no 'PROBLEM'. "
            "It has: OTHER",
        ),
        (
            "raise KeyError('data')",
            "problem 'problem': 'bad_problem_module:PROBLEM' can't be imported: KeyError: 'data' (line 1 of "
            "bad_problem_module.py)",
        ),
    ],
)
def test_a_wrong_problem_of_the_readers_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    (tmp_path / "bad_problem_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "bad_problem_module", raising=False)
    with pytest.raises(ConfigError) as refused:
        make_plan(config(problems=["bad_problem_module:PROBLEM"]))
    assert str(refused.value) == message


def test_data_that_are_missing_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    with pytest.raises(ProblemError) as refused:
        make_plan(config(problems=[{"problem": "slides_cnn", "data": str(path)}]))
    assert str(refused.value) == (
        "data must be keras.datasets.mnist, keras.datasets.fashion_mnist or an .npz file with x_train, y_train, x_test, "
        f"y_test; no file at '{path}'"
    )


def test_a_batch_that_cannot_be_filled_is_refused() -> None:
    with pytest.raises(ProblemError) as refused:
        make_plan(config(problems=[{"problem": "linear_regression", "batch_size": 400}]))
    assert str(refused.value) == (
        "problem 'linear_regression': batch_size must fit into the training split; received batch_size=400, with 176 "
        "training examples"
    )
