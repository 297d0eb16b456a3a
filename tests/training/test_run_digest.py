"""What a run's digest depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from descentlab.experiment.provenance import imported_modules, modules_digest
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.training.run_digest import DECISIVE_CODE, hash_json, own_code
from support.edited_package import copy_package, edited, output_of

DIGEST = f"from descentlab.experiment.provenance import source_digest; print(source_digest(*{DECISIVE_CODE!r}))"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package that can be edited."""
    return copy_package(tmp_path_factory.mktemp("edited"))


@pytest.fixture(scope="module")
def before(package: Path) -> str:
    return output_of(package, DIGEST)


def is_touched(package: Path, before: str, **texts: str) -> bool:
    """Whether every run's digest differs once files have those texts."""
    with edited(package, texts):
        return output_of(package, DIGEST) != before


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("training/member_run.py", True),
        ("training/engine/trainer.py", True),
        ("training/engine/__init__.py", True),
        ("optimizers/build.py", True),
        ("training/engine/device.py", True),
        ("optimizers/evaluation_weights.py", True),
        ("problems/random_streams.py", True),
        ("experiment/config.py", False),
        ("experiment/plan.py", False),
        ("training/execution/progress.py", False),
        ("training/failed_runs.py", False),
        ("training/cache.py", False),
        ("optimizers/table.py", False),
        ("problems/table.py", False),
    ],
)
def test_an_edit_makes_other_runs_only_where_it_decides_numbers(
    package: Path, before: str, name: str, touched: bool
) -> None:
    assert is_touched(package, before, **{name: (package / name).read_text() + "edited = 1\n"}) is touched


def test_a_module_counts_as_soon_as_what_trains_imports_it(package: Path, before: str) -> None:
    added = {"training/engine/added.py": "VALUE = 1\n"}
    assert not is_touched(package, before, **added)
    text = (package / "training/run_record.py").read_text()
    text += "from descentlab.training.engine.added import VALUE as VALUE\n"
    assert is_touched(package, before, **added, **{"training/run_record.py": text})


def test_a_docstring_makes_no_other_runs(package: Path, before: str) -> None:
    text = (package / "training/member_run.py").read_text()
    assert not is_touched(package, before, **{"training/member_run.py": text.replace(text[3:20], "Edited. ", 1)})


def test_what_decides_numbers_knows_neither_config_nor_log() -> None:
    modules = imported_modules(DECISIVE_CODE)
    rooms = {module.split(".")[1] for module in modules if "." in module}
    assert rooms == {"experiment", "optimizers", "problems", "training"}
    own = {module for module in modules if module.startswith("descentlab.experiment.")}
    assert own == {"descentlab.experiment.run_spec"}
    assert "descentlab" in modules, "a package counts with its modules"


def test_digests_depend_on_every_part_and_on_nothing_else() -> None:
    assert hash_json({"a": 1, "b": [1.5, None]}) == hash_json({"b": [1.5, None], "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 2})
    modules = ["descentlab.training.cache", "descentlab.training.tuning", "json", "textwrap"]
    assert modules_digest(modules) == modules_digest(reversed(modules))
    assert len({modules_digest(modules[:n]) for n in range(1, 5)}) == 4


def test_an_edit_of_what_a_readers_optimizer_imports_makes_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "rule_of_the_test.py").write_text("from steps_of_the_test import step\n\ndef rule(): return step\n")
    helper = tmp_path / "steps_of_the_test.py"
    helper.write_text("step = 1\n")
    entry = replace(OPTIMIZERS["sgd"], factory="rule_of_the_test:rule")
    before = own_code(entry.factory)
    helper.write_text("step = 2\n")
    assert own_code(entry.factory) != before
    assert own_code(OPTIMIZERS["sgd"].factory) == own_code("linear") == ""
