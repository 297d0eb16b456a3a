"""What one MLflow run holds, whichever way it is written.

Time stamps come from the files, so logging a value again adds no row.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlflow.entities import Run

RUN_ID, DIGEST, PARENT, NOTE = "descentlab.run_id", "descentlab.digest", "mlflow.parentRunId", "mlflow.note.content"
TRAINING = "descentlab.training"  # digest of what the values are the result of
CONTEXT = "mlflow.data.context"
CURVE = "curve/"  # the charts page makes a section of it


@dataclass(frozen=True)
class DataSet:
    """Data that a run reads.

    Attributes:
        name: the problem's.
        digest: of the arrays.
        splits: which splits the run sees, as MLflow shows it.
        examples: in each split.
    """

    name: str
    digest: str
    splits: str
    examples: dict[str, int]

    def mlflow_fields(self) -> tuple[str, str, str, str, str]:
        """Name, digest (MLflow accepts 36 characters), type and location of the source, and profile."""
        source = json.dumps({"problem": self.name})
        return self.name, self.digest[:36], "code", source, json.dumps(self.examples)


@dataclass(frozen=True)
class Entry:
    """One run as MLflow holds it.

    Attributes:
        key: our id of the run.
        name: shown in the list of runs.
        began, ended: milliseconds since 1970 (UTC).
        finished: whether MLflow's status is FINISHED; FAILED otherwise.
        tags, params: as text; empty tags are left out.
        metrics: values at ``step``; those that aren't finite are left out.
        curve: metrics by name, shape (steps,) each, ``step`` and ``timestamp`` (ms) among them; or None.
        dataset: the data that it reads, or None.
        note: Markdown at the top of the run's page; ``{run}`` in it stands for MLflow's id of the run.
        write_artifacts: writes the run's files into a folder; called only if the store lacks the run.
        drawn_from: digest of what the files are made from, apart from what is here.
    """

    key: str
    name: str
    began: int
    ended: int
    finished: bool
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    step: int = 0
    curve: dict[str, np.ndarray] | None = None
    dataset: DataSet | None = None
    note: str = ""
    write_artifacts: Callable[[Path], None] | None = None
    drawn_from: str = ""

    def __post_init__(self) -> None:
        """Leave out what MLflow can't store: infinity would become a huge number."""
        object.__setattr__(self, "metrics", {k: float(v) for k, v in self.metrics.items() if math.isfinite(v)})
        object.__setattr__(self, "tags", {k: v for k, v in self.tags.items() if v} | {RUN_ID: self.key})

    def digest(self) -> str:
        """Sha256 of everything that is logged; of a curve only whether there is one: the digest of its training is a tag."""
        parts = {**vars(self), "curve": self.curve is not None, "write_artifacts": self.write_artifacts is not None}
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=vars).encode()).hexdigest()

    def late_tags(self, mlflow_id: str, parent: str | None) -> dict[str, str]:
        """The tags that mark a run as complete, or need MLflow's ids."""
        note = {NOTE: self.note.replace("{run}", mlflow_id)} if self.note else {}
        return {DIGEST: self.digest(), **note, **({PARENT: parent} if parent is not None else {})}

    def agrees_with(self, existing: Run) -> bool:
        """Whether nothing in the store contradicts this entry, so that logging the rest completes it."""
        logged = existing.data.metrics
        values = {name: value for name, value in logged.items() if not name.startswith(CURVE)}
        return (
            existing.info.start_time == self.began
            and existing.info.run_name == self.name
            and {k: v for k, v in existing.data.tags.items() if k in self.tags} == self.tags
            and all(self.params.get(name) == value for name, value in existing.data.params.items())
            and all(self.metrics.get(name) == value for name, value in values.items())
            and (self.curve is not None or len(values) == len(logged))
        )

    def values(self) -> list[tuple[str, float, int, int]]:
        """Every metric's name, value, time stamp and step."""
        points = [(name, value, self.ended, self.step) for name, value in self.metrics.items()]
        if self.curve is None:
            return points
        columns = {name: values.tolist() for name, values in self.curve.items()}
        steps, stamps = columns.pop("step"), columns.pop("timestamp")
        for name, values in columns.items():
            evaluations = zip(values, stamps, steps, strict=True)
            points += [(CURVE + name, value, stamp, step) for value, stamp, step in evaluations if math.isfinite(value)]
        return points
