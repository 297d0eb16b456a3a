"""What an experiment that other code logged doesn't tell: codes in its plan, sentences among the report's alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from descentlab.analysis.pairing import ROW
from descentlab.analysis.tables import fill_table
from descentlab.experiment.plan import ImportedPlan, Plan
from descentlab.i18n.wording import counted, message, words

LEAST_SEEDS = 5
ARM_NAMES = {
    "default": message("default arm"),
    "tuned": message("tuned arm"),
    "extended": message("extended arm"),
    "logged": message("as logged"),
}
STATUS_ALARMS = {
    "diverged": message("{optimizer} on {problem}, {arm}: {n} of {of} final runs diverged"),
    "failed": message("{optimizer} on {problem}, {arm}: {n} of {of} final runs failed"),
    "missing": message("{optimizer} on {problem}, {arm}: {n} of {of} final runs missing"),
}
EDGE_ALARMS = {
    "low": message(
        "{optimizer} on {problem}: the chosen learning rate {rate:g} is the lowest of its grid ({low:g} to {high:g})"
    ),
    "high": message(
        "{optimizer} on {problem}: the chosen learning rate {rate:g} is the highest of its grid ({low:g} to {high:g})"
    ),
}


def raise_alarms(plan: Plan, runs: pd.DataFrame, selections: list[dict[str, Any]]) -> pd.DataFrame:
    """What a reader must know before believing a number: divergences, missing runs, optima on an edge, few seeds.

    Also what runs that other code logged don't tell.
    """
    rows: list[dict[str, Any]] = []
    finals = runs[runs["phase"] == "final"]
    for status, text in STATUS_ALARMS.items():
        for key, group in finals[finals["status"] == status].groupby(ROW, sort=False):
            problem, arm, optimizer = key
            of = int(((finals[ROW] == list(key)).all(axis=1)).sum())
            told = words(text, optimizer=optimizer, problem=problem, arm=words(ARM_NAMES[arm]), n=len(group), of=of)
            why = str(group["message"].iloc[0]) if status == "failed" else ""
            told += f" ({why})" if why else ""
            rows.append(
                {
                    "kind": status,
                    "problem": problem,
                    "arm": arm,
                    "optimizer": optimizer,
                    "count": len(group),
                    "text": told,
                }
            )
    for selection in selections:
        if selection["edge"]:
            problem, optimizer = selection["problem"], selection["optimizer"]
            grid = [rate for rate in selection["grid"] if rate is not None]
            told = words(
                EDGE_ALARMS[selection["edge"]],
                optimizer=optimizer,
                problem=problem,
                rate=selection["learning_rate"],
                low=min(grid),
                high=max(grid),
            )
            rows.append(
                {"kind": "edge", "problem": problem, "arm": "tuned", "optimizer": optimizer, "count": 1, "text": told}
            )
    seeds = plan.config.seeds.final
    if seeds < LEAST_SEEDS:
        told = counted(
            seeds,
            "{n} final seed is too few for intervals to be trusted; {least} are the least",
            "{n} final seeds are too few for intervals to be trusted; {least} are the least",
            least=LEAST_SEEDS,
        )
        rows.append({"kind": "few seeds", "problem": "", "arm": "", "optimizer": "", "count": seeds, "text": told})
    return fill_table(pd.DataFrame([*rows, *unknown_alarms(plan)]), "alarms")


# In the order in which a reader should know them; of two forms the first is for one run.
UNKNOWN: dict[str, str | tuple[str, str]] = {
    "pairing": message(
        "pairing can't be checked: initial weights and splits of these runs are unknown; runs with the same seed number are "
        "compared as pairs"
    ),
    "tuning": message(
        "how these learning rates were tuned is unknown: one optimizer may have been tuned more than another"
    ),
    "examples": message(
        "the test score of each example is unknown: intervals are over seeds alone, so they hold for these test examples, not "
        "for others"
    ),
    "no test metric": message("no run of {problem} has a test metric ({names}): its final results are not compared"),
    "test is validation": message(
        "the mapping takes {name} for validation and for test: what chose is also what judges"
    ),
    "settings": message(
        "settings other than optimizer, learning rate and seed differ between the compared runs of {problem}: {names}; a "
        "difference may be theirs"
    ),
    "seeds": (
        message(
            "{n} of {total} compared runs has no seed: it is numbered by when it began, and what its pairs share is unknown"
        ),
        message(
            "{n} of {total} compared runs have no seed: they are numbered in the order in which they began, and what their pairs "
            "share is unknown"
        ),
    ),
    "uneven": message(
        "optimizers have different numbers of runs, {least} to {most}: where the page gives one, it is the least"
    ),
    "repeated": (
        message(
            "{n} run repeats another's problem, optimizer, learning rate and seed: the newest that ended is compared"
        ),
        message(
            "{n} runs repeat another's problem, optimizer, learning rate and seed: the newest that ended is compared"
        ),
    ),
    "repeated with": (
        message(
            "{n} run repeats another's problem, optimizer, learning rate and seed, but differs in {names}: the newest that ended "
            "is compared"
        ),
        message(
            "{n} runs repeat another's problem, optimizer, learning rate and seed, but differ in {names}: the newest that ended "
            "is compared"
        ),
    ),
    "usual margin": message(
        "no margin was declared: {margin} is taken, the usual one of an accuracy; smaller differences of {metric} count as "
        "negligible"
    ),
    "median margin": message(
        "no margin was declared: {margin} is taken on {problem}, 1 % of the median; smaller differences of {metric} count as "
        "negligible"
    ),
    "rates": message("the learning rate of {n} of {total} compared runs is unknown"),
    "start": message(
        "no loss before the first update was logged: the targets of time to target are shares of the way from the first loss "
        "that was"
    ),
    "cost": message("what an update costs is unknown: nothing on this page is in seconds"),
    "epochs": message("how many updates an epoch has is unknown: one is counted as the other"),
    "batches": message("batch sizes are unknown: an update is counted as one example"),
    "unattributed": (
        message("{n} run names no optimizer ({names}): it is left out"),
        message("{n} runs name no optimizer ({names}): they are left out"),
    ),
    "empty": (
        message("{n} run logged none of the losses and metrics that are looked for: it is left out"),
        message("{n} runs logged none of the losses and metrics that are looked for: they are left out"),
    ),
    "running": (
        message("{n} run had not ended when the experiment was read: it is left out"),
        message("{n} runs had not ended when the experiment was read: they are left out"),
    ),
    "chosen": message(
        "{optimizer} on {problem}: its learning rate {rate} was chosen among {rates} by the validation metric of the seeds that "
        "are compared, which favours it a little"
    ),
}

# Why the claim on memory is not tested, though its optimizers are there.
NOT_COUNTED = message("how many bytes the optimizers keep was not counted")


def unknown(code: str, count: int, problem: str = "", optimizer: str = "", **values: Any) -> dict[str, Any]:
    """One entry of ``unknown`` of an imported plan.

    Args:
        code: key of UNKNOWN.
        count: runs concerned.
        values: what its sentence is filled with, beside these.
    """
    kind = "same seeds" if code == "chosen" else "unknown"
    return {"kind": kind, "code": code, "problem": problem, "optimizer": optimizer, "count": count, "values": values}


def unknown_alarms(plan: Plan) -> list[dict[str, Any]]:
    """Rows of the table of alarms, one for each thing that an imported plan names; none for a plan of our own."""
    order, unknowns = list(UNKNOWN), plan.unknown if isinstance(plan, ImportedPlan) else ()
    found = sorted(unknowns, key=lambda entry: order.index(entry["code"]))
    return [
        {
            "kind": entry["kind"],
            "problem": entry["problem"],
            "arm": "",
            "optimizer": entry["optimizer"],
            "count": entry["count"],
            "text": _sentence(entry),
        }
        for entry in found
    ]


def _sentence(entry: Mapping[str, Any]) -> str:
    forms, count = UNKNOWN[entry["code"]], entry["count"]
    values = {"problem": entry["problem"], "optimizer": entry["optimizer"], **entry["values"]}
    if isinstance(forms, tuple):
        return counted(count, *forms, **values)
    return words(forms, n=f"{count:,}", **values)
