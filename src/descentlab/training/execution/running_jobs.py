"""Jobs that outlive their workflow: the next workflow waits until they have ended.

``kill -9`` of snakemake leaves its jobs running. A job that is still training would overwrite the tables of the next
workflow: the same losses, but other times than MLflow has logged by then. So each job holds a lock, shared among jobs, that
the kernel releases however the job ends; a new workflow waits until it is free.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

LOCK = ".jobs.lock"


@contextlib.contextmanager
def running_job(results: Path) -> Iterator[None]:
    """Hold the lock of a job running in ``results``, the folder of an experiment."""
    results.mkdir(parents=True, exist_ok=True)
    with (results / LOCK).open("a") as lock:  # in place: a lock, empty
        with contextlib.suppress(OSError):  # some cluster file systems have no locks: then nothing waits
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def wait_for_jobs(results: Path, say: Callable[[str], None]) -> None:
    """Wait until no job is running in ``results``; ``say`` gets a line if it has to wait."""
    if not (results / LOCK).exists():
        return
    with (results / LOCK).open("a") as lock, contextlib.suppress(OSError):  # in place: a lock, empty
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(
                f"{results}: jobs of a workflow that was killed are still at work; waiting until they have ended "
                f"(pgrep -f 'job-of {results}' finds them; what they have finished is in the cache)"
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
