"""The plan of an externally logged experiment: what is known about it, and a list of what isn't."""

from __future__ import annotations

import math
import platform
from importlib.metadata import version
from typing import Any

import pandas as pd

from descentlab.analysis.alarms import unknown
from descentlab.experiment.optimizer_config import table_entry
from descentlab.experiment.plan import ImportedPlan
from descentlab.experiment.plan_parts import Imported, LoggedConfig, LoggedOptimizer, LoggedProblem, LoggedSeeds
from descentlab.optimizers.arms import LOGGED_ARM
from descentlab.optimizers.roles import MOMENTUM, PLAIN
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.tracking.imported.comparable import UNKNOWN_SETTING
from descentlab.tracking.imported.logged import LoggedExperiment
from descentlab.tracking.imported.mapping import MappingError, RunMapping

USUAL_MARGIN = 0.01  # of an accuracy
MEDIAN_SHARE = 0.01


def plan_imported(
    experiment: LoggedExperiment,
    mapping: RunMapping,
    runs: pd.DataFrame,
    history: pd.DataFrame,
    unknowns: list[dict[str, Any]],
) -> ImportedPlan:
    """The plan of the compared runs; None stands for what was not logged.

    Args:
        runs: as :func:`~descentlab.tracking.imported.comparable.choose_comparable` gives them.
        history: their evaluations.
        unknowns: entries on the choice of the compared runs.

    Raises:
        MappingError: the mapping's reference is not among the optimizers.
    """
    finals = runs[runs["phase"] == "final"]
    counts = finals.groupby(["problem", "optimizer"]).size()
    optimizers = describe_optimizers(runs)
    problems: dict[str, LoggedProblem] = {}
    margins: list[dict[str, Any]] = []
    for problem, group in finals.groupby("problem", sort=False):
        problems[str(problem)], entry = describe_problem(str(problem), group, experiment, mapping)
        margins += entry
    reference = choose_reference(mapping, list(optimizers))
    return ImportedPlan(
        config=LoggedConfig(
            experiment=experiment.name,
            arms=(LOGGED_ARM,),
            seeds=LoggedSeeds(final=int(counts.min())),
            report=mapping.report.model_copy(update={"reference": reference}),
        ),
        imported=Imported(
            experiment_id=experiment.identity,
            mapping=mapping.model_dump(mode="json", exclude_defaults=True),
            commits=tuple(sorted({commit for commit in runs["commit"] if commit})),
        ),
        problems=problems,
        optimizers=optimizers,
        jobs={},
        runs={problem: int((runs["problem"] == problem).sum()) for problem in problems},
        versions={"python": platform.python_version(), **{name: version(name) for name in ("descentlab", "mlflow")}},
        unknown=(
            *experiment.left_out,
            *unknowns,
            *margins,
            *unknown_of_runs(finals, counts),
            *unknown_of_curves(finals, history),
            *unknown_of_test(finals, experiment),
        ),
    )


def describe_optimizers(runs: pd.DataFrame) -> dict[str, LoggedOptimizer]:
    """What is known about each optimizer; those of the table come first, in its order."""
    names = sorted(set(runs["optimizer"]))
    ordered = [name for name in OPTIMIZERS if name in names] + [name for name in names if name not in OPTIMIZERS]
    described = {}
    for name in ordered:
        trained = runs[runs["optimizer"] == name]
        logged = sorted(set(trained["logged"]))
        entry = OPTIMIZERS.get(name) or table_entry(logged[0])
        rates = sorted({rate for rate in trained["learning_rate"] if math.isfinite(rate)})
        known = OPTIMIZERS.get(name)
        described[name] = LoggedOptimizer(
            factory=entry.factory if entry else logged[0],
            paper=entry.paper if entry else "",
            full_batch=bool(known and known.full_batch),
            equal_updates=False,
            state_slots=known.state_slots if known else None,
            hyperparameters={LOGGED_ARM: dict(known.hyperparameters) if known else {}},
            default_learning_rate=None,
            grid=tuple(rates) or (None,),
            logged=tuple(logged),
        )
    return described


