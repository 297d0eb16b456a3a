"""``python -m benchmarks``: print one table of ratios and write ``results/bench.json``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.engine import compare_dense, compare_two_jobs
from benchmarks.models import compare_models
from benchmarks.naive_pipeline import compare_with_naive
from benchmarks.report_at_scale import measure_report_at_scale
from benchmarks.rows import Row, as_table
from benchmarks.tracking import measure_tracking
from benchmarks.whole_experiment import measure_experiment, run_experiment
from benchmarks.workflow_start import compare_start
from benchmarks.zoo import compare_zoo
from descentlab.training.engine.device import configure_device

REPEATS = 5
OUTPUT = Path("results/bench.json")


def cpu_model() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def quick_lines() -> list[Callable[[], list[Row]]]:
    """What ``make bench`` measures, each in turn."""
    return [
        lambda: compare_dense(REPEATS),
        lambda: compare_two_jobs(REPEATS),
        lambda: compare_models(REPEATS),
        lambda: [compare_start()],
        lambda: [measure_tracking()],
        measure_report_at_scale,
    ]


def full_lines(folder: Path) -> list[Callable[[], list[Row]]]:
    """What ``make bench-full`` measures besides: the zoo, the whole experiment, thousands of tracked runs, the naive pipeline."""

    def whole() -> list[Row]:
        experiment = run_experiment(folder)
        naive = compare_with_naive(experiment.results / "runs.parquet", experiment.wall_seconds)
        return [*measure_experiment(experiment), naive]

    return [lambda: compare_zoo(REPEATS), whole, lambda: [measure_tracking(runs=3_000)]]


def main() -> None:
    """Measure every line; those of ``--full`` too."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="also what takes longer than a quarter of an hour")
    options = parser.parse_args()
    device = configure_device()
    if device != "CPU":
        raise SystemExit(
            f"benchmarks: these ratios are of one CPU thread; hide the GPU ({device}): CUDA_VISIBLE_DEVICES="
        )
    machine = f"{cpu_model()}, {os.cpu_count()} logical cores, {platform.system()}"
    begun = time.perf_counter()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for measure in [*quick_lines(), *(full_lines(Path(folder)) if options.full else [])]:
            rows += measure()
            print(f"{time.perf_counter() - begun:.0f} s: {rows[-1].name}", file=sys.stderr)
            OUTPUT.parent.mkdir(parents=True, exist_ok=True)
            written = [{**row.as_dict(), "machine": machine, "date": time.strftime("%Y-%m-%d")} for row in rows]
            OUTPUT.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(as_table(rows))
    print(f"\nMedians of alternating repeats, warm-up not counted. {machine}. {time.strftime('%Y-%m-%d')}.")
    print(f"{time.perf_counter() - begun:.0f} s; written to {OUTPUT}")


if __name__ == "__main__":
    main()
