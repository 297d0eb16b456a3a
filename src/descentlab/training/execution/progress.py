"""What a job says of itself: lines for its log, at once."""

from __future__ import annotations

import sys
import time

PROGRESS_SECONDS = 5.0


def say(text: str) -> None:
    """A line for the job's log, at once."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Says how many of a job's runs are done, and when the rest will be, every few seconds."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._trained = total, 0, 0
        self._begun = self._said = time.monotonic()

    def expect(self, more: int) -> None:
        """Count more runs than first thought, or fewer: a chosen rate at an edge has one neighbour."""
        self._total += more

    def step(self, run_id: str, trained: bool) -> None:
        """Count one run."""
        self._done += 1
        self._trained += trained
        now = time.monotonic()
        if now - self._said >= PROGRESS_SECONDS or self._done == self._total:
            self._said = now
            each = (now - self._begun) / max(self._trained, 1)
            left = each * (self._total - self._done)
            say(f"{self._done} of {self._total} runs ({self._trained} trained), ETA {left:.0f} s, last {run_id}")
