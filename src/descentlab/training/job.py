"""One job: the runs of some optimizers on one problem, through the run cache.

Optimizer by optimizer: the tuning runs (test targets zeroed), the selection written to a file, then the final runs.
A run that is in the cache is not trained again, so a job that was killed goes on after its last finished run. A run that
raises, or takes longer than it may, ends the job; where DESCENTLAB_KEEP_GOING is set it becomes a row of status ``failed``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.config import parse_config
from descentlab.experiment.jobs import is_swept, runs_per_optimizer
from descentlab.experiment.records import EXAMPLES, HISTORY, RUNS, RunSpec
from descentlab.experiment.runs import entries_of, extended_runs, final_runs, sweep_runs, tuning_runs
from descentlab.optimizers.table import OptimizerEntry
from descentlab.storage.atomic import write_text, written_aside
from descentlab.storage.tables import empty_table, write_table
from descentlab.training.cache import RunResult
from descentlab.training.engine.device import configure_device
from descentlab.training.execution.gpu_slots import gpu_slot
from descentlab.training.execution.progress import Progress, say
from descentlab.training.failed_runs import FaultPolicy
from descentlab.training.optimizer_job import OptimizerJob
from descentlab.training.problem_data import ProblemData
from descentlab.training.tuning import next_step, select_learning_rate, select_trial

KEEP_GOING = "DESCENTLAB_KEEP_GOING"  # the workflow sets it for snakemake --keep-going


def train_job(plan: dict[str, Any], problem_name: str, job: int, output: Path, cache: Path) -> None:
    """Train a job's runs; write ``<output>/<job>.history.parquet`` and the tables beside it, and the best models.

    On a machine with GPUs it waits for one that it may use.

    Args:
        plan: the contents of plan.json.
        problem_name: which problem.
        job: which batch of its optimizers, an index into ``plan["jobs"][problem]``.
        output: ``results/<experiment>/train/<problem>``.
        cache: folder of the run cache.

    Raises:
        TrainingError: a run raised, and the job is not to keep going. ProblemError: data or model are not what was planned.
        WriteError: a file can't be written.
    """
    with gpu_slot(parse_config(plan["config"], "plan").execution.jobs_per_gpu):
        _train_job(plan, problem_name, job, output, cache)


def _train_job(plan: dict[str, Any], problem_name: str, job: int, output: Path, cache: Path) -> None:
    device = configure_device()
    problem = ProblemData(plan, problem_name, device)
    entries = entries_of(plan, problem_name)
    names = plan["jobs"][problem_name][job]
    config = parse_config(plan["config"], "plan")
    faults = FaultPolicy(bool(os.environ.get(KEEP_GOING)), config.execution.run_minutes)
    most = runs_per_optimizer(config)
    progress = Progress(most * len(names))
    say(f"{problem_name}: {', '.join(names)} on {device}, {problem.mode}")

    selections: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    histories: list[pd.DataFrame] = []
    examples: list[pd.DataFrame] = []

    def run_all(runs: OptimizerJob, specs: list[RunSpec]) -> list[RunResult]:
        results = []
        for spec, (digest, result, trained) in zip(specs, runs.run(specs), strict=True):
            progress.step(spec.run_id, trained)
            named = {name: value for name, value in spec.as_dict().items() if name in RUNS}
            records.append({**named, "run_id": spec.run_id, **result.record, **common, "digest": digest})
            histories.append(result.history.assign(run_id=spec.run_id))
            if not spec.sealed and len(result.scores):
                test = problem.split(spec.seed).test
                examples.append(pd.DataFrame({"run_id": spec.run_id, "example": test, "score": result.scores}))
            results.append(result)
        return results

    def sweep(runs: OptimizerJob, entry: OptimizerEntry, selection: dict[str, Any]) -> list[float]:
        """The learning rates of the robustness sweep, ascending, all trained."""
        chosen = entry.step_of(selection["learning_rate"])
        sign = 1 if problem.problem.metric.higher_is_better else -1
        goodness: dict[float, np.ndarray] = {}
        while (step := next_step(goodness, chosen, problem.about["margin"])) is not None:
            specs = sweep_runs(plan, problem_name, entry.name, [entry.rate_at(step)])
            progress.expect(len(specs))
            ends = [result.record for result in run_all(runs, specs)]
            goodness[step] = np.array(
                [sign * end["val_metric"] if end["status"] == "finished" else np.nan for end in ends]
            )
        return [entry.rate_at(step) for step in sorted(goodness)]

    common = {
        "data_hash": problem.about["data_hash"],
        "device": device,
        "mode": problem.mode,
        "metric": problem.problem.metric.name,
        "higher_is_better": problem.problem.metric.higher_is_better,
    }
    for name in names:
        runs = OptimizerJob(problem, entries[name], cache, plan["versions"], faults)
        selection, extended = None, 0
        tuning = tuning_runs(plan, problem_name, name)
        if tuning:
            tuned = [result.record for result in run_all(runs, tuning)]
            selection = select_learning_rate(
                entries[name], problem_name, tuning, tuned, problem.problem.metric.higher_is_better
            )
            selections.append(selection)
            # The choice is on disk before a run that sees a test target starts.
            write_text(output / f"{job}.selections.json", json.dumps(selections, indent=1))
            if is_swept(config, name) and selection["learning_rate"] is not None:
                selection["sweep"] = sweep(runs, entries[name], selection)
            trials = extended_runs(plan, problem_name, name, selection)
            extended = sum(len(specs) for _, specs in trials)
            if trials:
                judged = [[result.record for result in run_all(runs, specs)] for _, specs in trials]
                higher = problem.problem.metric.higher_is_better
                selection["extended"] = trials[select_trial(judged, higher)][0]
                write_text(output / f"{job}.selections.json", json.dumps(selections, indent=1))
        finals = final_runs(plan, problem_name, name, selection)
        progress.expect(len(tuning) + extended + len(finals) - most)
        save_best_model(problem, finals, run_all(runs, finals), output.parents[1] / "models" / problem_name, name)
    write_text(output / f"{job}.selections.json", json.dumps(selections, indent=1))
    write_table(_joined(examples, EXAMPLES), EXAMPLES, output / f"{job}.examples.parquet")
    write_table(pd.DataFrame(records), RUNS, output / f"{job}.runs.parquet")
    write_table(_joined(histories, HISTORY), HISTORY, output / f"{job}.history.parquet")
    say_failures(records)


def say_failures(records: list[dict[str, Any]]) -> None:
    """How many runs of each optimizer failed, and why the first of them."""
    failed: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record["status"] == "failed":
            failed.setdefault(record["optimizer"], []).append(record)
    for optimizer, runs in failed.items():
        say(f"{optimizer}: {len(runs)} runs failed; {runs[0]['run_id']}: {runs[0]['message']}")
    if failed:
        say("Nothing of them is cached. To train them again, add to the command: --forcerun train")


def _joined(tables: list[pd.DataFrame], columns: dict[str, Any]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else empty_table(columns)


def save_best_model(
    problem: ProblemData, specs: list[RunSpec], results: list[RunResult], folder: Path, name: str
) -> None:
    """Write ``<folder>/<name>.keras``: of the final runs (tuned, where there are), the best by validation metric."""
    arm = "tuned" if any(spec.arm == "tuned" for spec in specs) else "default"
    sign = 1 if problem.problem.metric.higher_is_better else -1
    finished = [
        (sign * result.record["val_metric"], -spec.seed, result)
        for spec, result in zip(specs, results, strict=True)
        if spec.arm == arm and spec.phase == "final" and result.record["status"] == "finished"
    ]
    path = folder / f"{name}.keras"
    if not finished:
        path.unlink(missing_ok=True)
        return
    best = max(finished, key=lambda candidate: candidate[:2])[2]
    model = problem.problem.build_model()
    for variable, value in zip(model.variables, best.weights, strict=True):
        variable.assign(value)
    with written_aside(path) as aside:
        model.save(aside)
