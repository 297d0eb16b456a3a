"""The plan as a class and as a file."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from descentlab.experiment.config import ConfigError
from descentlab.experiment.plan import ImportedPlan, Plan, PlanError, TrainingPlan
from descentlab.optimizers.search_space import Trial
from support.comparison_fixture import generated_plan, imported_plan


def test_a_plan_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    plan = generated_plan()
    # A whole number stays one, an optimizer without a learning rate has null: neither 2.0 nor NaN is in the file.
    first = replace(
        plan.optimizers["gd"],
        state_slots=2,
        default_learning_rate=None,
        grid=(None,),
        extended_trials=(Trial(None, "constant", {"epsilon": 1e-8}), Trial(0.1, "cosine", {})),
    )
    plan = replace(plan, optimizers={**plan.optimizers, "gd": first})
    plan.write(tmp_path / "plan.json")
    assert TrainingPlan.read(tmp_path / "plan.json") == Plan.read(tmp_path) == plan
    content = json.loads((tmp_path / "plan.json").read_text(), parse_constant=math.isnan)
    assert content == plan.as_json()
    written = content["optimizers"]["gd"]
    assert (written["state_slots"], written["grid"], written["default_learning_rate"]) == (2, [None], None)
    assert isinstance(written["state_slots"], int)
    assert written["extended_trials"][1] == {"learning_rate": 0.1, "schedule": "cosine", "hyperparameters": {}}


def test_an_imported_plan_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    plan = imported_plan(["abc", "def"])
    plan.write(tmp_path / "plan.json")
    again = Plan.read(tmp_path)
    assert again == plan
    assert isinstance(again, ImportedPlan)
    assert (again.main_arm, again.reference, again.problems["up"].epochs) == ("logged", "momentum", (2, 3))
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content == plan.as_json()
    assert content["imported"]["commits"] == ["abc", "def"]
    assert content["config"]["seeds"] == {"final": 6, "tuning": 0}


def test_what_trains_refuses_an_imported_plan(tmp_path: Path) -> None:
    imported_plan().write(tmp_path / "plan.json")
    with pytest.raises(
        PlanError, match=r"plan\.json: these runs were logged externally; only runs that 'descentlab plan' planned"
    ):
        TrainingPlan.read(tmp_path)


def test_a_plan_is_frozen() -> None:
    plan = generated_plan()
    with pytest.raises(FrozenInstanceError):
        plan.versions = {}  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        plan.problems["up"].margin = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arms", "main"), [(["default", "tuned"], "tuned"), (["tuned", "extended"], "tuned"), (["default"], "default")]
)
def test_the_main_arm_is_the_tuned_one_else_the_first(arms: list[str], main: str) -> None:
    assert generated_plan(arms=arms).main_arm == main


def test_the_sign_makes_higher_better() -> None:
    assert {name: problem.sign for name, problem in generated_plan().problems.items()} == {"up": 1, "down": -1}


def without(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The content without the key at the end of a path."""
    first, *rest = keys
    if rest:
        return {**content, first: without(content[first], *rest)}
    return {name: value for name, value in content.items() if name != first}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (without(generated_plan().as_json(), "versions"), "versions: this key is required"),
        (without(generated_plan().as_json(), "config"), "config: this key is required"),
        (without(generated_plan().as_json(), "problems", "up", "margin"), "problems.up.margin: this key is required"),
        ({**generated_plan().as_json(), "extra": 1}, "extra: unknown key"),
        ({**generated_plan().as_json(), "runs": {"up": "many"}}, "runs.up: "),
        ([], "a plan must be a mapping; received list"),
    ],
)
def test_what_is_no_plan_of_this_version_is_refused_in_one_line(tmp_path: Path, content: Any, place: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    with pytest.raises(PlanError) as refused:
        Plan.read(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: {place}")
    assert message.endswith("Plan again with this version: descentlab plan CONFIG")
    assert "\n" not in message


def test_a_damaged_file_and_an_invalid_config_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"config": ')
    with pytest.raises(PlanError, match=r"plan\.json: the plan is not valid JSON: "):
        Plan.read(path)
    path.write_text(json.dumps({**generated_plan().as_json(), "config": {"experiment": "e"}}))
    with pytest.raises(ConfigError, match=r"plan\.json: problems: this key is required"):
        Plan.read(path)


def test_a_missing_plan_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "e", tmp_path / "e/plan.json"):
        with pytest.raises(FileNotFoundError) as missing:
            Plan.read(path)
        assert missing.value.filename == str(tmp_path / "e/plan.json")


def test_an_imported_plan_of_another_version_is_imported_again(tmp_path: Path) -> None:
    content = without(imported_plan().as_json(), "unknown")
    with pytest.raises(PlanError, match=r"^here: unknown: this key is required\. Import again with this version: "):
        Plan.from_json(content, "here")
