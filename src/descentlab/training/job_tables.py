"""The tables that a job writes: its runs, their histories, and the scores of their test examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.records import RUNS
from descentlab.experiment.run_spec import RunSpec
from descentlab.training.execution.progress import say
from descentlab.training.job_files import write_job_tables
from descentlab.training.problem_data import ProblemData
from descentlab.training.run_result import RunResult


@dataclass
class JobTables:
    """The rows of a job's runs so far."""

    problem: ProblemData
    runs: list[dict[str, Any]] = field(default_factory=list)
    histories: list[pd.DataFrame] = field(default_factory=list)
    beside: list[pd.DataFrame] = field(default_factory=list)
    examples: list[pd.DataFrame] = field(default_factory=list)

    def add(self, spec: RunSpec, digest: str, result: RunResult) -> None:
        """Add a run, its history and, if it saw them, the scores of its test examples."""
        problem = self.problem
        metric = problem.problem.metric
        self.runs.append(
            {
                **{name: value for name, value in spec.as_dict().items() if name in RUNS},
                "run_id": spec.run_id,
                "mode": problem.mode,
                **result.record,
                "data_hash": problem.data_hash,
                "device": problem.device,
                "metric": metric.name,
                "higher_is_better": metric.higher_is_better,
                "digest": digest,
            }
        )
        self.histories.append(result.history.assign(run_id=spec.run_id))
        self.beside.append(result.beside.assign(run_id=spec.run_id))
        if not spec.sealed and len(result.scores):
            test, scores = problem.split(spec.seed).test, result.scores
            example = test if len(scores) == len(test) else np.arange(len(scores))
            self.examples.append(pd.DataFrame({"run_id": spec.run_id, "example": example, "score": scores}))

    def of_optimizer(self, optimizer: str) -> pd.DataFrame:
        """The runs of an optimizer so far."""
        return pd.DataFrame([run for run in self.runs if run["optimizer"] == optimizer])

    def write(self, path: Path) -> None:
        """Write ``<path>.*.parquet``.

        Raises:
            WriteError: a file can't be written.
        """
        rows = {"examples": self.examples, "beside": self.beside, "history": self.histories}
        filled = {name: [table for table in tables if len(table)] for name, tables in rows.items()}
        tables = {name: pd.concat(tables, ignore_index=True) for name, tables in filled.items() if tables}
        write_job_tables(path, tables | {"runs": pd.DataFrame(self.runs)})


def say_failures(runs: list[dict[str, Any]]) -> None:
    """Log how many runs of each optimizer failed, and the reason of the first."""
    failed: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        if run["status"] == "failed":
            failed.setdefault(run["optimizer"], []).append(run)
    for optimizer, group in failed.items():
        say(f"{optimizer}: {len(group)} runs failed; {group[0]['run_id']}: {group[0]['message']}")
    if failed:
        say("Failed runs are not cached. To train them again, add to the command: --forcerun train")
