"""Externally logged runs as an experiment of ours: the same tables, and a plan that lists what isn't known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from descentlab.experiment.config import ConfigError, check_folders
from descentlab.experiment.optimizer_config import table_entry
from descentlab.experiment.plan import PLAN_FILE, ImportedPlan, Plan, PlanError
from descentlab.experiment.records import BESIDE, EXAMPLES, HISTORY, RUNS
from descentlab.optimizers.arms import LOGGED_ARM
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import metric_sign
from descentlab.problems.splits import SPLITS
from descentlab.storage.atomic import write_text
from descentlab.storage.tables import empty_table, write_table
from descentlab.tracking.imported.comparable import UNKNOWN_SETTING, choose_comparable
from descentlab.tracking.imported.logged import LoggedExperiment, LoggedRun, LoggedRunsError, read_experiment
from descentlab.tracking.imported.mapping import (
    RunMapping,
    as_number,
    first_of,
    logged_optimizer,
    name_optimizer,
    plain_name,
    plain_names,
)
from descentlab.tracking.imported.plan_imported import plan_imported
from descentlab.training.run_record import moments

LOSSES = ("train_loss", "val_loss")
JUDGED = ("val_metric", "test_metric")  # what a run is judged by at its end
BLANK = {"str": "", "int64": 0, "float64": math.nan, "bool": False}


def import_experiment(name: str, mapping: RunMapping, uri: str | None) -> tuple[ImportedPlan, Path]:
    """Write plan.json and the merged tables of an externally logged experiment.

    Args:
        name: of the MLflow experiment.
        mapping: what each parameter and metric stands for.
        uri: of the tracking store; None for MLFLOW_TRACKING_URI, or results/mlflow.db.

    Returns:
        Its plan, and the folder, ``results/<name>``.

    Raises:
        LoggedRunsError: the store or the experiment doesn't exist, or its runs lack what a comparison needs.
        MappingError: the mapping's reference is not among the optimizers.
        ConfigError: the folder holds other results, or can't be written to.
    """
    results = Path("results", plain_name(name))
    check_folders(results.name)
    check_replaceable(results)
    experiment = read_experiment(name, mapping, uri)
    runs, history = tables_of(experiment, mapping)
    runs, known_of_choice = choose_comparable(runs, mapping)
    plan = plan_imported(experiment, mapping, runs, history, known_of_choice)
    plan.write(results / PLAN_FILE)
    write_text(results / "selections.json", "[]")
    write_table(empty_table(EXAMPLES), EXAMPLES, results / "examples.parquet")
    write_table(empty_table(BESIDE), BESIDE, results / "beside.parquet")
    write_table(history[history["run_id"].isin(runs["run_id"])], HISTORY, results / "history.parquet")
    write_table(runs[list(RUNS)], RUNS, results / "runs.parquet")
    return plan, results


def check_replaceable(results: Path) -> None:
    """Refuse to overwrite anything but an earlier import.

    Raises:
        ConfigError: naming the folder.
    """
    if results.exists() and any(results.iterdir()) and not is_import(results):
        raise ConfigError(
            f"{results} holds results that were not imported; importing would overwrite them. Move them to another folder "
            f"first (if the workflow made them, 'report {results}' writes their report)"
        )


def is_import(results: Path) -> bool:
    """Whether a folder holds an experiment that was imported before."""
    try:
        return isinstance(Plan.read(results), ImportedPlan)
    except (OSError, PlanError, ConfigError):
        return False


def tables_of(experiment: LoggedExperiment, mapping: RunMapping) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All runs and their evaluations.

    Returns:
        The runs, in the order in which they began, with the columns of RUNS (``seed`` may be None) and ``setting`` (the
        learning rate as text), ``logged`` (what the run calls its optimizer), ``ends`` (the columns of which it logged a value,
        finite or not), ``params``, ``commit``, ``batch``, ``per_epoch`` and ``epochs`` (NaN where unknown); and the table
        HISTORY.

    Raises:
        LoggedRunsError: the mapping's ``first_epoch`` fits no logged step, or a seed is no whole number.
    """
    least = min((step for run in experiment.runs for curve in run.curves.values() for step in curve), default=0)
    first = least if mapping.first_epoch is None else mapping.first_epoch
    if first not in (least, least + 1):
        raise LoggedRunsError(f"first_epoch: must be {least}, the lowest logged step, or {least + 1}; received {first}")
    problems, optimizers = names_of(experiment, mapping)
    rows: list[dict[str, Any]] = []
    evaluations: list[dict[str, Any]] = []
    for run in experiment.runs:
        description = describe_run(run, experiment, mapping, problems, optimizers)
        points = evaluations_of(run, description, mapping, first)
        rows.append({**description, **end_of(run, points, experiment.metric.higher_is_better)})
        evaluations += points
    seeds = pd.Series([row["seed"] for row in rows], dtype=object)  # as floats, absent ones would round the others
    runs = fill_budgets(pd.DataFrame(rows).assign(seed=seeds))
    return runs, pd.DataFrame(evaluations, columns=list(HISTORY))


def names_of(experiment: LoggedExperiment, mapping: RunMapping) -> tuple[dict[str | None, str], dict[str, str]]:
    """The report's names of the problems and of the optimizers, by what the runs call them; None for runs that name none.

    If no run names a problem, the problem is named after the experiment. Optimizers of the table need no name here.
    """
    params = mapping.params
    problems = {first_of(params.problem, run.values) for run in experiment.runs}
    unnamed = "unnamed" if problems - {None} else experiment.name
    names = plain_names(problem or unnamed for problem in problems)
    logged = {logged_optimizer(params.optimizer, run.values) or "" for run in experiment.runs} - set(mapping.optimizers)
    others = plain_names(
        (name for name in logged if table_entry(name) is None), taken={*OPTIMIZERS, *mapping.optimizers.values()}
    )
    return {problem: names[problem or unnamed] for problem in problems}, {**others, **mapping.optimizers}


