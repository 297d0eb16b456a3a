"""What is measured beside the runs: the table of measurements, the cache, and what a changed plan measures again."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from descentlab.experiment.config import ConfigError, parse_config
from descentlab.experiment.measurements import MEASUREMENTS, Measurement, measured_tables, read_measured
from descentlab.experiment.plan import TrainingPlan
from descentlab.measurements import measure as module
from descentlab.measurements.measure import MeasurementError, measure, measurement_digest
from descentlab.optimizers.import_path import import_object
from descentlab.training.make_plan import make_plan


@pytest.fixture(scope="module")
def plan(device: str) -> TrainingPlan:
    del device
    return make_plan(parse_config({"experiment": "e", "problems": ["mlp"], "optimizers": ["sgd"]}, "test"))


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_can_be_called_as_the_table_says(name: str) -> None:
    measurement = MEASUREMENTS[name]
    function = import_object(measurement.function, name)
    given = [{}, print] if measurement.planned else []
    inspect.signature(function).bind(*given, **measurement.arguments)


def test_no_table_has_two_sources_and_every_measurement_is_in_one_of_the_groups() -> None:
    tables = [table for measurement in MEASUREMENTS.values() for table in measurement.tables]
    assert len(set(tables)) == len(tables)
    groups = [measured_tables(list(MEASUREMENTS), alone) for alone in (True, False)]
    assert sorted(groups[0] + groups[1]) == sorted(tables)
    assert "step_cost" in groups[0]


def test_what_was_measured_is_not_measured_again(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def double(number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        calls.append(number)
        return pd.DataFrame({"x": [number]}), pd.DataFrame({"x": [2 * number]})

    monkeypatch.setattr(module, "import_object", lambda path, where: double)
    fake = Measurement("descentlab.measurements.minima:double", ("one", "two"), {"number": 3})
    monkeypatch.setattr(module, "MEASUREMENTS", {"minima": fake})
    said: list[str] = []
    for experiment in ("a", "b"):
        measure(plan, ["minima"], tmp_path / experiment, tmp_path / "cache", said.append)
        assert pd.read_parquet(tmp_path / experiment / "two.parquet")["x"].tolist() == [6]
    assert calls == [3]
    assert said[1] != said[0] and said[1].startswith("minima: ")
    # Half of what was measured is not taken for the whole.
    next((tmp_path / "cache").rglob("two.parquet")).unlink()
    measure(plan, ["minima"], tmp_path / "c", tmp_path / "cache", said.append)
    assert calls == [3, 3]
    # Other arguments are another measurement.
    monkeypatch.setattr(module, "MEASUREMENTS", {"minima": replace(fake, arguments={"number": 4})})
    measure(plan, ["minima"], tmp_path / "d", tmp_path / "cache", said.append)
    assert calls == [3, 3, 4]


def test_what_was_left_out_is_said_again_with_what_comes_from_the_cache(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_out(planned: TrainingPlan, say: Callable[[str], None]) -> pd.DataFrame:
        say("soap on mlp left out")
        return pd.DataFrame({"x": [len(planned.problems)]})

    monkeypatch.setattr(module, "import_object", lambda path, where: leave_out)
    monkeypatch.setattr(
        module, "MEASUREMENTS", {"minima": Measurement("descentlab.measurements.minima:x", ("one",), planned=True)}
    )
    for cached in (False, True):
        said: list[str] = []
        measure(plan, ["minima"], tmp_path / "e", tmp_path / "cache", said.append)
        assert ("cache" in said[0]) == cached and said[1:] == ["soap on mlp left out"]


def changed(plan: TrainingPlan, part: str, name: str, **values: Any) -> TrainingPlan:
    return replace(plan, **{part: {name: replace(getattr(plan, part)[name], **values)}})


def test_only_what_depends_on_the_plan_is_measured_again(plan: TrainingPlan) -> None:
    for other in (
        changed(plan, "problems", "mlp", batch_size=16),
        changed(plan, "optimizers", "sgd", hyperparameters={"default": {}, "tuned": {"momentum": 0.5}}),
        changed(plan, "problems", "mlp", mode="graph"),
        changed(plan, "optimizers", "sgd", by_keras="xla: it differs"),
    ):
        assert measurement_digest(other, "step_cost", "CPU") != measurement_digest(plan, "step_cost", "CPU")
        assert measurement_digest(other, "minima", "CPU") == measurement_digest(plan, "minima", "CPU")
    raw = {"experiment": "e", "problems": ["mlp"], "optimizers": ["sgd", "adam"]}
    wider = replace(plan, config=parse_config(raw, "test"))
    fewer = replace(plan, config=parse_config({**raw, "problems": [{"problem": "mlp", "optimizers": ["sgd"]}]}, "test"))
    assert measurement_digest(wider, "step_cost", "CPU") != measurement_digest(fewer, "step_cost", "CPU")
    longer = changed(plan, "problems", "mlp", epochs=99)
    assert measurement_digest(longer, "step_cost", "CPU") == measurement_digest(plan, "step_cost", "CPU")
    assert measurement_digest(plan, "minima", "GPU") != measurement_digest(plan, "minima", "CPU")
    assert measurement_digest(plan, "memory", "CPU") != measurement_digest(plan, "minima", "CPU")


def test_what_depends_on_the_plan_is_measured_again_when_the_readers_module_changes(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    own = tmp_path / "own_rule_of_measuring.py"
    raw = {"experiment": "e", "problems": ["mlp"], "optimizers": ["own_rule_of_measuring:Rule"]}
    planned = replace(plan, config=parse_config(raw, "test"))
    digests = []
    for text in ("Rule = 1\n", "Rule = 2\n"):
        own.write_text(text)
        digests.append([measurement_digest(planned, name, "CPU") for name in ("step_cost", "minima")])
    assert digests[0][0] != digests[1][0]
    assert digests[0][1] == digests[1][1]


def test_tables_of_another_config_are_left(tmp_path: Path) -> None:
    for table in ("minima", "landscapes", "trajectories"):
        pd.DataFrame({"x": [1]}).to_parquet(tmp_path / f"{table}.parquet")
    assert set(read_measured(tmp_path, ["landscapes", "step_cost"])) == {"landscapes", "trajectories"}


def test_unknown_measurements_are_refused(plan: TrainingPlan, tmp_path: Path) -> None:
    valid = ", ".join(MEASUREMENTS)
    with pytest.raises(MeasurementError) as raised:
        measure(plan, ["landscape"], tmp_path, tmp_path, print)
    assert str(raised.value) == f"a measurement must be one of {valid}; received 'landscape'"
    raw = {"experiment": "e", "problems": ["mlp"], "optimizers": ["sgd"], "measurements": ["landscape"]}
    with pytest.raises(ConfigError) as refused:
        parse_config(raw, "here")
    assert str(refused.value) == (
        f"here: measurements: unknown measurement 'landscape', did you mean 'landscapes'? Valid: {valid}; "
        "received ['landscape']"
    )
    with pytest.raises(ConfigError, match="measurements: names must be unique; repeated: minima"):
        parse_config({**raw, "measurements": ["minima", "minima"]}, "here")
