"""What the workflow's digests depend on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from descentlab.experiment import provenance
from descentlab.experiment.config import Config, parse_config
from descentlab.experiment.provenance import STAGES, data_files, job_digest, modules_digest, reader_modules_digest
from descentlab.experiment.reader_code import imported_files
from support.edited_package import copy_package, edited, output_of

# Tracking imports what it logs from several stages, so nearly every edit touches it.
DECIDED = {"plan", "train", "train_later", "measure", "collect", "compare", "report"}


def config(**changes: object) -> Config:
    plain = {"experiment": "e", "problems": ["mlp", "digits_cnn"], "optimizers": ["gd", "adam"]}
    return parse_config({**plain, **changes}, "test")


DIGESTS = """
import json
from descentlab.experiment.provenance import STAGES, code_digest
print(json.dumps({stage: code_digest(stage) for stage in STAGES}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package that can be edited."""
    return copy_package(tmp_path_factory.mktemp("edited"))


def digests_of(package: Path) -> dict[str, str]:
    """The digest of each stage by the code of a copy of the package."""
    return dict(json.loads(output_of(package, DIGESTS)))


@pytest.fixture(scope="module")
def before(package: Path) -> dict[str, str]:
    return digests_of(package)


def touched_by(package: Path, before: dict[str, str], **texts: str) -> set[str]:
    """The stages whose digest differs once files have those texts; the files are put back."""
    with edited(package, texts):
        after = digests_of(package)
    return {stage for stage in STAGES if after[stage] != before[stage]}


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("training/engine/trainer.py", {"plan", "train", "train_later", "measure"}),
        ("training/engine/compiled_model.py", {"plan", "train", "train_later", "measure"}),  # a plan tries how to train
        ("problems/builtin/mlp.py", {"plan", "train", "train_later", "measure"}),
        ("report/sections/differences.py", {"report"}),
        ("analysis/ranks.py", {"compare", "report"}),
        ("__main__.py", set()),
        ("tracking/imported/logged.py", set()),
    ],
)
def test_an_edit_touches_its_stages(package: Path, before: dict[str, str], name: str, touched: set[str]) -> None:
    text = (package / name).read_text() + "edited = 1\n"
    assert touched_by(package, before, **{name: text}) & DECIDED == touched


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("report/templates/report.css", {"report"}),
        ("i18n/catalogs/es.po", {"report"}),
        ("analysis/claims/claims.yaml", {"compare", "report"}),
    ],
)
def test_a_data_file_touches_the_stages_that_read_it(
    package: Path, before: dict[str, str], name: str, touched: set[str]
) -> None:
    text = (package / name).read_text() + "\n"
    assert touched_by(package, before, **{name: text}) & DECIDED == touched


def test_comments_and_docstrings_touch_nothing(package: Path, before: dict[str, str]) -> None:
    text = (package / "training/engine/packing.py").read_text()
    quotes = '"""'
    docstring, _, rest = text.removeprefix(quotes).partition(quotes)
    edited = f"{quotes}{docstring} Edited.{quotes}{rest}\n# edited\n"
    assert touched_by(package, before, **{"training/engine/packing.py": edited}) == set()


def test_a_new_module_counts_as_soon_as_it_is_imported(package: Path, before: dict[str, str]) -> None:
    """No list names it: the stages that import it are found by the imports."""
    alone = {"analysis/added.py": "VALUE = 1\n"}
    assert touched_by(package, before, **alone) == set()
    ranks = (package / "analysis/ranks.py").read_text() + "from descentlab.analysis.added import VALUE as VALUE\n"
    assert touched_by(package, before, **alone, **{"analysis/ranks.py": ranks}) & DECIDED == {"compare", "report"}
    first = touched_by(package, before, **{"problems/added.py": "VALUE = 1\n"})
    assert first == {"plan", "train", "train_later", "measure"}, "a problem is imported by its name"


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
    assert modules_digest(["no_such_module", "own_rule_of_the_test.Rule"]) == modules_digest([])


def test_a_job_depends_on_the_code_of_its_literature_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are named like Keras' own, and are modules of the package that no stage's code imports."""
    digested: list[str] = []
    monkeypatch.setattr(provenance, "modules_digest", lambda names: digested.extend(names) or "")
    both = config(optimizers=["gd", "prodigy"])
    job_digest(both, "mlp", ["gd"])
    assert digested == []
    job_digest(both, "mlp", ["prodigy"])
    reader_modules_digest(both)
    assert digested == ["descentlab.optimizers.literature.prodigy"] * 2


OWN = {
    "own_package_of_the_test/__init__.py": "",
    "own_package_of_the_test/rule.py": "import json\nimport numpy\nfrom .parts import helper\nRule = helper\n",
    "own_package_of_the_test/parts/__init__.py": "",
    "own_package_of_the_test/parts/helper.py": "def build():\n    from .. import sibling\n    return sibling\n",
    "own_package_of_the_test/sibling.py": "import beside_of_the_test as beside\n",
    "beside_of_the_test.py": "from descentlab.problems.builtin import mlp\n",
    "own_package_of_the_test/unused.py": "import own_package_of_the_test.rule\n",
    "own_package_of_the_test/broken.py": "def :\n",
}
IMPORTED = [name for name in OWN if not name.endswith(("unused.py", "broken.py"))]


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path with a reader's modules."""
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", OWN)
def test_an_edit_counts_in_every_module_that_the_readers_module_imports(own_modules: Path, name: str) -> None:
    own = config(optimizers=["gd", {"optimizer": "own_package_of_the_test.rule:Rule", "name": "own"}])

    def digests() -> list[str]:
        return [job_digest(own, "mlp", ["own"]), reader_modules_digest(own), job_digest(own, "mlp", ["gd"])]

    before = digests()
    (own_modules / name).write_text(f"{OWN[name]}# edited\n")
    differ = [one != other for one, other in zip(before, digests(), strict=True)]
    assert differ == [name in IMPORTED, name in IMPORTED, False]


def test_a_readers_modules_are_read_and_never_run(own_modules: Path) -> None:
    found = imported_files(["own_package_of_the_test.rule"])
    ours = {name for name in found if name.startswith("descentlab")}
    assert ours == {"descentlab.problems.builtin", "descentlab.problems.builtin.mlp"}
    assert {str(found[name].relative_to(own_modules)) for name in found.keys() - ours} == set(IMPORTED)
    assert set(imported_files(["own_package_of_the_test.broken"])) == {
        "own_package_of_the_test",
        "own_package_of_the_test.broken",
    }
    assert not [name for name in sys.modules if "_of_the_test" in name]


def test_a_plan_depends_on_the_data_files_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, of_environment = tmp_path / "named.npz", tmp_path / "environment.npz"
    named.touch()
    own = config(problems=[{"problem": "mlp", "data": str(named)}, {"problem": "digits_cnn", "data": "missing.npz"}])
    monkeypatch.delenv("DESCENTLAB_DATA", raising=False)
    assert data_files(config()) == []
    assert data_files(own) == [str(named)]
    monkeypatch.setenv("DESCENTLAB_DATA", str(of_environment))
    assert data_files(config()) == []
    of_environment.touch()
    assert data_files(config()) == [str(of_environment)]
    assert data_files(own) == [str(named)]
