"""Tracking 3,000 runs into a new SQLite store: processor seconds, against those of training them.

Runs of two of the default experiment's problems are trained by the workflow's own command. Where fewer than 3,000 are,
they are tracked again under other optimizers' names, as many to a problem and to an optimizer as the default experiment has;
training is scaled by run, its processes' start by job. ``--runs 3000`` trains all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.child_process import run_verb
from benchmarks.rows import Row, as_table
from descentlab.experiment.config import parse_config
from descentlab.experiment.jobs import cut_jobs, runs_per_optimizer
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import HISTORY, RUNS
from descentlab.storage.tables import read_table, write_table
from descentlab.training.job_files import speed_job, write_job_tables

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "workflow/config/default.yaml"
EXPERIMENT = "tracking"
NAME = "tracking 3,000 runs into a new SQLite store: CPU seconds, against training them"
TRACKED, GOAL = 3_000, 0.20
PROBLEMS = ("logistic_regression", "mlp")  # a run of theirs costs a little less than the default experiment's mean
# One in four is swept, as in the default experiment.
OPTIMIZERS = (
    "adam",
    "nadam",
    "adamax",
    "lion",
    "sgd",
    "nesterov",
    "adamw",
    "lamb",
    "momentum",
    "adadelta",
    "amsgrad",
    "muon",
    "rmsprop",
    "schedule_free_adamw",
    "adafactor",
    "ftrl",
    "adagrad",
    "nadam_2",
    "adamax_2",
    "lion_2",
    "nesterov_2",
)


def small_config(optimizers: int) -> dict[str, Any]:
    """The default config with some of its problems and optimizers."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    kept = [problem for problem in config["problems"] if problem["problem"] in PROBLEMS]
    named: list[Any] = [
        {"optimizer": name.removesuffix("_2"), "name": name} if name.endswith("_2") else name
        for name in OPTIMIZERS[:optimizers]
    ]
    return {**config, "experiment": EXPERIMENT, "problems": kept, "optimizers": named, "measurements": []}


def repeat_optimizers(results: Path, plan: TrainingPlan, times: int) -> int:
    """Write every optimizer's runs ``times`` times, copies under other names; returns how many runs there are."""
    written = 0
    for problem, jobs in plan.jobs.items():
        folder = results / "train" / problem
        for name, columns in (("runs", RUNS), ("history", HISTORY)):
            whole = pd.concat([read_table(folder / f"{job}.{name}.parquet", columns) for job in range(len(jobs))])
            copies = [whole]
            for copy in range(1, times):
                renamed = whole["run_id"].str.replace(r"^(\w+\.\w+)\.", rf"\1_{copy}.", regex=True)
                again = whole.assign(run_id=renamed)
                copies.append(again.assign(optimizer=whole["optimizer"] + f"_{copy}") if name == "runs" else again)
            write_table(pd.concat(copies), columns, folder / f"0.{name}.parquet")
            written += times * len(whole) if name == "runs" else 0
        write_job_tables(speed_job(results, problem), {})
    optimizers = {
        f"{name}_{copy}" if copy else name: optimizer
        for copy in range(times)
        for name, optimizer in plan.optimizers.items()
    }
    together = {problem: (tuple(name for job in jobs for name in job),) for problem, jobs in plan.jobs.items()}
    replace(plan, jobs=together, optimizers=optimizers).write(results / "plan.json")
    return written


def train_all(folder: Path, plan: TrainingPlan) -> float:
    """Processor seconds of the plan's jobs, a process each."""
    file = f"results/{EXPERIMENT}/plan.json"
    return sum(
        run_verb(folder, "train", file, "--problem", problem, "--job", str(job)).cpu_seconds
        for problem, jobs in plan.jobs.items()
        for job in range(len(jobs))
    )


def measure_tracking(runs: int = 280) -> Row:
    """Train about ``runs`` runs, then make a store and track 3,000 in it, a process for each problem as the workflow has.

    Args:
        runs: to train.
    """
    settings = small_config(1)
    config = parse_config(settings, "benchmark")
    each = sum(runs_per_optimizer(config, problem.name) for problem in config.problems)
    optimizers = min(len(OPTIMIZERS), max(1, round(runs / each)))
    with tempfile.TemporaryDirectory() as name:
        folder, results = Path(name), Path(name, "results", EXPERIMENT)
        settings = small_config(optimizers)
        (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        run_verb(folder, "plan", "config.yaml")
        plan = TrainingPlan.read(results)
        jobs = sum(map(len, plan.jobs.values()))
        trained_seconds = train_all(folder, plan)
        trained = sum(len(pd.read_parquet(path)) for path in results.glob("train/*/*.runs.parquet"))
        times = max(1, math.ceil(TRACKED / trained))
        # A job whose runs are all in the cache does everything but train: what a process takes to start, and more.
        start_seconds = train_all(folder, plan) / jobs if times > 1 else 0.0
        tracked = repeat_optimizers(results, plan, times)
        store = run_verb(folder, "store", f"results/{EXPERIMENT}/plan.json").cpu_seconds
        tracking = {
            problem: run_verb(folder, "track", f"results/{EXPERIMENT}", "--problem", problem).cpu_seconds
            for problem in PROBLEMS
        }
    whole = parse_config(small_config(optimizers * times), "benchmark")
    whole_jobs = sum(map(len, cut_jobs(whole).values())) if times > 1 else jobs
    marginal = (trained_seconds - jobs * start_seconds) / trained
    training = whole_jobs * start_seconds + tracked * marginal
    tracking_seconds = store + sum(tracking.values())
    details = {
        "trained_runs": trained,
        "tracked_runs": tracked,
        "trained_cpu_seconds": trained_seconds,
        "training_cpu_seconds_scaled": training,
        "scaling": "none" if times == 1 else f"{whole_jobs} starts and every run at {1e3 * marginal:.1f} ms",
        "start_cpu_seconds": start_seconds,
        "store_cpu_seconds": store,
        "track_cpu_seconds": tracking,
        "milliseconds_a_run": 1e3 * tracking_seconds / tracked,
        "training_milliseconds_a_run": 1e3 * training / tracked,
    }
    return Row(NAME, [tracking_seconds / training], goal=GOAL, at_least=False, details=details)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the row and its details."""
    parser = argparse.ArgumentParser(description="tracking against training, in processor seconds")
    parser.add_argument("--runs", type=int, default=280, help="to train; 3000 are tracked in any case")
    row = measure_tracking(parser.parse_args(arguments).runs)
    print(json.dumps(row.as_dict(), indent=1), as_table([row]), sep="\n")


if __name__ == "__main__":
    main()
