"""Which externally logged runs are compared: seeds, repeats, incomplete runs, one learning rate per optimizer."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.alarms import unknown
from descentlab.problems.base import metric_sign
from descentlab.tracking.imported.logged import LoggedRunsError
from descentlab.tracking.imported.mapping import AUTOLOGGED, ParamsMapping, RunMapping

SETTING = ["problem", "optimizer", "setting"]  # runs that differ in nothing but their seed
NEEDED = ("test_metric", "val_metric", "val_loss")  # what a run must have where others of the problem do
UNKNOWN_SETTING = "unknown"
MOST_NAMES = 8


def choose_comparable(runs: pd.DataFrame, mapping: RunMapping) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Choose the runs to compare: give each a seed and a phase (``final`` if it is compared).

    Args:
        runs: as :func:`~descentlab.tracking.imported.experiment.tables_of` gives them, in the order in which they began.

    Returns:
        The runs without repeats, with the column ``numbered`` (whether the seed was assigned here); and entries of
        ``ImportedPlan.unknown`` on what a reader should know about the choice.

    Raises:
        LoggedRunsError: an optimizer has several learning rates and no validation metric or loss to choose one by.
    """
    runs, repeated = without_repeats(number_seeds(place_failed(runs)), mapping)
    runs, chosen = choose_rates(mark_incomplete(runs))
    return runs, [*repeated, *chosen, *differing_settings(runs, mapping)]


def place_failed(runs: pd.DataFrame) -> pd.DataFrame:
    """Assign a run that failed before it logged its learning rate to the only one that its optimizer has, if so."""
    settings, rates = runs["setting"].copy(), runs["learning_rate"].copy()
    for _, group in runs.groupby(["problem", "optimizer"], sort=False):
        known = group[group["setting"] != UNKNOWN_SETTING]
        if known["setting"].nunique() == 1:
            early = group.index[(group["setting"] == UNKNOWN_SETTING) & (group["status"] == "failed")]
            settings[early], rates[early] = known["setting"].iloc[0], known["learning_rate"].iloc[0]
    return runs.assign(setting=settings, learning_rate=rates)


def number_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """Number runs without a seed, in the order in which they began, by the lowest seeds free among otherwise equal runs."""
    seeds = runs["seed"].to_dict()
    for _, group in runs.groupby(SETTING, sort=False):
        taken = {seed for seed in group["seed"] if seed is not None}
        free = (number for number in itertools.count() if number not in taken)
        seeds |= {index: next(free) for index, seed in group["seed"].items() if seed is None}
    return runs.assign(numbered=[seed is None for seed in runs["seed"]], seed=pd.Series(seeds, dtype=object))


def without_repeats(runs: pd.DataFrame, mapping: RunMapping) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Keep, of runs with the same problem, optimizer, learning rate and seed, the newest that ended with a result."""
    by = [*SETTING, "seed"]
    ended = runs["status"].isin(("finished", "diverged"))
    order = np.lexsort((np.arange(len(runs)), ended))
    kept = runs.iloc[order].drop_duplicates(by, keep="last").sort_index()
    dropped = len(runs) - len(kept)
    if not dropped:
        return kept, []
    names = {name for _, group in runs.groupby(by, sort=False) for name in differing(group["params"])}
    names -= mapped_names(mapping)
    return kept, [unknown("repeated with" if names else "repeated", dropped, names=listed(names))]


def differing(params: Iterable[Mapping[str, str]]) -> set[str]:
    """Names of the parameters whose values differ among runs."""
    runs = list(params)
    names = {name for run in runs for name in run}
    return {name for name in names if len({run.get(name) for run in runs}) > 1}


def mapped_names(mapping: RunMapping) -> set[str]:
    """The parameters in which compared runs may differ, under the mapping's names and the usual ones."""
    return {
        name
        for params in (mapping.params, ParamsMapping())
        for name in (*params.optimizer, *params.learning_rate, *params.seed, *params.problem)
    }


def listed(names: Collection[str]) -> str:
    """Sorted names, at most MOST_NAMES."""
    ordered = sorted(names)
    return ", ".join(ordered[:MOST_NAMES]) + (", …" if len(ordered) > MOST_NAMES else "")


def mark_incomplete(runs: pd.DataFrame) -> pd.DataFrame:
    """Mark a finished run that lacks a value that others of its problem have as missing, so that its pairs are dropped.

    A value that is logged and not finite is a result, the worst one, and not missing.
    """
    status, message = runs["status"].copy(), runs["message"].copy()
    for _, group in runs[runs["status"].isin(("finished", "diverged"))].groupby("problem", sort=False):
        for column in NEEDED:
            has_value = group["ends"].map(lambda ends, column=column: column in ends)
            absent = group.index[~has_value & (group["status"] == "finished")]
            if has_value.any():
                status[absent] = "missing"
                message[absent] = (
                    f"no {column.replace('_', ' ')} was logged, although other runs of the problem have one"
                )
    return runs.assign(status=status, message=message)


def choose_rates(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Choose one of each optimizer's learning rates per problem; runs at the others become ``neighbor`` runs.

    The rate with the smallest share of unfinished runs wins; among equals the best mean validation metric, then the lowest
    mean validation loss, then the lowest rate. The test metric plays no part.

    Raises:
        LoggedRunsError: there are several rates and neither a validation metric nor a validation loss.
    """
    phase, chosen = runs["phase"].copy(), []
    for (problem, optimizer), group in runs.groupby(["problem", "optimizer"], sort=False):
        rates = group["setting"].nunique()
        if rates == 1:
            continue
        finished = group["status"] == "finished"
        worse = group["val_metric"].where(finished) * -metric_sign(bool(group["higher_is_better"].iloc[0]))
        judged = pd.DataFrame(
            {
                "unfinished": ~finished,
                "worse": worse,
                "loss": group["val_loss"].where(finished),
                "rate": group["learning_rate"],
            }
        )
        if finished.any() and judged[["worse", "loss"]].isna().all(axis=None):
            raise LoggedRunsError(
                f"{optimizer} on {problem}: no run has a validation metric or loss by which to choose one of {rates} learning "
                "rates. In a mapping, name these metrics (metrics: {validation: …, validation_loss: …}) or select the runs of "
                "one learning rate (filter: …)"
            )
        means = judged.groupby(group["setting"]).mean()
        best = str(means.sort_values(["unfinished", "worse", "loss", "rate"], kind="stable").index[0])
        others = group.index[group["setting"] != best]
        phase[others] = "neighbor"
        chosen.append(
            unknown("chosen", len(group) - len(others), str(problem), str(optimizer), rate=best, rates=int(rates))
        )
    return runs.assign(phase=phase), chosen


def differing_settings(runs: pd.DataFrame, mapping: RunMapping) -> list[dict[str, Any]]:
    """Name parameters that differ among the compared runs of a problem; autologged ones of an optimizer, among its runs."""
    entries = []
    # A run that failed may not have logged its settings.
    compared = runs[(runs["phase"] == "final") & (runs["status"] != "failed")]
    for problem, group in compared.groupby("problem", sort=False):
        names = {name for name in differing(group["params"]) if not name.startswith(AUTOLOGGED)}
        names |= {name for _, runs_of_one in group.groupby("optimizer") for name in differing(runs_of_one["params"])}
        if names := names - mapped_names(mapping):
            entries.append(unknown("settings", len(group), str(problem), names=listed(names)))
    return entries
