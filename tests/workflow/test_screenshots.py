"""The screenshots of docs/mlflow.md are taken of what MLflow's UI shows: its views and links still open."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from descentlab.experiment.plan import TrainingPlan
from descentlab.tracking.track import create_store, track_problem, track_report
from support.browser import chromium_path
from support.tracked_jobs import PROBLEM, RESULTS, some_runs, write_jobs
from support.workflow_fixture import ROOT

pytestmark = pytest.mark.usefixtures("own_folder")
NAMES = ("mlflow-curves.png", "mlflow-learning-rates.png", "mlflow-report.png")


def take(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "docs/pictures/screenshots.py"),
        "results/mlflow.db",
        "--output",
        ".",
        *arguments,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)


def is_small_png(path: Path) -> bool:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, _ = struct.unpack(">II", content[16:24])
    return width == 1280 and len(content) < 150_000


def test_every_screenshot_shows_what_it_waits_for() -> None:
    chromium_path()
    write_jobs(some_runs(("sgd", "adam")))
    track_problem(TrainingPlan.read(RESULTS), RESULTS, PROBLEM, None)
    Path("index.html").write_text("<h1>A report</h1>")
    track_report(TrainingPlan.read(RESULTS), RESULTS, Path("index.html"), None)
    taken = take("--experiment", "generated", "--problem", PROBLEM)
    assert taken.returncode == 0, taken.stderr
    assert all(is_small_png(Path(name)) for name in NAMES)


def test_an_experiment_that_is_not_there_is_refused_by_name() -> None:
    create_store(None)
    refused = take("--experiment", "mine")
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith(
        "results/mlflow.db must hold the experiment; received 'mine'. It holds: none"
    )


def test_the_readmes_screenshots_are_small() -> None:
    assert all(is_small_png(ROOT / "docs/pictures" / name) for name in NAMES)
