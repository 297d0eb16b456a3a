"""A limit on the time of one training, also where nothing returns to Python any more.

A thread waits beside the training. A compiled loop that never ends can be interrupted by nothing inside the process, so when
the time is over the process ends with a message, or becomes the same command again: what was finished is in the cache, and
what overran is known by a variable that this process alone hands to itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator

from descentlab.training.execution.progress import say

OVERRAN = "DESCENTLAB_OVERRAN"  # digests of the runs that this job gave up


@contextlib.contextmanager
def time_limit(seconds: float | None, message: str, give_up: Iterable[str] | None) -> Iterator[None]:
    """End the process, or begin it again, unless the block ends within ``seconds``; None: no limit.

    Args:
        message: what the log says when the time is over.
        give_up: digests that the process is to give up when it begins again; None: it ends, with status 2.
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
    """Digests of the runs that an earlier life of this process gave up."""
    return set(filter(None, os.environ.get(OVERRAN, "").split(",")))
