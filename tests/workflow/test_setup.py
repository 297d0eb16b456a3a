"""The places that pin versions agree with each other."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.workflow_fixture import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = re.findall(r"^([a-z0-9][\w.-]*==\S+(?: ; [^\\\n]+?)?) \\$", LOCK, flags=re.M)


def locked_versions(name: str) -> list[str]:
    pinned = [Requirement(line) for line in LOCKED]
    return [next(iter(r.specifier)).version for r in pinned if canonicalize_name(r.name) == canonicalize_name(name)]


def test_every_dependency_is_locked_within_its_bounds() -> None:
    wanted = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
    assert len(wanted) > 15
    for requirement in wanted:
        versions = locked_versions(requirement.name)
        assert versions, f"{requirement.name} is not in the lock"
        assert all(requirement.specifier.contains(version) for version in versions), requirement.name


def test_every_pin_has_hashes_and_no_address() -> None:
    blocks = re.split(r"^(?=[a-z0-9][\w.-]*==)", LOCK, flags=re.M)[1:]
    assert len(blocks) == len(LOCKED) > 100
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in LOCK
    assert "index-url" not in LOCK


def test_conda_has_the_same_pins() -> None:
    environment = (ROOT / "environment.yml").read_text()
    pins = re.findall(r"^      - (\S+==.*)$", environment, flags=re.M)
    assert pins == LOCKED
    assert "      - --editable ." in environment
    python = re.search(r"^  - python(\S+)$", environment, flags=re.M)
    assert python is not None
    assert python.group(1) == PROJECT["requires-python"]
    assert "conda-forge" in environment


def test_the_extras_are_there() -> None:
    assert set(PROJECT["optional-dependencies"]) == {"gpu", "slurm", "kubernetes", "postgres", "dev"}


def test_mlflow_is_new_enough() -> None:
    mlflow = next(Requirement(d) for d in PROJECT["dependencies"] if d.startswith("mlflow"))
    assert not mlflow.specifier.contains("3.13.0")  # security fixes since


@pytest.mark.parametrize("name", ["keras", "mlflow", "tensorflow"])
def test_what_was_tested_with_one_minor_version_is_bounded_to_it(name: str) -> None:
    (locked,) = locked_versions(name)
    major, minor, _ = locked.split(".")
    bounds = [
        requirement.specifier
        for requirement in map(
            Requirement,
            [*PROJECT["dependencies"], *(d for extra in PROJECT["optional-dependencies"].values() for d in extra)],
        )
        if requirement.name == name
    ]
    assert len(bounds) == 1 + (name == "tensorflow")  # its extra for GPUs
    assert all(bound.contains(locked) and not bound.contains(f"{major}.{int(minor) + 1}.0") for bound in bounds)


def test_ci_runs_the_readmes_test_command() -> None:
    assert re.findall(r"^make test\b(?!-)", (ROOT / ".ci/run").read_text(), flags=re.M) == ["make test"]
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    assert [".ci/run" in step.get("run", "").split() for job in steps for step in job["steps"]].count(True) == 1
    assert "```bash\nmake test\n" in (ROOT / "README.md").read_text()


def test_every_dependency_earns_its_line() -> None:
    table = (ROOT / "docs/architecture.md").read_text().split("| package | what for |")[1].split("\n\n")[0]
    named = {
        canonicalize_name(name.strip()) for row in re.findall(r"^\| ([^|]+) \|", table, re.M) for name in row.split(",")
    }
    named.discard("---")
    assert named == {canonicalize_name(Requirement(d).name) for d in PROJECT["dependencies"]}
