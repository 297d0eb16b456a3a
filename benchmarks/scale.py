"""What a million runs would take: slopes measured at 100, 1,000 and 10,000 runs, extrapolated; writes ``SCALE.md``.

Histories are generated, runs are not trained but for what a training costs. More runs are more problems, of 1,250 runs each.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.child_process import run_module, run_verb
from benchmarks.generated_experiment import NAME, TEST_EXAMPLES, make_config, write_experiment
from benchmarks.growth import Growth, rounded, shown
from benchmarks.report_at_scale import STAGES
from descentlab.experiment.jobs import cut_jobs
from descentlab.experiment.records import EXAMPLES, HISTORY, RUNS
from descentlab.experiment.run_spec import SEALED_PHASES
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.storage.tables import read_table
from descentlab.training.cache import store_result
from descentlab.training.run_result import RunResult

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("SCALE.md")
SIZES, JOBS = (100, 1_000, 10_000), (10, 100, 1_000)
MILLION = 1_000_000
DAY_SECONDS, MOST_GIB, MOST_PAGE_BYTES, MOST_DISK_BYTES, MOST_WAIT_SECONDS = 86_400, 16, 1e9, 1e12, 60
PROMISED_BYTES = 15e6  # of the page of 10,000 runs
WEIGHTS = [(64, 64), (64,), (64, 10), (10,)]  # of the generated problem's model
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SEEDS = (10, 60)  # of the trainings that are timed
# Before the digest of a table took its texts piece by piece and compare let go of the examples: GiB at SIZES.
BEFORE_GIB = {"collect": (0.21, 0.28, 0.81), "compare": (0.23, 0.29, 0.94)}


def write_cache(results: Path, cache: Path) -> dict[str, float]:
    """Keep every run of an experiment as training keeps it; number, bytes and processor seconds of the files."""
    runs = read_table(results / "runs.parquet", RUNS)
    history = read_table(results / "history.parquet", HISTORY).drop(columns="run_id")
    evaluations = len(history) // len(runs)
    begun = time.process_time()
    for number, row in enumerate(runs.to_dict("records")):
        sealed = row["phase"] in SEALED_PHASES
        mine = history.iloc[number * evaluations : (number + 1) * evaluations]
        scores = np.zeros(0 if sealed else TEST_EXAMPLES)
        weights = [] if sealed else [np.zeros(shape, np.float32) for shape in WEIGHTS]
        store_result(cache, f"{number:064x}"[::-1], RunResult(row, mine, scores, weights))
    seconds = time.process_time() - begun
    files = [path.stat().st_size for path in cache.rglob("*.npz")]
    return {"files": len(files), "bytes": sum(files), "seconds": seconds}


def measure_store(folder: Path) -> dict[str, float]:
    """Track every run; then search the store as tracking does, and as the first page of MLflow's list does."""
    from descentlab.tracking.store import find_runs, open_store

    results = folder / "results" / NAME
    used = [run_verb(folder, "store", f"results/{NAME}/plan.json"), run_verb(folder, "track", f"results/{NAME}")]
    database = folder / "results/mlflow.db"
    with open_store(f"sqlite:///{database}") as client:
        experiment = client.get_experiment_by_name(results.name)
        assert experiment is not None
        identity = str(experiment.experiment_id)
        latest = ["attributes.start_time DESC"]
        return {
            "track": sum(one.cpu_seconds for one in used),
            "track GiB": max(one.peak_gib for one in used),
            "bytes": database.stat().st_size,
            "find": least_seconds(lambda: find_runs(client, identity, "tags.problem = 'problem_0'")),
            "list": least_seconds(lambda: client.search_runs([identity], max_results=100, order_by=latest)),
        }


def least_seconds(call: Callable[[], Any]) -> float:
    """Processor seconds of a call, the least of three: the first reads what the others find in memory."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        call()
        taken.append(time.process_time() - begun)
    return min(taken)


def open_seconds(page: Path) -> float:
    """The page's processor seconds in Chromium until, come to, its explorer stands; NaN where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        return math.nan
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        opened = browser.new_page()
        asked = opened.context.new_cdp_session(opened)
        asked.send("Performance.enable", {"timeDomain": "threadTicks"})
        opened.goto(page.resolve().as_uri(), timeout=120_000)
        opened.evaluate("document.querySelector('.explorer').scrollIntoView()")  # it is drawn when a reader comes near
        opened.wait_for_selector(".explorer.ready .chart svg", timeout=120_000)
        metrics = {metric["name"]: metric["value"] for metric in asked.send("Performance.getMetrics")["metrics"]}
        browser.close()
    return float(metrics["TaskDuration"])


