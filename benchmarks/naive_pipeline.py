"""The whole default experiment against the naive pipeline: one process a run, ``fit``, ``log_metric`` every epoch.

Some of the experiment's runs are trained for real by :mod:`benchmarks.naive_run`, as many side by side as there are
cores, and the time of all of them is extrapolated by strata of problem and kind of optimizer. The naive pipeline is
favoured: it measures nothing else and writes no report, while our time is that of everything.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.rows import Row, as_table
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.plan_parts import PlannedOptimizer, PlannedProblem

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "workflow/config/default.yaml"
NAME = "whole default experiment: naive pipeline, extrapolated, against ours"
CHOSEN = {"sgd": 2, "adaptive": 4, "muon": 2, "gd": 2, "gd_equal_updates": 1}  # runs measured in a problem's stratum
MOST_EPOCHS = 500  # a run of more is measured over a fifth of its epochs and scaled
SHORTENED = 5
CHECKED = "problem == 'mlp' and optimizer == 'adam' and arm == 'tuned' and phase == 'final' and seed == 0"
TOLERANCE = 0.1  # between our validation metric and the naive one, where the settings are those that tuning chose
RUN_SECONDS = 600  # a naive run that takes longer hangs


class NaiveError(RuntimeError):
    """A naive run failed, or did other work than ours."""


@dataclass(frozen=True)
class Measured:
    """A naive run.

    Attributes:
        run: its problem, kind, optimizer, arm, phase and seed.
        seconds: wall time of its process, with that of the epochs it was spared.
        cpu_seconds: the same of its processor time, which other programs on the machine can't slow much.
        epochs, epochs_planned: those trained, and those of the run.
        start_seconds: wall time outside ``model.fit``: imports, data, model, MLflow's start.
        logging_seconds: of the epochs trained, in ``mlflow.log_metric``.
        naive_metric, our_metric: validation metric at the end; NaN where there is nothing to compare.
    """

    run: dict[str, Any]
    seconds: float
    cpu_seconds: float
    epochs: int
    epochs_planned: int
    start_seconds: float
    logging_seconds: float
    naive_metric: float
    our_metric: float


def kind_of(optimizer: PlannedOptimizer) -> str:
    """The stratum of an optimizer: a key of ``CHOSEN``."""
    if optimizer.full_batch:
        return "gd_equal_updates" if optimizer.equal_updates else "gd"
    return {"SGD": "sgd", "Muon": "muon"}.get(optimizer.factory, "adaptive")


def read_experiment(runs_table: Path) -> tuple[TrainingPlan, pd.DataFrame]:
    """Plan and runs of a finished experiment; where there is none, of ``CONFIG`` with a sweep of the usual number."""
    if runs_table.exists():
        return TrainingPlan.read(runs_table.parent), pd.read_parquet(runs_table)
    from descentlab.experiment.config import load_config
    from descentlab.experiment.jobs import SWEPT_RATES, is_swept
    from descentlab.experiment.runs import entries_of, planned_runs
    from descentlab.training.make_plan import make_plan

    config = load_config(CONFIG)
    plan, selections = make_plan(config), []
    for problem in plan.problems:
        for name, entry in entries_of(plan, problem).items():
            rate = entry.center_learning_rate
            beside = [entry.rate_at(k) for k in (-1, 1)] if rate else []
            swept = (
                [entry.rate_at(k / 2) for k in range(SWEPT_RATES)] if rate and is_swept(config, problem, name) else []
            )
            grid = entry.grid(config.tuning.points)
            about = {"problem": problem, "optimizer": name, "learning_rate": rate, "grid": grid}
            selections.append({**about, "neighbors": beside, "sweep": swept})
    runs = pd.DataFrame([run.as_dict() for run in planned_runs(plan, selections)])
    return plan, runs.assign(status="planned", val_metric=math.nan)


def choose_runs(runs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """``CHOSEN`` of each stratum's ``runs`` at random, the arms in turn, an optimizer at most once in an arm."""
    generator, chosen = np.random.default_rng(seed), []
    for (_, kind), stratum in runs.groupby(["problem", "kind"]):
        drawn = stratum.sample(frac=1, random_state=generator).drop_duplicates(["optimizer", "arm"])
        turn = drawn.groupby("arm").cumcount()
        chosen.append(drawn.assign(turn=turn).sort_values(["turn", "arm"], kind="stable").head(CHOSEN[kind]))
    return pd.concat(chosen).drop(columns="turn")


