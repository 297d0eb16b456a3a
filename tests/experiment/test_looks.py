"""What a look decides, as a file, and the runs that it adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from descentlab.experiment.config import ConfigError, parse_config
from descentlab.experiment.looks import Contrast, Look, LookError, seeds_of_contrasts
from descentlab.experiment.runs import added_runs, planned_runs
from descentlab.experiment.settings import SeedsConfig
from support.comparison_fixture import generated_plan, generated_selections

CONTRAST = Contrast("up", "tuned", "adam", "sgd")
LOOK = Look(number=1, contrasts=(CONTRAST, CONTRAST._replace(second="momentum")))
PLAN = generated_plan(seeds={"final": 6, "most": 24, "tuning": 2})


@pytest.mark.parametrize(
    ("seeds", "looks"),
    [
        ({"final": 10}, [10]),
        ({"final": 10, "most": 10}, [10]),
        ({"final": 10, "most": 80}, [10, 20, 40, 80]),
        ({"final": 10, "most": 50}, [10, 20, 40, 50]),
        ({"final": 3, "most": 4}, [3, 4]),
    ],
)
def test_seeds_double_from_look_to_look(seeds: dict[str, Any], looks: list[int]) -> None:
    assert SeedsConfig(**seeds).looks == looks


def test_fewer_seeds_in_all_than_at_the_first_look_are_refused() -> None:
    raw = {"experiment": "e", "problems": ["mlp"], "optimizers": ["sgd"], "seeds": {"final": 10, "most": 5}}
    with pytest.raises(ConfigError, match=r"seeds: most: must be at least final \(10\); received 5"):
        parse_config(raw, "here")


def test_a_decision_survives_its_file(tmp_path: Path) -> None:
    LOOK.write(tmp_path / "looks" / "1.json")
    assert Look.read(tmp_path / "looks" / "1.json") == LOOK


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"number": "one"}', '{"number": 1, "more": 3}'])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "1.json"
    path.write_text(text)
    with pytest.raises(LookError, match=r"^.*1\.json: damaged [^\n]*$"):
        Look.read(path)


def test_each_row_of_an_open_contrast_gets_the_next_seeds_once() -> None:
    added = added_runs(PLAN, "up", LOOK, generated_selections())
    assert {spec.optimizer for spec in added} == {"adam", "sgd", "momentum"}
    assert len(added) == len({spec.run_id for spec in added}) == 3 * 6
    assert {spec.seed for spec in added} == set(range(6, 12))
    assert {(spec.problem, spec.arm, spec.phase, spec.sealed) for spec in added} == {("up", "tuned", "added", False)}
    assert added_runs(PLAN, "down", LOOK, generated_selections()) == []


def test_added_runs_differ_from_final_ones_in_nothing_but_the_seed() -> None:
    runs = planned_runs(PLAN, generated_selections(), [LOOK])
    assert len(runs) == len({spec.run_id for spec in runs})
    of_adam = [spec for spec in runs if (spec.problem, spec.optimizer, spec.arm) == ("up", "adam", "tuned")]
    settings = {
        tuple((name, value) for name, value in spec.as_dict().items() if name not in ("seed", "phase"))
        for spec in of_adam
        if spec.phase in ("final", "added")
    }
    assert len(settings) == 1
    assert sum(spec.phase == "added" for spec in of_adam) == 6


def test_a_problem_may_declare_its_own_looks() -> None:
    own = {"problem": "mlp", "name": "up", "seeds": {"final": 3, "most": 10}}
    plan = generated_plan(
        problems=[own, {"problem": "mlp", "name": "down"}], seeds={"final": 6, "most": 24, "tuning": 2}
    )
    down = CONTRAST._replace(problem="down")
    both = [Look(number=1, contrasts=(CONTRAST, down)), Look(number=2, contrasts=(CONTRAST,))]
    assert seeds_of_contrasts(plan, both) == {CONTRAST: 10, down: 12}
    added = [{spec.seed for spec in added_runs(plan, "up", look, generated_selections())} for look in both]
    assert added == [{3, 4, 5}, {6, 7, 8, 9}]
    assert {spec.seed for spec in added_runs(plan, "down", both[0], generated_selections())} == set(range(6, 12))


def test_a_contrast_has_the_seeds_of_its_last_look() -> None:
    later = Look(number=2, contrasts=(CONTRAST,))
    assert seeds_of_contrasts(PLAN, [LOOK, later]) == {CONTRAST: 24, CONTRAST._replace(second="momentum"): 12}
