"""What the workflow's digests depend on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from descentlab import provenance
from descentlab.config import Config, parse_config
from descentlab.provenance import STAGES, code_digest, job_digest, module_digest


def config(**changes: object) -> Config:
    plain = {"experiment": "e", "problems": ["mlp", "digits_cnn"], "optimizers": ["gd", "adam"]}
    return parse_config({**plain, **changes}, "test")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that can be edited."""
    copy = tmp_path / "descentlab"
    shutil.copytree(provenance.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE", copy)
    return copy


@pytest.mark.parametrize("stage", STAGES)
def test_every_file_of_a_stage_exists(stage: str) -> None:
    assert [name for name in STAGES[stage] if not (provenance.PACKAGE / name).exists()] == []


def test_every_module_belongs_to_a_stage_or_is_light() -> None:
    staged = {name for names in STAGES.values() for name in names}
    light = {
        "__init__.py",
        "__main__.py",
        "provenance.py",
        "running_jobs.py",
        "whole_files.py",
        "examples",
        "differences",
        "imported",
    }
    present = {path.name for path in provenance.PACKAGE.iterdir() if path.suffix in {"", ".py"}} - {"__pycache__"}
    assert present - staged - light == set()


@pytest.mark.parametrize(
    ("edited", "touched"),
    [
        ("engine.py", {"plan", "train", "measure"}),
        ("problems/mlp.py", {"plan", "train", "measure"}),
        ("report.py", {"report"}),
        ("stats.py", {"track", "compare", "report"}),
        ("__main__.py", set()),
    ],
)
def test_an_edit_touches_its_stages_only(package: Path, edited: str, touched: set[str]) -> None:
    before = {stage: code_digest(stage) for stage in STAGES}
    with (package / edited).open("a") as file:
        file.write("# edited\n")
    assert {stage for stage in STAGES if code_digest(stage) != before[stage]} == touched


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"experiment": "f"}, False),
        ({"report": {"title": "T"}}, False),
        ({"tracking": {"tuning_curves": True}}, False),
        ({"optimizers": ["gd", {"optimizer": "adam", "beta_1": 0.8}]}, False),
        ({"problems": ["mlp", {"problem": "digits_cnn", "epochs": 3}]}, False),
        ({"optimizers": [{"optimizer": "gd", "learning_rate": 0.5}, "adam"]}, True),
        ({"problems": [{"problem": "mlp", "epochs": 3}, "digits_cnn"]}, True),
        ({"seeds": {"final": 3}}, True),
        ({"tuning": {"points": 3}}, True),
        ({"arms": ["tuned"]}, True),
    ],
)
def test_a_job_depends_on_its_own_part_of_the_config(changes: dict[str, object], differs: bool) -> None:
    names = ["gd", "gd_equal_updates"]
    changed = job_digest(config(**changes), "mlp", names) != job_digest(config(), "mlp", names)
    assert changed is differs


def test_a_job_depends_on_the_readers_own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "own_rule_of_the_test.py"
    module.write_text("Rule = 1\n")
    own = config(optimizers=["own_rule_of_the_test:Rule"])
    before = job_digest(own, "mlp", ["rule"])
    module.write_text("Rule = 2\n")
    assert job_digest(own, "mlp", ["rule"]) != before
    assert module_digest("no_such_module:Rule") == ""