def epochs_planned(problem: PlannedProblem, kind: str) -> int:
    """Epochs that ``fit`` needs for a run: as many as updates for full batch with equal updates."""
    per_epoch = problem.train_examples // problem.batch_size
    return problem.epochs * (per_epoch if kind == "gd_equal_updates" else 1)


def train_naively(run: dict[str, Any], problem: PlannedProblem, tracking_uri: str, folder: Path) -> Measured:
    """Train one run in a process of its own and time it; NaiveError where it fails or does other work than ours."""
    planned = epochs_planned(problem, run["kind"])
    epochs = planned if planned <= MOST_EPOCHS else planned // SHORTENED
    words = [
        sys.executable,
        "-m",
        "benchmarks.naive_run",
        "--config",
        CONFIG,
        "--problem",
        run["problem"],
        "--optimizer",
        run["optimizer"],
        "--arm",
        run["arm"],
        "--learning-rate",
        run["learning_rate"],
        "--schedule",
        run["schedule"],
        "--epochs",
        epochs,
        "--batch-size",
        problem.batch_size,
        "--seed",
        run["seed"],
        "--tracking-uri",
        tracking_uri,
        *(["--full-batch"] if run["kind"].startswith("gd") else []),
        *(["--evaluate-test"] if run["phase"] in ("final", "neighbor") else []),
    ]
    environment = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "MLFLOW_DISABLE_TELEMETRY": "true"}
    begun = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )
    wall = time.perf_counter() - begun
    if done.returncode:
        raise NaiveError(f"a naive run must end well; {run['problem']} / {run['optimizer']}: {done.stderr[-500:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    by_epoch = (found["fit_seconds"] - found["first_epoch_seconds"]) / max(1, epochs - 1)
    seconds = wall + (planned - epochs) * by_epoch
    measured = Measured(
        run={key: run[key] for key in ("problem", "kind", "optimizer", "arm", "phase", "seed")},
        seconds=seconds,
        cpu_seconds=found["cpu_seconds"] * seconds / wall,
        epochs=epochs,
        epochs_planned=planned,
        start_seconds=wall - found["fit_seconds"],
        logging_seconds=found["logging_seconds"],
        naive_metric=found["val_metric"] if epochs == planned else math.nan,
        our_metric=run["val_metric"] if run["status"] == "finished" else math.nan,
    )
    check_same_work(measured)
    return measured


def check_same_work(measured: Measured) -> None:
    """Hold a naive run at the chosen learning rate to ours with the same split (weights and batches differ).

    Raises:
        NaiveError: its validation metric is not finite, or further from ours than ``TOLERANCE``.
    """
    run, naive, ours = measured.run, measured.naive_metric, measured.our_metric
    chosen = (run["arm"], run["phase"]) == ("tuned", "final") and measured.epochs == measured.epochs_planned
    if chosen and not math.isnan(ours) and not abs(naive - ours) <= TOLERANCE:
        raise NaiveError(
            f"{run['problem']} / {run['optimizer']}: the naive run's validation metric must be finite and within "
            f"{TOLERANCE} of ours, {ours:.3g}; it is {naive:.3g}"
        )


def extrapolate(measured: Sequence[Measured], counts: dict[tuple[str, str], int]) -> tuple[float, float, list[Any]]:
    """Seconds of one core for all runs, their standard error, and the strata; ``counts`` is by (problem, kind).

    The variance is that of a stratified mean; a stratum with one run is given the others' pooled relative one.
    """
    of = {key: [one for one in measured if (one.run["problem"], one.run["kind"]) == key] for key in counts}
    by_stratum = {key: np.array([one.seconds for one in ones]) for key, ones in of.items()}
    repeated = [seconds for seconds in by_stratum.values() if len(seconds) > 1]
    pooled = np.average([(s.std(ddof=1) / s.mean()) ** 2 for s in repeated], weights=[len(s) - 1 for s in repeated])
    total = variance = 0.0
    strata = []
    for key, seconds in by_stratum.items():
        mean, n = float(seconds.mean()), len(seconds)
        square = float(seconds.var(ddof=1)) if n > 1 else float(pooled) * mean**2
        total += counts[key] * mean
        variance += counts[key] ** 2 * square / n
        strata.append(
            {
                "problem": key[0],
                "kind": key[1],
                "measured": n,
                "mean_seconds": mean,
                "planned_runs": counts[key],
                "epochs": of[key][0].epochs_planned,
                "epochs_measured": of[key][0].epochs,
            }
        )
    return total, math.sqrt(variance), strata


def compare_with_naive(runs_table: Path, our_wall_seconds: float, cores: int = 2, seed: int = 0) -> Row:
    """Train some runs of the default experiment naively, extrapolate to all, and divide by our own wall time.

    The row's values are the ratio and its bounds at two standard errors of the naive time (the experiment's own was
    measured once): (low, ratio, high). ``n`` of its details is the number of naive runs. One more, not counted, comes
    first: it makes the tracking store and warms the files. NaiveError where a run failed or did other work.

    Args:
        runs_table: ``runs.parquet`` of the finished experiment, ``plan.json`` beside it; where it doesn't exist, the
            runs are counted from the config.
        our_wall_seconds: of the whole default experiment, on as many cores.
        cores: naive processes side by side.
        seed: of the draw.
    """
    plan, table = read_experiment(runs_table)
    runs = table.assign(kind=[kind_of(plan.optimizers[name]) for name in table["optimizer"]])
    chosen = choose_runs(runs, seed)
    # At random, so that other programs slow all strata alike; the long ones first: no core waits at the end.
    specs = chosen.sample(frac=1, random_state=seed).to_dict("records")
    specs.sort(key=lambda run: run["kind"] != "gd_equal_updates")
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(cores) as pool:

        def train(run: dict[str, Any]) -> Measured:
            return train_naively(run, plan.problems[run["problem"]], f"sqlite:///{name}/naive.db", Path(name))

        first = train(runs.query(CHECKED).to_dict("records")[0])
        measured = list(pool.map(train, specs))
    counts = {key: int(n) for key, n in runs.groupby(["problem", "kind"]).size().items()}
    total, error, strata = extrapolate(measured, counts)
    cpu, _, _ = extrapolate([replace(run, seconds=run.cpu_seconds) for run in measured], counts)
    apart = np.array([abs(run.naive_metric - run.our_metric) for run in measured])
    details = {
        "n": len(measured),
        "naive_seconds": total / cores,
        "naive_seconds_standard_error": error / cores,
        "naive_cpu_seconds": cpu / cores,  # a naive pipeline that never waits for disk or other programs
        "our_seconds": our_wall_seconds,
        "cores": cores,
        "planned_runs": len(runs),
        "diverged": int(runs["status"].eq("diverged").sum()),  # ours stop there; naive ones train on, as fit does
        "scaling": f"of runs of more than {MOST_EPOCHS} epochs, 1/{SHORTENED}; the rest at the mean after the first",
        "median_start_seconds": float(np.median([run.start_seconds for run in measured])),
        "median_logging_seconds": float(np.median([run.logging_seconds for run in measured])),
        "check": {"run": CHECKED, "naive": first.naive_metric, "ours": first.our_metric},
        "median_metric_difference": float(np.nanmedian(apart)) if np.isfinite(apart).any() else None,
        "strata": strata,
        "runs": [asdict(run) for run in measured],
    }
    return Row(NAME, [(total + k * error) / cores / our_wall_seconds for k in (-2, 0, 2)], goal=50, details=details)


def main() -> None:
    """Measure, and print the row and its details."""
    parser = argparse.ArgumentParser(description="the default experiment against one process a run")
    parser.add_argument("--our-seconds", type=float, required=True, help="wall time of the whole default experiment")
    parser.add_argument("--runs", type=Path, default=Path("results/default/runs.parquet"))
    settings = parser.parse_args()
    row = compare_with_naive(settings.runs, settings.our_seconds)
    print(json.dumps(row.as_dict(), indent=1), as_table([row]), sep="\n")


if __name__ == "__main__":
    main()
