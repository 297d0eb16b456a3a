"""One job: the runs of some optimizers on one problem, through the run cache.

Optimizer by optimizer: the tuning runs (test targets zeroed), the selection written to a file, then the final runs.
A run that is in the cache is not trained again, so a job that was killed goes on after its last finished run.
"""

from __future__ import annotations

import inspect
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.cache import RunResult, load_result, run_digest, source_digest, store_result
from descentlab.config import parse_config
from descentlab.device import configure_device
from descentlab.engine import Trainer
from descentlab.optimizers import OptimizerEntry, arm_hyperparameters, build, evaluation_weights, resolve_factory
from descentlab.plan import is_swept, runs_per_optimizer
from descentlab.planned_runs import entries_of, extended_runs, final_runs, sweep_runs, tuning_runs
from descentlab.problem_data import ProblemData
from descentlab.progress import Progress, say
from descentlab.records import EXAMPLES, HISTORY, RUNS, RunSpec, empty_table, write_table, write_text
from descentlab.run_record import divergence, hash_arrays, history_row, moments, spread_evenly
from descentlab.schedules import evaluation_steps, learning_rates
from descentlab.selection import select_learning_rate, select_trial
from descentlab.streams import data_order
from descentlab.sweep import next_step

DECISIVE_MODULES = (
    "descentlab.cache", "descentlab.device", "descentlab.engine", "descentlab.problem_data", "descentlab.problems.base",
    "descentlab.run_record", "descentlab.schedules", "descentlab.streams", "descentlab.train",
)  # fmt: skip


class TrainingError(RuntimeError):
    """A run raised; the message names it. What was finished before is in the cache."""