def choose_reference(mapping: RunMapping, optimizers: list[str]) -> str:
    """The mapping's reference, else momentum, plain SGD, or the alphabetically first optimizer.

    Raises:
        MappingError: the experiment doesn't have the mapping's reference.
    """
    if "reference" in mapping.report.model_fields_set:
        if mapping.report.reference not in optimizers:
            raise MappingError(
                f"report.reference: must be one of the optimizers ({', '.join(optimizers)}); received "
                f"'{mapping.report.reference}'"
            )
        return mapping.report.reference
    return next((name for name in (MOMENTUM, PLAIN) if name in optimizers), min(optimizers))


def describe_problem(
    problem: str, finals: pd.DataFrame, experiment: LoggedExperiment, mapping: RunMapping
) -> tuple[LoggedProblem, list[dict[str, Any]]]:
    """What is known about a problem, and an entry of the plan's ``unknown`` if no margin was declared."""
    metric = experiment.metric
    margin, code = declared_margin(finals, metric.name, mapping)
    undeclared = unknown(
        code, len(finals), "" if code == "usual margin" else problem, margin=f"{margin:.3g}", metric=metric.name
    )
    batches, epochs = (sorted(set(finals[name].dropna().astype(int))) for name in ("batch", "epochs"))
    described = LoggedProblem(
        problem=problem,
        title=problem,
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        margin=margin,
        margin_from=code,
        convex=None,
        divergence_factor=None,
        epochs=tuple(map(int, epochs)),
        batch_size=tuple(map(int, batches)),
        train_examples=None,
        val_examples=None,
        test_examples=None,
        parameters=None,
        count="",
        layers=(),
        data_hash="",
        mode=None,
        device=None,
    )
    return described, [undeclared] if code != "declared" else []


def declared_margin(finals: pd.DataFrame, metric: str, mapping: RunMapping) -> tuple[float, str]:
    """The margin of a problem, in units of its metric, and its origin: ``declared``, ``usual margin`` or ``median margin``."""
    if mapping.metrics.margin is not None:
        return mapping.metrics.margin, "declared"
    finished = finals[finals["status"] == "finished"]
    values = finished["test_metric"].fillna(finished["val_metric"]).abs()
    median = float(values.median())
    if "acc" in metric.lower() or not median > 0:
        return USUAL_MARGIN, "usual margin"
    return float(f"{MEDIAN_SHARE * median:.2g}"), "median margin"


def unknown_of_runs(finals: pd.DataFrame, counts: pd.Series) -> list[dict[str, Any]]:
    """What externally logged runs never tell, and what these runs lack."""
    n = len(finals)
    entries = [unknown("pairing", n), unknown("tuning", n), unknown("examples", n), unknown("cost", n)]
    numbered, no_rate = int(finals["numbered"].sum()), int((finals["setting"] == UNKNOWN_SETTING).sum())
    if numbered:
        entries.append(unknown("seeds", numbered, total=n))
    if no_rate:
        entries.append(unknown("rates", no_rate, total=n))
    if counts.min() < counts.max():
        entries.append(unknown("uneven", n, least=int(counts.min()), most=int(counts.max())))
    return entries


def unknown_of_curves(finals: pd.DataFrame, history: pd.DataFrame) -> list[dict[str, Any]]:
    """What the axes of the curves lack."""
    first = history.loc[history["run_id"].isin(finals["run_id"]) & history["val_loss"].notna(), "updates"]
    ran = finals[finals["status"] != "failed"]  # a run that failed may not have logged its settings
    lacking = {
        "start": len(first) > 0 and first.min() > 0,
        "epochs": ran["per_epoch"].isna().any(),
        "batches": ran["batch"].isna().any(),
    }
    return [unknown(code, len(finals)) for code, lacks in lacking.items() if lacks]


def unknown_of_test(finals: pd.DataFrame, experiment: LoggedExperiment) -> list[dict[str, Any]]:
    """Problems without a test metric, and a validation metric used as one."""
    metric = experiment.metric
    entries = []
    for problem, group in finals.groupby("problem", sort=False):
        if not any("test_metric" in ends for ends in group["ends"]):
            entries.append(unknown("no test metric", len(group), str(problem), names=" or ".join(metric.test)))
    if shared := [name for name in metric.test if name in metric.val]:
        entries.append(unknown("test is validation", len(finals), name=shared[0]))
    return entries
