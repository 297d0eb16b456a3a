"""What the tests share: TensorFlow started once, as a job starts it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workflow_fixture import run_snakemake

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # read when TensorFlow is first imported, which a test module may do


@pytest.fixture(scope="session")
def device() -> str:
    """Threads and memory set before TensorFlow starts; the device's name.

    A module whose tests compute with TensorFlow asks for it: ``pytestmark = pytest.mark.usefixtures("device")``.
    """
    from descentlab.device import configure_device

    return configure_device()


@pytest.fixture(scope="session")
def finished_workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole workflow of test.yaml has run once. Read it; what changes it works on a copy."""
    folder = tmp_path_factory.mktemp("workflow")
    finished = run_snakemake(folder)
    assert finished.returncode == 0, finished.stdout
    (folder / "snakemake.out").write_text(finished.stdout)
    return folder


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own for the test, with the default store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
