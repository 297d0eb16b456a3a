"""An installed package runs by itself: what it needs of a checkout is inside, and nothing of the checkout is read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from descentlab.experiment.config import load_config
from descentlab.experiment.jobs import cut_jobs
from descentlab.experiment.workflow_root import default_config
from support.workflow_fixture import ROOT, workflow_environment

PARTS = ("src", "workflow", "Snakefile", "environment.yml", "pyproject.toml", "setup.py", "README.md", "LICENSE")
CONFIG = """
experiment: installed
problems: [{problem: "own_problem:PROBLEM", epochs: 1, mode: graph}]
optimizers: [sgd]
arms: [default]
seeds: {final: 1}
measurements: []
"""
OWN_PROBLEM = """
from dataclasses import replace

from descentlab.problems.builtin.linear_regression import PROBLEM

PROBLEM = replace(PROBLEM, name="own_problem")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package, from a wheel; the copy of the checkout that it was built from is gone."""
    checkout = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, checkout / part)
    target = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", str(target), str(checkout)], check=True)
    shutil.rmtree(checkout)
    return target


def run_installed(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command ``descentlab`` of the installed package, in ``folder``."""
    return subprocess.run(
        [sys.executable, str(installed / "bin/descentlab"), *arguments],
        cwd=folder,
        env=workflow_environment() | {"PYTHONPATH": str(installed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )


def test_it_holds_the_whole_workflow(installed: Path) -> None:
    bundled = installed / "descentlab/bundled"
    of_checkout = {
        path.relative_to(ROOT)
        for path in [ROOT / "Snakefile", ROOT / "environment.yml", *(ROOT / "workflow").rglob("*")]
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path.relative_to(bundled) for path in bundled.rglob("*") if path.is_file()} == of_checkout
    assert all((bundled / path).read_bytes() == (ROOT / path).read_bytes() for path in of_checkout)


def test_it_plans_the_default_experiment(installed: Path, tmp_path: Path) -> None:
    planned = run_installed(installed, tmp_path, "run", "--dry-run")
    assert planned.returncode == 0, planned.stdout
    jobs = sum(map(len, cut_jobs(load_config(default_config())).values()))
    assert re.search(rf"^train +{jobs}$", planned.stdout, re.M) and re.search(r"^report +1$", planned.stdout, re.M)


def test_it_runs_an_experiment_and_reads_nothing_of_a_checkout(installed: Path, tmp_path: Path) -> None:
    """Nor does it lack what the reader has in the folder."""
    (tmp_path / "own.yaml").write_text(CONFIG)
    (tmp_path / "own_problem.py").write_text(OWN_PROBLEM)
    planned = run_installed(installed, tmp_path, "plan", "own.yaml")
    assert planned.returncode == 0, planned.stdout
    finished = run_installed(installed, tmp_path, "run", "own.yaml", "--cores", "2")
    assert finished.returncode == 0, finished.stdout
    assert (tmp_path / "reports/installed/index.html").exists()
    assert '"git_commit": "unknown"' in (tmp_path / "results/installed/plan.json").read_text()
    assert str(ROOT / "src") not in finished.stdout


def test_a_config_that_does_not_exist_is_one_line(installed: Path, tmp_path: Path) -> None:
    refused = run_installed(installed, tmp_path, "run", "absent.yaml")
    assert refused.returncode == 2
    assert len(refused.stdout.splitlines()) == 1 and "absent.yaml" in refused.stdout