class OptimizerJob:
    """All runs of one optimizer on one problem; compiles when the first run is not in the cache."""

    def __init__(self, problem: ProblemData, entry: OptimizerEntry, cache: Path, versions: dict[str, str]) -> None:
        self._problem = problem
        self._entry = entry
        self._cache = cache
        self._versions = versions
        self._trainers: dict[str, Trainer] = {}

    def run(self, spec: RunSpec) -> tuple[str, RunResult, bool]:
        """The digest and result of a run, and whether it had to be trained.

        Raises:
            TrainingError: training raised.
        """
        digest = self._digest(spec)
        known = load_result(self._cache, digest, say)
        if known is not None:
            return digest, known, False
        try:
            result = self._train(spec)
        except Exception as error:  # whatever it was, the reader must learn which run it was
            raise TrainingError(
                f"run {spec.run_id} raised {type(error).__name__}: {error} ({json.dumps(spec.as_dict())})"
            ) from error
        store_result(self._cache, digest, result)
        return digest, result, True

    def _hyperparameters(self, spec: RunSpec) -> dict[str, Any]:
        return arm_hyperparameters(self._entry, spec.arm, json.loads(spec.hyperparameters or "{}"))

    def _digest(self, spec: RunSpec) -> str:
        names_only = {
            "optimizer",
            "arm",
            "phase",
            "hyperparameters",
        }  # the same training under another name is the same run
        trainer_source = ""
        if ":" in self._entry.factory:
            module = inspect.getmodule(resolve_factory(self._entry))
            trainer_source = source_digest([module.__name__]) if module else ""
        return run_digest(
            {
                **{name: value for name, value in spec.as_dict().items() if name not in names_only},
                "problem": [self._problem.problem.name, self._problem.source, self._problem.config.train_examples,
                            self._problem.config.evaluation_examples],
                "data": self._problem.about["data_hash"],
                "optimizer": [self._entry.factory, self._hyperparameters(spec), trainer_source,
                              inspect.getsource(evaluation_weights)],
                "sealed": spec.sealed,
                "mode": self._problem.mode,
                "device": self._problem.device,
                "code": source_digest(DECISIVE_MODULES),
                "versions": {name: self._versions[name] for name in ("tensorflow", "keras", "numpy")},
            }
        )  # fmt: skip

    def _trainer(self, spec: RunSpec) -> Trainer:
        """One compiled trainer for each set of hyperparameters."""
        key = json.dumps(self._hyperparameters(spec), sort_keys=True)
        if key not in self._trainers:
            has_rate = spec.learning_rate == spec.learning_rate
            self._trainers[key] = Trainer(
                self._problem.problem,
                lambda: build(self._entry, spec.arm, spec.learning_rate, json.loads(spec.hyperparameters or "{}")),
                self._problem.mode,
                has_rate,
            )
        return self._trainers[key]

    def _train(self, spec: RunSpec) -> RunResult:
        problem, trainer = self._problem, self._trainer(spec)
        split = problem.split(spec.seed)
        tested = not spec.sealed
        batch_size = spec.batch_size or len(split.train)
        per_epoch = len(split.train) // spec.reference_batch_size
        updates = spec.epochs * per_epoch
        if spec.batch_size == 0 and not spec.equal_updates:
            per_epoch, updates = 1, spec.epochs
        parts = [split.train, split.val] + ([split.test] if tested else [])
        limit = problem.config.evaluation_examples
        during = parts if limit is None else [spread_evenly(part, limit) for part in parts]
        rates = learning_rates(spec.learning_rate, spec.schedule, updates)
        evaluations = trainer.train(
            problem.data if tested else problem.sealed_data,
            problem.initial(spec.seed),
            data_order(problem.problem.name, spec.seed, split.train, spec.batch_size, spec.epochs),
            rates,
            evaluation_steps(per_epoch, spec.epochs),
            np.concatenate(during),
            None if limit is None else np.concatenate(parts),
        )
        started_at = time.time()
        rows, last, message = [], None, ""
        for evaluation in evaluations:
            last = evaluation
            sizes = [len(part) for part in (parts if evaluation.updates == updates else during)]
            rows.append(history_row(evaluation, sizes, batch_size, len(split.train), rates))
            message = divergence(rows[-1], problem.problem.loss_bound)
            if message:
                break
        assert last is not None  # evaluation_steps always begins with 0
        history = pd.DataFrame(rows)
        record = {
            "status": "diverged" if message else "finished",
            "message": message,
            "batch_size": batch_size,
            "init_hash": hash_arrays(problem.initial(spec.seed)),
            "split_hash": split.hash(),
            "updates_planned": updates,
            "started_at": started_at,
            "evaluation_seconds": last.evaluation_seconds,
            "compile_seconds": trainer.compile_seconds,
            "parameters": trainer.parameters,
            "state_bytes_per_parameter": trainer.state_bytes_per_parameter,
            "optimum": problem.optimum(spec.seed),
            **moments(history, problem.problem.metric.higher_is_better),
        }
        scores, weights = np.empty(0, np.float32), []
        if tested:
            if not message:
                scores = last.score[-len(split.test) :]
            weights = [np.asarray(variable) for variable in trainer.evaluated_model().variables]
        return RunResult(record, history, scores, weights)


def train_job(plan: dict[str, Any], problem_name: str, job: int, output: Path, cache: Path) -> None:
    """Train a job's runs; write ``<output>/<job>.history.parquet`` and the tables beside it, and the best models.

    Args:
        plan: the contents of plan.json.
        problem_name: which problem.
        job: which batch of its optimizers, an index into ``plan["jobs"][problem]``.
        output: ``results/<experiment>/train/<problem>``.
        cache: folder of the run cache.

    Raises:
        TrainingError: a run raised. ProblemError: data or model are not what was planned.
    """
    device = configure_device()
    problem = ProblemData(plan, problem_name, device)
    entries = entries_of(plan, problem_name)
    names = plan["jobs"][problem_name][job]
    config = parse_config(plan["config"], "plan")
    most = runs_per_optimizer(config)
    progress = Progress(most * len(names))
    say(f"{problem_name}: {', '.join(names)} on {device}, {problem.mode}")

    selections: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    histories: list[pd.DataFrame] = []
    examples: list[pd.DataFrame] = []

    def run_all(runs: OptimizerJob, specs: list[RunSpec]) -> list[RunResult]:
        results = []
        for spec in specs:
            digest, result, trained = runs.run(spec)
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
        runs = OptimizerJob(problem, entries[name], cache, plan["versions"])
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


def _joined(tables: list[pd.DataFrame], columns: dict[str, Any]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True) if tables else empty_table(columns)


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
    folder.mkdir(parents=True, exist_ok=True)
    model.save(path)