def measure_size(runs: int) -> dict[str, float]:
    """Everything that is measured by the number of runs, at one size."""
    with tempfile.TemporaryDirectory() as name:
        folder, results, page = Path(name), Path(name, "results", NAME), Path(name, "reports", NAME, "index.html")
        written = write_experiment(results, runs)
        stages = {stage: run_verb(folder, stage, f"results/{NAME}") for stage in STAGES}
        merged = sum((results / f"{table}.parquet").stat().st_size for table in ("runs", "history", "examples"))
        examples = len(read_table(results / "examples.parquet", EXAMPLES))
        return {
            "runs": written,
            **{stage: used.cpu_seconds for stage, used in stages.items()},
            **{f"{stage} GiB": used.peak_gib for stage, used in stages.items()},
            "tables": merged,
            "example rows": examples,
            "plan": (results / "plan.json").stat().st_size,
            "page": page.stat().st_size,
            "open": open_seconds(page),
            **{f"store {key}": value for key, value in measure_store(folder).items()},
            **{f"cache {key}": value for key, value in write_cache(results, folder / "cache").items()},
        }


def dry_run_seconds(jobs: int) -> float:
    """Processor seconds of ``snakemake -n`` of so many trainings, ten to a problem, each a job of its own."""
    optimizers = [entry.name for entry in OPTIMIZERS.values() if not entry.full_batch][:10]
    config = {
        "experiment": NAME,
        "optimizers": optimizers,
        "execution": {"optimizers_per_job": 1},
        "problems": [{"problem": "mlp", "name": f"problem_{k}"} for k in range(jobs // len(optimizers))],
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        arguments = ["-n", "--quiet", "--cores", "2", "--snakefile", str(ROOT / "Snakefile"), "--configfile", str(file)]
        return run_module(Path(folder), "snakemake", *arguments).cpu_seconds


def training_seconds() -> tuple[float, float]:
    """Processor seconds of a run of mlp by Adam, eight side by side, and of starting a job."""
    taken = []
    for seeds in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            config = {
                "experiment": NAME,
                "problems": ["mlp"],
                "optimizers": ["adam"],
                "arms": ["default"],
                "seeds": {"final": seeds},
                "measurements": [],
            }
            Path(folder, "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
            run_verb(Path(folder), "plan", "config.yaml")
            train = ("train", f"results/{NAME}/plan.json", "--problem", "mlp", "--job", "0")
            taken.append(run_verb(Path(folder), *train).cpu_seconds)
    each = (taken[1] - taken[0]) / (SEEDS[1] - SEEDS[0])
    return each, taken[0] - SEEDS[0] * each


def growths(measured: list[dict[str, float]], dry_runs: list[float], jobs: int) -> list[Growth]:
    """The lines of the table."""
    sizes = [one["runs"] for one in measured]

    def line(what: str, key: str, unit: str, limit: float = math.inf, least_exponent: float = 1) -> Growth:
        return Growth(what, unit, sizes, [one[key] for one in measured], limit, MILLION, least_exponent)

    return [
        line("cache: files", "cache files", ""),
        line("cache: bytes", "cache bytes", "bytes", MOST_DISK_BYTES),
        line("cache: CPU seconds to write", "cache seconds", "s", DAY_SECONDS),
        line("tables: bytes of runs, histories and examples", "tables", "bytes", MOST_DISK_BYTES),
        line("plan.json: bytes", "plan", "bytes", MOST_PAGE_BYTES),
        *(line(f"{stage}: CPU seconds", stage, "s", DAY_SECONDS) for stage in STAGES),
        *(line(f"{stage}: peak memory", f"{stage} GiB", "GiB", MOST_GIB) for stage in STAGES),
        line("report: bytes of the page", "page", "bytes", MOST_PAGE_BYTES),
        line("report: CPU seconds of Chromium until its explorer stands", "open", "s", MOST_WAIT_SECONDS),
        line("MLflow: CPU seconds to track", "store track", "s", DAY_SECONDS),
        line("MLflow: bytes of the store", "store bytes", "bytes", MOST_DISK_BYTES),
        # A problem is tracked at a time, and the list shows a hundred runs.
        line("MLflow: peak memory of tracking", "store track GiB", "GiB", MOST_GIB, 0),
        line("MLflow: CPU seconds to find a problem's runs", "store find", "s", MOST_WAIT_SECONDS, 0),
        line("MLflow: CPU seconds of the list's first page", "store list", "s", MOST_WAIT_SECONDS, 0),
        Growth("`snakemake -n`: CPU seconds (of 10, 100, 1,000 jobs)", "s", JOBS, dry_runs, DAY_SECONDS, jobs, 1),
    ]


TEXT = """# A million runs, on paper

Written by `python -m benchmarks.scale` ({date}, two cores of an AMD EPYC, Linux). Other programs were running, so seconds are the
processor's, which those hardly change. Measured at {sizes} generated runs of 50 evaluations; more runs are more problems of
1,250 runs each. The exponent is that of the growth between the two largest sizes, what no run at all takes left out. A million
runs are **extrapolated** with it, a hundred times farther than anything was measured; with 1 where it is less and every run has
its share. Limits: 16 GiB of memory, a day, 1 TB of disk, a file of 1 GB to be read whole, 60 s for someone who waits.

| what | measured | exponent | at 10⁶, extrapolated | limit | reached at runs, extrapolated |
|---|---|---|---|---|---|
{lines}

**Training**, extrapolated from mlp by Adam: {milliseconds:.0f} ms of a core a run and {start:.0f} s a job, so {hours:,.0f}
core-hours. A million runs are {jobs:,} jobs, as `optimizers_per_job: auto` cuts them.

**A report of 10,000 runs opens**: {page} (at most 15 MB are promised: {kept}), {opened:.1f} s of Chromium's main thread until its
explorer stands.

**What breaks first**, by these limits: {order}.

**What was done.** The first to end in an error, not in a wait, was `compare`, by memory. It went to texts: the digest
of a table made Python's texts of a whole column at once, and `compare` sorted the examples by their runs' ids
and kept them to its end. The digest now takes 100,000 rows at a time (the same digest), `compare` sorts
numbers and lets the table go ({rows:,.0f} rows at the largest size).

| peak memory | before | after | before, at 10⁶, extrapolated | after | 16 GiB at runs, before, extrapolated | after |
|---|---|---|---|---|---|---|
{cure}

What is left are the tables themselves, whole in memory, and a page with every final run's curve. Next would be to read problem by
problem (of another problem's runs an estimate needs none, Holm's correction p values alone), and fewer curves on a page of more
than some ten thousand runs.
"""


def as_page(lines: list[Growth], measured: list[dict[str, float]], jobs: int, training: tuple[float, float]) -> str:
    """The page as Markdown."""
    largest, sizes = measured[-1], [one["runs"] for one in measured]
    breaking = sorted((line for line in lines if line.breaks_at < MILLION), key=lambda line: line.breaks_at)
    cure = []
    for stage, before in BEFORE_GIB.items():
        after = [one[f"{stage} GiB"] for one in measured]
        old, new = (Growth(stage, "GiB", sizes, values, MOST_GIB, MILLION, 1) for values in (before, after))
        cure.append(
            f"| {stage} | {before[-1]:.2f} GiB | {after[-1]:.2f} GiB | {old.at(MILLION):.0f} GiB | {new.at(MILLION):.0f} GiB | "
            f"{rounded(old.breaks_at)} | {rounded(new.breaks_at)} |"
        )
    return TEXT.format(
        date=time.strftime("%Y-%m-%d"),
        sizes=", ".join(f"{size:,.0f}" for size in sizes),
        lines="\n".join(line.row() for line in lines),
        milliseconds=1e3 * training[0],
        start=training[1],
        hours=(MILLION * training[0] + jobs * training[1]) / 3_600,
        jobs=jobs,
        page=shown(largest["page"], "bytes"),
        kept="kept" if largest["page"] <= PROMISED_BYTES else "not kept",
        opened=largest["open"],
        order="; ".join(f"{line.what}, at {rounded(line.breaks_at)} runs" for line in breaking) or "nothing",
        rows=largest["example rows"],
        cure="\n".join(cure),
    )


def main() -> None:
    """Measure and write the page; the figures as JSON in ``results/scale.json``."""
    dry_runs = [dry_run_seconds(jobs) for jobs in JOBS]
    training = training_seconds()
    # A process of its own each: a child's peak memory is at least what its parent had.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        measured = [fresh.apply(measure_size, (runs,)) for runs in SIZES]
    jobs = sum(map(len, cut_jobs(make_config(MILLION)).values()))
    lines = growths(measured, dry_runs, jobs)
    Path("results").mkdir(exist_ok=True)
    Path("results/scale.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(as_page(lines, measured, jobs, training), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
