"""A problem's mode is measured once on a machine: to plan again chooses the same, whatever the clock says then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from descentlab.experiment.problem_config import ProblemConfig
from descentlab.experiment.settings import ExecutionConfig
from descentlab.problems.base import Problem
from descentlab.training import plan_mode as planning
from descentlab.training.engine.mode_trial import ModeTrial
from descentlab.training.plan_mode import plan_mode
from support.tiny_training import tiny_data, tiny_problem

pytestmark = pytest.mark.usefixtures("device")

VERSIONS = {"tensorflow": "1", "keras": "2", "numpy": "3"}
PROBLEM = tiny_problem()


class Trials:
    """Stands for the trials; each time another mode is the fastest."""

    calls = 0

    def __init__(self, *_: Any) -> None:
        Trials.calls += 1

    def choose(self, tried: tuple[str, ...], fastest: bool) -> ModeTrial:
        assert fastest
        return ModeTrial(tried[Trials.calls % 2], True, 1, ("why",))


def planned(cache: Path | None, batch_size: int = 8, problem: Problem = PROBLEM) -> ModeTrial:
    config = ProblemConfig.model_validate(f"{__name__}:PROBLEM")
    return plan_mode(config, problem, tiny_data(), batch_size, "CPU", ExecutionConfig(), VERSIONS, cache)


def test_a_choice_is_remembered_until_what_it_depends_on_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "ModeTrials", Trials)
    monkeypatch.setattr(Trials, "calls", 0)
    first = planned(tmp_path)
    assert first == ModeTrial("graph", True, 1, ("why",))
    assert planned(tmp_path) == first and Trials.calls == 1
    assert planned(tmp_path, batch_size=16) == ModeTrial("xla", True, 1, ("why",)) and Trials.calls == 2
    assert planned(None).mode == "graph" and Trials.calls == 3
    for file in (tmp_path / "modes").iterdir():
        file.write_text("{")
    assert planned(tmp_path).mode == "xla" and Trials.calls == 4


def test_a_built_in_problem_is_timed_only_where_modes_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "ModeTrials", Trials)
    monkeypatch.setattr(Trials, "calls", 0)

    def mode_of(name: str, **config: Any) -> str:
        from descentlab.problems.table import builtin_problem

        problem = builtin_problem(name)
        entry = ProblemConfig.model_validate({"problem": name, **config})
        data = problem.load_data(None)
        return plan_mode(entry, problem, data, problem.batch_size, "CPU", ExecutionConfig(), VERSIONS).mode

    assert (mode_of("mlp"), Trials.calls) == ("xla", 0)
    assert (mode_of("digits_cnn", mode="graph"), Trials.calls) == ("graph", 0)
    assert (mode_of("digits_cnn"), Trials.calls) == ("graph", 1)
    assert (mode_of("digits_cnn"), Trials.calls) == ("patches", 2)
    assert (mode_of("vae"), Trials.calls) == ("graph", 3)  # a layer adds a loss, which a compiled evaluation would lack
