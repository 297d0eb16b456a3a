"""Runs that raised or took too long: what happens to them, and the row that records it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from descentlab.experiment.records import HISTORY
from descentlab.problems.splits import SPLITS
from descentlab.storage.tables import empty_table
from descentlab.training.run_result import RunResult

MEASURES = [f"{split}_{what}" for split in SPLITS for what in ("loss", "metric")]
MOMENTS = ("", "best_", "renormalized_")
UNKNOWN = (
    *("state_bytes_per_parameter", "optimum", "penalty", "best_epoch"),
    *(f"{moment}{measure}" for moment in MOMENTS for measure in MEASURES),
)
SECONDS = ("train_seconds", "evaluation_seconds", "compile_seconds")


@dataclass(frozen=True)
class FaultPolicy:
    """What happens to a run that raises or takes too long.

    Attributes:
        keep_going: the run becomes a result of status ``failed`` that is never cached, and the next run is trained; otherwise
            the job ends.
        run_minutes: limit for one training, including compilation and the runs trained with it; None for no limit.
    """

    keep_going: bool = False
    run_minutes: float | None = None

    @property
    def run_seconds(self) -> float | None:
        """The limit in seconds."""
        return None if self.run_minutes is None else 60 * self.run_minutes

    @property
    def overrun(self) -> str:
        """The message for a run that took too long."""
        return f"took longer than execution.run_minutes ({self.run_minutes})"


END_THE_JOB = FaultPolicy()


def failed_result(message: str, batch_size: int, updates_planned: int, parameters: int) -> RunResult:
    """The result of a failed run: only the reason is known, without history or values.

    Args:
        message: why it failed, one line.
        batch_size: examples per update.
        updates_planned: its budget of updates.
        parameters: trainable parameters of its model.
    """
    record: dict[str, Any] = {
        "status": "failed",
        "message": message,
        "batch_size": batch_size,
        "init_hash": "",
        "split_hash": "",
        "updates": 0,
        "updates_planned": updates_planned,
        "examples": 0,
        "started_at": time.time(),
        "members": 1,
        "parameters": parameters,
        **dict.fromkeys(SECONDS, 0.0),
        **dict.fromkeys(UNKNOWN, math.nan),
    }
    return RunResult(record, empty_table(HISTORY).drop(columns="run_id"), np.empty(0, np.float32), [])
