"""The default experiment, whole, in an empty folder: what it takes beyond the arithmetic of training and validation."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.rows import Row
from descentlab.experiment.records import RUNS
from descentlab.storage.tables import read_table

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class WholeExperiment:
    """A finished default experiment.

    Attributes:
        folder: where it ran.
        wall_seconds: of ``snakemake --cores all``, nothing cached.
        cores: that it was given.
    """

    folder: Path
    wall_seconds: float
    cores: int

    @property
    def results(self) -> Path:
        """``results/default``."""
        return self.folder / "results/default"


def run_experiment(folder: Path) -> WholeExperiment:
    """Run the default experiment in an empty folder."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "all",
        "--quiet",
        "all",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
    ]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return WholeExperiment(folder, time.perf_counter() - begun, len(os.sched_getaffinity(0)))


def rule_seconds(results: Path) -> dict[str, float]:
    """Seconds of each rule, from Snakemake's own benchmark files: wall time times the cores it held, jobs added up."""
    seconds: dict[str, float] = {}
    for file in sorted((results / "benchmarks").rglob("*.tsv")):
        rule = file.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
        held = len(os.sched_getaffinity(0)) if rule == "measure_alone" else 1
        seconds[rule] = seconds.get(rule, 0.0) + held * float(pd.read_csv(file, sep="\t")["s"].iloc[0])
    return seconds


def measure_experiment(whole: WholeExperiment) -> list[Row]:
    """Wall time × cores by the sum of training and validation: of everything, and of what isn't measurement."""
    runs = read_table(whole.results / "runs.parquet", RUNS)
    arithmetic = float((runs["train_seconds"] + runs["evaluation_seconds"]).sum())
    compiling = runs.groupby(["problem", "optimizer"])["compile_seconds"].max().sum()
    rules = rule_seconds(whole.results)
    measuring = rules.get("measure", 0.0) + rules.get("measure_alone", 0.0)
    spent = whole.wall_seconds * whole.cores
    details = {
        "wall_seconds": whole.wall_seconds,
        "cores": whole.cores,
        "runs": len(runs),
        "arithmetic_seconds": arithmetic,
        "compile_seconds": float(compiling),
        "rule_seconds": rules,
    }
    name = "default experiment: wall time × cores, against training and validation"
    return [
        Row(name, [spent / arithmetic], 1.5, at_least=False, details=details),
        Row(f"{name}, its measurements apart", [(spent - measuring) / arithmetic], 1.5, at_least=False),
    ]
