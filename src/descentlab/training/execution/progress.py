"""A job's log lines and its progress."""

from __future__ import annotations

import sys
import time

PROGRESS_SECONDS = 5.0


def say(text: str) -> None:
    """Write a line to the job's log and flush it."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Reports every few seconds how many of a job's runs are done and when the rest will be."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._trained = total, 0, 0
        self._started = self._reported = time.monotonic()

    def expect(self, more: int) -> None:
        """Expect more runs than before, or fewer: a chosen rate on the edge of the grid has only one neighbor."""
        self._total += more

    def step(self, run_id: str, trained: bool) -> None:
        """Count one run."""
        self._done += 1
        self._trained += trained
        now = time.monotonic()
        if now - self._reported >= PROGRESS_SECONDS or self._done == self._total:
            self._reported = now
            run_seconds = (now - self._started) / max(self._trained, 1)
            left = run_seconds * (self._total - self._done)
            say(f"{self._done} of {self._total} runs ({self._trained} trained), ETA {left:.0f} s, last {run_id}")
