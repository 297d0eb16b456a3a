"""A workflow waits for the jobs that a killed one has left, and for nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from descentlab.training.execution.running_jobs import running_job, wait_for_jobs

AT_WORK = """
import sys
from pathlib import Path
from descentlab.training.execution.running_jobs import running_job
with running_job(Path(sys.argv[1])):
    print("at work", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A job at work in ``tmp_path``."""
    command = [sys.executable, "-c", AT_WORK, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stdout.readline() == "at work\n"
        yield job
        job.kill()


def test_where_no_job_is_at_work_nothing_is_waited_for(tmp_path: Path) -> None:
    wait_for_jobs(tmp_path, pytest.fail)
    assert list(tmp_path.iterdir()) == []
    with running_job(tmp_path):
        pass
    wait_for_jobs(tmp_path, pytest.fail)


def test_a_job_at_work_is_waited_for_until_it_ends_however_it_ends(
    tmp_path: Path, orphan: subprocess.Popen[str]
) -> None:
    said: list[str] = []
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        orphan.kill()

    def say(line: str) -> None:
        said.append(line)
        threading.Timer(0.5, kill).start()

    wait_for_jobs(tmp_path, say)
    assert killed.is_set()
    assert said == [
        f"{tmp_path}: jobs of a workflow that was killed are still at work; waiting until they have ended "
        f"(pgrep -f 'job-of {tmp_path}' finds them; what they have finished is in the cache)"
    ]


def test_jobs_do_not_wait_for_each_other(tmp_path: Path, orphan: subprocess.Popen[str]) -> None:
    command = [sys.executable, "-c", AT_WORK, str(tmp_path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=60)
    assert orphan.poll() is None
