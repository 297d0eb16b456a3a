"""Parsing the Snakefile: ``snakemake -n`` of the whole workflow against ``snakemake -n`` of an empty one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rows import Row, as_table

ROOT = Path(__file__).parents[1]
SNAKEFILE = ROOT / "Snakefile"
EMPTY = "rule all:\n    default_target: True\n"
FINISHED = "results/default/tracking/report.done"  # the last file of a finished default experiment
NAME = "snakemake -n: the workflow's whole graph, against an empty workflow"
GOAL = 1.3
REPEATS = 5


def dry_run_seconds(folder: Path, snakefile: Path) -> float:
    """Wall seconds of a dry run in ``folder``, in a process of its own.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--cores", "1", "--snakefile", str(snakefile)]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"snakemake -n must end well; it said {(done.stdout + done.stderr)[-500:]}")
    return seconds


def compare_start(repeats: int = REPEATS, finished: Path = ROOT) -> Row:
    """Alternate both, after one of each that isn't counted: the first reads the libraries' files from the disk.

    Args:
        repeats: of each.
        finished: a folder where the default experiment may be done; if so, its dry run is timed too, for the details.
    """
    with tempfile.TemporaryDirectory() as name:
        fresh, empty = Path(name, "fresh"), Path(name, "empty")
        for folder in (fresh, empty):
            folder.mkdir()
        (empty / "Snakefile").write_text(EMPTY, encoding="utf-8")
        cases = {"workflow_seconds": (fresh, SNAKEFILE), "empty_seconds": (empty, empty / "Snakefile")}
        if (finished / FINISHED).exists():
            cases["finished_workflow_seconds"] = (finished, SNAKEFILE)
        seconds: dict[str, list[float]] = {case: [] for case in cases}
        for repeat in range(repeats + 1):
            for case, (folder, snakefile) in cases.items():
                taken = dry_run_seconds(folder, snakefile)
                if repeat:
                    seconds[case].append(taken)
    ratios = [a / b for a, b in zip(seconds["workflow_seconds"], seconds["empty_seconds"], strict=True)]
    return Row(NAME, ratios, goal=GOAL, at_least=False, details=dict(seconds))


def main() -> None:
    """Measure, and print the row and its details."""
    row = compare_start()
    print(json.dumps(row.as_dict(), indent=1), as_table([row]), sep="\n")


if __name__ == "__main__":
    main()
