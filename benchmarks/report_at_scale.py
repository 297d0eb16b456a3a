"""``collect``, ``compare`` and ``report`` of generated experiments, 100 to 10,000 runs: seconds and peak memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child_process import run_verb
from benchmarks.generated_experiment import NAME, write_experiment
from benchmarks.rows import Row, as_table

STAGES = ("collect", "compare", "report")
SIZES = (100, 1_000, 3_000, 10_000)
EVALUATIONS = 50
MOST_SECONDS, MOST_GIB, MOST_GROWTH = 60, 2, 1.1
TITLE = "collect + compare + report at {runs:,} runs × {evaluations} evaluations"


def measure_size(runs: int, evaluations: int) -> dict[str, Any]:
    """All stages on one generated experiment."""
    with tempfile.TemporaryDirectory() as name:
        written = write_experiment(Path(name, "results", NAME), runs, evaluations)
        stages = {stage: run_verb(Path(name), stage, f"results/{NAME}") for stage in STAGES}
    return {
        "runs": written,
        "seconds": sum(used.seconds for used in stages.values()),
        "cpu_seconds": sum(used.cpu_seconds for used in stages.values()),
        "peak_gib": max(used.peak_gib for used in stages.values()),
        "stages": {stage: asdict(used) for stage, used in stages.items()},
    }


def growth_exponent(small: dict[str, Any], large: dict[str, Any], start_seconds: float) -> float:
    """The slope of log processor seconds over log runs, what a run of any size takes to start taken off.

    Processor seconds: other programs on the machine hardly change them.
    """
    taken = [measured["cpu_seconds"] - start_seconds for measured in (small, large)]
    return float(np.log(taken[1] / taken[0]) / np.log(large["runs"] / small["runs"]))


def measure_report_at_scale(sizes: Sequence[int] = SIZES, evaluations: int = EVALUATIONS) -> list[Row]:
    """Seconds and memory at the largest size, and the exponent of growth from the second smallest to it.

    The fixed start is where the line through the two smallest sizes is at no runs.
    """
    measured = [measure_size(runs, evaluations) for runs in sizes]
    least, small, large = measured[0], measured[1], measured[-1]
    by_run = (small["cpu_seconds"] - least["cpu_seconds"]) / (small["runs"] - least["runs"])
    start = least["cpu_seconds"] - by_run * least["runs"]
    title = TITLE.format(runs=sizes[-1], evaluations=evaluations)
    details = {"sizes": measured, "start_cpu_seconds": start}
    growth = f"growth from {sizes[1]:,} to {sizes[-1]:,} runs: exponent"
    return [
        Row(title, [large["seconds"]], goal=MOST_SECONDS, at_least=False, unit="s", details=details),
        Row(f"{title}: peak memory", [large["peak_gib"]], goal=MOST_GIB, at_least=False, unit="GiB"),
        Row(growth, [growth_exponent(small, large, start)], goal=MOST_GROWTH, at_least=False, unit=""),
    ]


def main() -> None:
    """Measure, and print the rows and their details."""
    rows = measure_report_at_scale()
    print(json.dumps([row.as_dict() for row in rows], indent=1), as_table(rows), sep="\n")


if __name__ == "__main__":
    main()
