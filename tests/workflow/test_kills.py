"""``kill -9`` of snakemake alone, of a training, of both: what is said, and how it goes on. ``make soak`` kills often."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.killed_workflow import KilledWorkflow
from support.same_results import assert_same_results

JOB = "train linear_regression"
TABLES = "results/test/runs.parquet"
WAITS = "results/test: jobs of a workflow that was killed are still at work; waiting until they have ended"
SECONDS = 600  # for a snakemake to end


@pytest.fixture
def workflow(finished_workflow: Path, tmp_path: Path) -> Iterator[KilledWorkflow]:
    """A workflow that has linear_regression to train and the tables to collect."""
    folder = Path(shutil.copytree(finished_workflow, tmp_path / "copy", symlinks=True))
    shutil.rmtree(folder / "results/cache")
    shutil.rmtree(folder / "results/test/train/linear_regression")
    (folder / TABLES).unlink()
    started = KilledWorkflow(folder, TABLES)
    yield started
    started.end()


def wait_until(workflow: KilledWorkflow, reached: Callable[[], object]) -> None:
    """Wait for a moment of a workflow that runs."""
    while not reached():
        assert workflow.snakemake.poll() is None, workflow.output.read_text()
        time.sleep(0.01)


def cached(workflow: KilledWorkflow) -> list[Path]:
    return [path for path in (workflow.folder / "results/cache").rglob("*.npz") if not path.name.startswith(".")]


def test_a_killed_workflow_goes_on_to_the_same_results(workflow: KilledWorkflow, finished_workflow: Path) -> None:
    # Snakemake dies alone, and its job trains on. The next one, once the folder is unlocked, waits for it.
    wait_until(workflow, lambda: cached(workflow))
    (orphan,) = workflow.jobs()
    os.kill(orphan.pid, signal.SIGSTOP)  # however fast it is, it is at work until it has been seen to be waited for
    assert workflow.kill_snakemake(with_jobs=False)
    workflow.go_on()
    assert workflow.unlocks == 1
    wait_until(workflow, lambda: WAITS in workflow.output.read_text())
    assert workflow.jobs() == []
    os.kill(orphan.pid, signal.SIGCONT)
    wait_until(workflow, workflow.jobs)
    # It has trained all there was. Snakemake, which knows nothing of its tables, has them made anew from the cache.
    assert not (workflow.folder / "results/test/train/linear_regression/0.history.parquet").exists()
    trained = {path: path.stat().st_mtime_ns for path in cached(workflow)}

    # The training dies. Snakemake ends by itself, and names the job and its log.
    (job,) = workflow.jobs()
    assert job.name == JOB
    assert job.kill()
    assert workflow.snakemake.wait(SECONDS) == 1
    said = workflow.output.read_text()
    assert re.search(r"Error in rule train:.*\n(.*\n)*? +log: results/test/logs/train/linear_regression\.0\.log", said)
    assert "Traceback" not in said

    # Both die.
    workflow.go_on()
    assert workflow.unlocks == 1
    wait_until(workflow, workflow.jobs)
    assert workflow.kill_snakemake(with_jobs=True)
    assert workflow.jobs() == []

    workflow.go_on()
    assert workflow.unlocks == 2
    assert workflow.snakemake.wait(SECONDS) == 0, workflow.output.read_text()
    assert WAITS not in workflow.output.read_text()
    assert {path: path.stat().st_mtime_ns for path in cached(workflow)} == trained
    assert_same_results(workflow.folder / "results/test", finished_workflow / "results/test")
