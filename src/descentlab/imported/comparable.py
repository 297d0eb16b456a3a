"""Which of the runs that other code logged are compared: seeds, repeats, runs that lack something, one learning rate each."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.alarms import unknown
from descentlab.imported.logged import LoggedRunsError
from descentlab.imported.mapping import AUTOLOGGED, ParamsMapping, RunMapping

SETTING = ["problem", "optimizer", "setting"]  # runs that differ in nothing but their seed
NEEDED = ("test_metric", "val_metric", "val_loss")  # what a run must have where others of the problem do
UNKNOWN_SETTING = "unknown"
MOST_NAMES = 8


def choose_comparable(runs: pd.DataFrame, mapping: RunMapping) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Each run's seed and phase (``final``: it is compared), and what a reader must know of the choice.

    Args:
        runs: as :func:`~descentlab.imported.experiment.tables_of` gives them, in the order in which they began.

    Returns:
        The runs, repeats left out, with the column ``numbered`` (the run had no seed); entries of ``plan["unknown"]``.

    Raises:
        LoggedRunsError: there are several learning rates and nothing to choose one by.
    """
    runs, repeated = without_repeats(number_seeds(place_failed(runs)), mapping)
    runs, chosen = choose_rates(mark_incomplete(runs))
    return runs, [*repeated, *chosen, *differing_settings(runs, mapping)]


def place_failed(runs: pd.DataFrame) -> pd.DataFrame:
    """A run that failed before it logged its learning rate counts at the one that its optimizer has, where it has one."""
    settings, rates = runs["setting"].copy(), runs["learning_rate"].copy()
    for _, group in runs.groupby(["problem", "optimizer"], sort=False):
        known = group[group["setting"] != UNKNOWN_SETTING]
        if known["setting"].nunique() == 1:
            early = group.index[(group["setting"] == UNKNOWN_SETTING) & (group["status"] == "failed")]
            settings[early], rates[early] = known["setting"].iloc[0], known["learning_rate"].iloc[0]
    return runs.assign(setting=settings, learning_rate=rates)


def number_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs without a seed get the least numbers that are free among those that differ in the seed alone, as they began."""
    seeds = runs["seed"].to_dict()
    for _, group in runs.groupby(SETTING, sort=False):
        taken = {seed for seed in group["seed"] if seed is not None}
        free = (number for number in itertools.count() if number not in taken)
        seeds |= {index: next(free) for index, seed in group["seed"].items() if seed is None}
    return runs.assign(numbered=[seed is None for seed in runs["seed"]], seed=pd.Series(seeds, dtype=object))


def without_repeats(runs: pd.DataFrame, mapping: RunMapping) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Of runs with the same problem, optimizer, learning rate and seed, the newest that ended with a result."""
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
    """Names of parameters that runs don't all have the same value of."""
    runs = list(params)
    names = {name for run in runs for name in run}
    return {name for name in names if len({run.get(name) for run in runs}) > 1}


def mapped_names(mapping: RunMapping) -> set[str]:
    """Parameters in which compared runs may differ, under the mapping's names and the usual ones."""
    return {
        name
        for params in (mapping.params, ParamsMapping())
        for name in (*params.optimizer, *params.learning_rate, *params.seed, *params.problem)
    }


def listed(names: Collection[str]) -> str:
    """Names in order, as many as a sentence bears."""
    ordered = sorted(names)
    return ", ".join(ordered[:MOST_NAMES]) + (", …" if len(ordered) > MOST_NAMES else "")


def mark_incomplete(runs: pd.DataFrame) -> pd.DataFrame:
    """A finished run without a value that others of its problem have is missing: its pairs are dropped, every n is right."""
    status, message = runs["status"].copy(), runs["message"].copy()
    for _, group in runs[runs["status"] == "finished"].groupby("problem", sort=False):
        for column in NEEDED:
            absent = group.index[group[column].isna()]
            if len(absent) < len(group):
                status[absent] = "missing"
                message[absent] = f"no {column.replace('_', ' ')} was logged, which other runs of the problem have"
    return runs.assign(status=status, message=message)


def choose_rates(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Of an optimizer's learning rates on a problem the one to compare; runs at the others become ``neighbour`` runs.

    By the mean validation metric, or loss where there is none (it breaks ties too), never by the test metric. The larger the
    share of a rate's runs that didn't finish, the further behind it comes.

    Raises:
        LoggedRunsError: there are several rates and neither validation metric nor loss.
    """
    phase, chosen = runs["phase"].copy(), []
    for (problem, optimizer), group in runs.groupby(["problem", "optimizer"], sort=False):
        rates = group["setting"].nunique()
        if rates == 1:
            continue
        finished = group["status"] == "finished"
        worse = group["val_metric"].where(finished) * (-1 if group["higher_is_better"].iloc[0] else 1)
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
                f"{optimizer} on {problem}: to choose one of {rates} learning rates, runs must have a validation metric or loss; "
                "none has. A mapping names them (metrics: {validation: …, validation_loss: …}) or takes some of the runs "
                "(filter: …)"
            )
        means = judged.groupby(group["setting"]).mean()
        best = str(means.sort_values(["unfinished", "worse", "loss", "rate"], kind="stable").index[0])
        others = group.index[group["setting"] != best]
        phase[others] = "neighbour"
        chosen.append(
            unknown("chosen", len(group) - len(others), str(problem), str(optimizer), rate=best, rates=int(rates))
        )
    return runs.assign(phase=phase), chosen


def differing_settings(runs: pd.DataFrame, mapping: RunMapping) -> list[dict[str, Any]]:
    """Parameters that differ among the compared runs of a problem; those that autologging calls an optimizer's, within it."""
    entries = []
    # What failed may not have come to log its settings.
    compared = runs[(runs["phase"] == "final") & (runs["status"] != "failed")]
    for problem, group in compared.groupby("problem", sort=False):
        names = {name for name in differing(group["params"]) if not name.startswith(AUTOLOGGED)}
        names |= {name for _, mine in group.groupby("optimizer") for name in differing(mine["params"])}
        if names := names - mapped_names(mapping):
            entries.append(unknown("settings", len(group), str(problem), names=listed(names)))
    return entries
