"""A time limit for one training, even if control never returns to Python.

A thread watches the training. Nothing inside the process can interrupt a compiled loop that never ends. So when the time is
up, the process exits with a message or restarts the same command: finished runs are in the cache, and the runs that overran
are passed on in an environment variable.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator

from descentlab.training.execution.progress import say

OVERRAN = "DESCENTLAB_OVERRAN"  # digests of the runs that this job has given up


@contextlib.contextmanager
def time_limit(seconds: float | None, message: str, give_up: Iterable[str] | None) -> Iterator[None]:
    """Exit or restart the process unless the block ends within ``seconds``.

    Args:
        seconds: the limit; None for no limit.
        message: written to the log when the time is up.
        give_up: digests of the runs to give up after a restart; None to exit with status 2 instead.
    """
    if seconds is None:
        yield
        return

    def end() -> None:
        say(message)
        if give_up is None:
            os._exit(2)
        os.environ[OVERRAN] = ",".join([*given_up(), *give_up])
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def given_up() -> set[str]:
    """Digests of the runs that this process gave up before it restarted."""
    return set(filter(None, os.environ.get(OVERRAN, "").split(",")))
