"""What a reader must know before trusting a number, as codes: divergences, missing runs, rates on an edge, few seeds.

Also what an externally logged experiment does not record. :mod:`descentlab.report.alarm_phrases` has the sentences.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pandas as pd

from descentlab.analysis.choice_noise import LEAST_TUNING_SEEDS
from descentlab.analysis.comparison import fill_table
from descentlab.analysis.pairing import ROW
from descentlab.experiment.plan import ImportedPlan, Plan, TrainingPlan
from descentlab.experiment.plan_parts import PlannedProblem
from descentlab.optimizers.arms import Arm

LEAST_SEEDS = 5


def raise_alarms(
    plan: Plan, runs: pd.DataFrame, selections: list[dict[str, Any]], scored: Collection[str] | None = None
) -> pd.DataFrame:
    """One row per alarm (columns ``TABLES["alarms"]``).

    Args:
        plan: the experiment's plan.
        runs: all runs.
        selections: the choices that were made.
        scored: ids of the runs whose test examples have scores; None if that isn't asked.
    """
    rows: list[dict[str, Any]] = []
    finals = runs[runs["phase"] == "final"]
    for status in ("diverged", "failed", "missing"):
        for key, group in finals[finals["status"] == status].groupby(ROW, sort=False):
            planned_runs = int(((finals[ROW] == list(key)).all(axis=1)).sum())
            reason = str(group["message"].iloc[0]) if status == "failed" else ""
            rows.append(_alarm(status, status, len(group), *key, of=planned_runs, reason=reason))
    for selection in selections:
        place = selection["problem"], str(Arm.TUNED), selection["optimizer"]
        rate = selection["learning_rate"]
        if selection["edge"]:
            grid = selection["grid"]
            rows.append(_alarm("edge", "edge", 1, *place, rate=rate, low=grid[0], high=grid[-1]))
        rows += [_alarm("cliff", "cliff", 1, *place, rate=rate, cliff=cliff) for cliff in selection["cliff"]]
    rows += _lagging_averages(plan, finals)
    if scored is not None and isinstance(plan, TrainingPlan):
        unscored = finals[(finals["status"] == "finished") & ~finals["run_id"].isin(list(scored))]
        rows += [
            _alarm("unscored", "unscored", len(group), str(name))
            for name, group in unscored.groupby("problem", sort=False)
        ]
    for problem, planned in plan.problems.items():
        for absent in planned.absent_classes if isinstance(planned, PlannedProblem) else ():
            of_class = {"label": absent.label, "split": absent.split}
            rows.append(_alarm("absent class", "absent class", len(absent.seeds), problem, **of_class))
    seeds = plan.fewest_seeds
    if seeds < LEAST_SEEDS:
        rows.append(_alarm("few seeds", "few seeds", seeds, least=LEAST_SEEDS))
    if blind := unmeasured_tuning(plan):
        kind = "tuning noise unmeasured"
        rows.append(
            _alarm(kind, kind, len(blind), of=len(plan.problems), least=LEAST_TUNING_SEEDS, names=", ".join(blind))
        )
    for entry in plan.unknown if isinstance(plan, ImportedPlan) else ():
        place = entry["problem"], "", entry["optimizer"]
        rows.append(_alarm(entry["kind"], entry["code"], entry["count"], *place, **entry["values"]))
    return fill_table(pd.DataFrame(rows), "alarms")


def unmeasured_tuning(plan: Plan) -> list[str]:
    """The problems of which the tuned intervals leave out what other tuning seeds would have chosen.

    Measuring it takes LEAST_TUNING_SEEDS, and the final seeds at the rates beside the chosen one (docs/statistics.md, "The noise
    of tuning"). A grid of one rate has no choice, and no noise.
    """
    if not isinstance(plan, TrainingPlan) or Arm.TUNED not in plan.config.arms:
        return []
    config = plan.config
    return [
        problem
        for problem, tuning in ((name, config.tuning_of(name)) for name in plan.problems)
        if tuning.points > 1 and (not tuning.neighbors or config.seeds_of(problem).tuning < LEAST_TUNING_SEEDS)
    ]


def _lagging_averages(plan: Plan, finals: pd.DataFrame) -> list[dict[str, Any]]:
    """Optimizers judged by averages of BatchNormalization that cost them more than the margin on the validation split."""
    rows = []
    finished = finals[finals["status"] == "finished"].dropna(subset=["renormalized_val_metric"])
    for (problem, arm, optimizer), group in finished.groupby(ROW, sort=False):
        planned = plan.problems[problem]
        kept, anew = group["val_metric"].mean(), group["renormalized_val_metric"].mean()
        if planned.sign * (anew - kept) > planned.margin:
            place = str(problem), str(arm), str(optimizer)
            rows.append(_alarm("lagging averages", "lagging averages", len(group), *place, kept=kept, anew=anew))
    return rows


def _alarm(
    kind: str, code: str, count: int, problem: str = "", arm: str = "", optimizer: str = "", **values: Any
) -> dict[str, Any]:
    """One row of the table of alarms."""
    place = {"problem": problem, "arm": arm, "optimizer": optimizer}
    return {"kind": kind, **place, "count": count, "code": code, "values": json.dumps(values, ensure_ascii=False)}


def unknown(code: str, count: int, problem: str = "", optimizer: str = "", **values: Any) -> dict[str, Any]:
    """Something that an imported experiment does not record: one entry of an imported plan's ``unknown``.

    Args:
        code: code of a sentence in :mod:`descentlab.report.alarm_phrases`.
        count: number of runs concerned.
        problem: the problem concerned, or empty.
        optimizer: the optimizer concerned, or empty.
        values: other values that the sentence is filled with.
    """
    kind = "same seeds" if code == "chosen" else "unknown"
    return {"kind": kind, "code": code, "problem": problem, "optimizer": optimizer, "count": count, "values": values}
