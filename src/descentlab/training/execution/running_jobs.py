"""Jobs that outlive their workflow: the next one waits until they have ended.

``kill -9`` of snakemake leaves its jobs at work. One that still trains would write its tables over those of the next
workflow: the same losses, but other clocks than MLflow has by then. So each job holds a lock, shared among jobs, that the
kernel frees however the job ends; a workflow that starts waits until it is free.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

LOCK = ".jobs.lock"


@contextlib.contextmanager
def running_job(results: Path) -> Iterator[None]:
    """Be one of the jobs at work in ``results``, the folder of an experiment."""
    results.mkdir(parents=True, exist_ok=True)
    with (results / LOCK).open("a") as lock:  # in place: a lock, empty
        with contextlib.suppress(OSError):  # some file systems of clusters know no locks: then nobody waits
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def wait_for_jobs(results: Path, say: Callable[[str], None]) -> None:
    """Wait until no job is at work in ``results``; ``say`` takes the line that tells it."""
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