def describe_run(
    run: LoggedRun,
    experiment: LoggedExperiment,
    mapping: RunMapping,
    problems: Mapping[str | None, str],
    optimizers: Mapping[str, str],
) -> dict[str, Any]:
    """A run's row of the table of runs, as far as its parameters and tags tell.

    Args:
        problems, optimizers: names from :func:`names_of`.
    """
    names, values = mapping.params, run.values
    logged, rate = logged_optimizer(names.optimizer, values) or "", first_of(names.learning_rate, values)
    number = float(f"{as_number(rate):.6g}")  # autologged rates are float32
    batch = as_count(first_of(names.batch_size, values)) or mapping.batch_size
    per_epoch = as_count(first_of(names.updates_per_epoch, values)) or mapping.updates_per_epoch
    epochs = as_count(first_of(names.epochs, values))
    counted = epochs is not None and (mapping.step == "epoch" or per_epoch is not None)
    return {
        **{name: BLANK[column.dtype] for name, column in RUNS.items()},
        "run_id": run.run_id,
        "problem": problems[first_of(names.problem, values)],
        "arm": LOGGED_ARM,
        "phase": "final",
        "optimizer": name_optimizer(logged, values, optimizers),
        "logged": logged,
        "learning_rate": number,
        "schedule": "unknown",
        "setting": f"{number:g}" if math.isfinite(number) else rate or UNKNOWN_SETTING,
        "seed": seed_of(run, names.seed),
        "batch_size": batch or 1,
        "batch": batch or math.nan,
        "per_epoch": per_epoch or math.nan,
        "epochs": epochs or math.nan,
        "updates_planned": (epochs or 0) * (per_epoch or 1) if counted else math.nan,
        "started_at": run.began / 1000,
        "members": 1,
        "device": "unknown",
        "mode": "unknown",
        "metric": experiment.metric.name,
        "higher_is_better": experiment.metric.higher_is_better,
        "ends": frozenset(run.ends),
        "params": run.params,
        "commit": run.commit,
    }


def as_count(text: str | None) -> int | None:
    """A positive whole number, or None."""
    number = as_number(text)
    return int(number) if number >= 1 and number.is_integer() else None


def seed_of(run: LoggedRun, names: tuple[str, ...]) -> int | None:
    """A run's seed; None without one.

    Raises:
        LoggedRunsError: it is no whole number.
    """
    text = first_of(names, run.values)
    number = as_number(text)
    if text is not None and not number.is_integer():
        raise LoggedRunsError(
            f"run {run.run_id}: a seed must be a whole number; received '{text}' (logged as {' or '.join(names)}; a mapping can "
            "name another parameter: params: {seed: …})"
        )
    return None if text is None else int(number)


def evaluations_of(
    run: LoggedRun, description: Mapping[str, Any], mapping: RunMapping, first: int
) -> list[dict[str, Any]]:
    """A run's rows of the history, up to the first loss that isn't finite.

    Args:
        description: the run's row from :func:`describe_run`.
        first: the step logged after the first epoch.
    """
    per_epoch = 1 if math.isnan(description["per_epoch"]) else int(description["per_epoch"])
    rows: list[dict[str, Any]] = []
    for step in sorted({step for curve in run.curves.values() for step in curve}):
        updates = step if mapping.step == "update" else (step - first + 1) * per_epoch
        values = {column: curve[step] for column, curve in run.curves.items() if step in curve}
        rows.append(
            {
                **dict.fromkeys(HISTORY, math.nan),
                **values,
                "run_id": run.run_id,
                "updates": updates,
                "epoch": updates / per_epoch,
                "examples": updates * description["batch_size"],
            }
        )
        if not all(math.isfinite(values[name]) for name in LOSSES if name in values):
            break
    return rows


def end_of(run: LoggedRun, points: list[dict[str, Any]], higher_is_better: bool) -> dict[str, Any]:
    """How a run ended: its status, its best epoch, and the last value of everything that was logged.

    Args:
        points: its rows of the history.
    """
    record = moments(pd.DataFrame(points), metric_sign(higher_is_better)) if points else {}
    columns = [f"{split}_{what}" for split in SPLITS for what in ("loss", "metric")]
    record |= {column: run.ends.get(column, math.nan) for column in columns}
    losses = [loss for name in LOSSES for loss in (*run.curves.get(name, {}).values(), run.ends.get(name, 0.0))]
    if not all(map(math.isfinite, losses)):
        return {**record, "status": "diverged", "message": f"loss not finite after {record['updates']} updates"}
    if run.status != "FINISHED":
        return {**record, "status": "failed", "message": f"status {run.status} in MLflow"}
    for name in JUDGED:
        if not math.isfinite(run.ends.get(name, 0.0)):  # one that was not logged is missing, and no result
            return {
                **record,
                "status": "diverged",
                "message": f"{name} not finite after {record.get('updates', 0)} updates",
            }
    return {**record, "status": "finished"}


def fill_budgets(runs: pd.DataFrame) -> pd.DataFrame:
    """Fill in unknown numbers of planned updates: the most of the optimizer's finished runs, else of the problem's."""
    planned = runs["updates_planned"]
    done = runs["updates"].where(runs["status"] == "finished")
    for by in (["problem", "optimizer"], ["problem"]):
        planned = planned.fillna(done.groupby([runs[name] for name in by]).transform("max"))
    return runs.assign(updates_planned=planned.fillna(0).clip(lower=runs["updates"]).astype("int64"))
