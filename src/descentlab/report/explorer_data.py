"""What the explorer draws, small enough for a page: every mean and every final run's curve, column by column.

A page opened from a file can't request anything, so all data travel inside it: numbers with four significant digits in a
few long columns, which compress well, and, if there are very many, fewer evaluations of each single run. Means are never
thinned.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.comparison import Comparison
from descentlab.analysis.pairing import ROW
from descentlab.analysis.summary import CURVE_MEASURES
from descentlab.experiment.records import HISTORY
from descentlab.storage.tables import empty_table

DIGITS = 4
MOST_VALUES = 400_000  # of single runs: about a megabyte of the page
HTML_LETTERS = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class ExplorerData:
    """The explorer's numbers.

    Attributes:
        columns: four tables, each a dictionary of columns: ``curves`` (one entry per optimizer, arm and problem), ``means``
            (one per curve and evaluation, curve by curve), ``runs`` (one per final run) and ``values`` (one per run and
            evaluation kept, run by run). Names are indices into the given lists; None stands for what is not a number.
        runs: number of final runs that have a curve.
        evaluations: largest number of evaluations of a run.
        evaluations_kept: largest number of evaluations of a run in ``values``.
        seeds: largest number of seeds behind a mean.
    """

    columns: dict[str, dict[str, list[Any]]]
    runs: int
    evaluations: int
    evaluations_kept: int
    seeds: int


def collect_curves(
    comparison: Comparison,
    history: pd.DataFrame | None,
    problems: Sequence[str],
    arms: Sequence[str],
    optimizers: Sequence[str],
    most_values: int = MOST_VALUES,
) -> ExplorerData:
    """The means in ``comparison.curves``, and the final runs' curves in ``history`` if available.

    Args:
        history: evaluations with the columns of ``records.HISTORY``, of all runs or only the final ones.
        problems, arms, optimizers: the names to show, in their order.
        most_values: limit on the numbers of single runs; above it, each run keeps evaluations that are evenly spaced in the
            logarithm of its updates.
    """
    places = {"problem": list(problems), "arm": list(arms), "optimizer": list(optimizers)}
    shown = np.logical_and.reduce([comparison.curves[name].isin(names) for name, names in places.items()])
    means = comparison.curves[shown].copy()
    if means["seconds"].isna().all():
        means["seconds"] = means["train_seconds_mean"]
    means["curve"] = means.groupby(ROW, sort=False).ngroup()
    means["at"] = means.groupby("curve", sort=False).cumcount()
    rows = means.drop_duplicates("curve")[["curve", *ROW]]
    rates = rows.merge(comparison.summary[[*ROW, "learning_rate"]], on=ROW, how="left")["learning_rate"]
    columns: dict[str, dict[str, list[Any]]] = {
        "curves": {
            **{name: [places[name].index(value) for value in rows[name]] for name in ROW},
            "rate": significant(rates),
            "evaluations": means.groupby("curve", sort=False).size().tolist(),
        },
        "means": {
            "updates": whole(means["updates"]),
            "examples": whole(means["examples"]),
            "seconds": significant(means["seconds"]),
            "n": means["n"].tolist(),
        },
    }
    for measure in CURVE_MEASURES:
        columns["means"][measure] = significant(means[f"{measure}_mean"])
        columns["means"][f"{measure}_half"] = significant((means[f"{measure}_high"] - means[f"{measure}_low"]) / 2)
    runs, values = final_curves(comparison.scores, history, means, most_values)
    columns["runs"] = {
        "curve": runs["curve"].tolist(),
        "seed": runs["seed"].tolist(),
        "id": runs["run_id"].tolist(),
        "status": runs["status"].tolist(),
        "evaluations": runs["evaluations"].tolist(),
    }
    columns["values"] = {"at": values["at"].tolist(), **{name: significant(values[name]) for name in CURVE_MEASURES}}
    return ExplorerData(
        columns,
        runs=int((runs["evaluations"] > 0).sum()),
        evaluations=max(columns["curves"]["evaluations"], default=0),
        evaluations_kept=int(runs["evaluations"].max()) if len(runs) else 0,
        seeds=int(means["n"].max()) if len(means) else 0,
    )


def final_curves(
    scores: pd.DataFrame, history: pd.DataFrame | None, means: pd.DataFrame, most_values: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The final runs, and their evaluations thinned to ``most_values`` numbers; both empty without a history.

    Args:
        means: columns ``ROW``, ``updates``, ``curve`` (index of the curve) and ``at`` (index of its evaluation).

    Returns:
        Runs with their ``curve`` and their number of ``evaluations``; evaluations with ``at`` and CURVE_MEASURES, run by run.
    """
    runs = scores.merge(means.drop_duplicates("curve")[["curve", *ROW]], on=ROW).reset_index(names="run")
    if history is None:
        history, runs = empty_table(HISTORY), runs.iloc[:0]
    values = history[["run_id", "updates", *CURVE_MEASURES]].merge(runs[["run_id", "run", "curve"]], on="run_id")
    values = values.merge(means[["curve", "updates", "at"]], on=["curve", "updates"])
    if len(values) * len(CURVE_MEASURES) > most_values:
        most = max(3, most_values // (len(CURVE_MEASURES) * len(runs)))
        thinned = [
            pd.DataFrame({"curve": curve, "at": thin(updates.to_numpy(), most)})
            for curve, updates in means.groupby("curve", sort=False)["updates"]
        ]
        values = values.merge(pd.concat(thinned), on=["curve", "at"])
    counts = values.groupby("run").size().reindex(runs["run"], fill_value=0)
    return runs.assign(evaluations=counts.to_numpy()), values.sort_values(["run", "at"], kind="stable")


def thin(updates: np.ndarray, most: int) -> np.ndarray:
    """Indices of at most ``most`` evaluations: the first, the last, and those between, evenly spaced in log updates.

    Updates that differ by a constant factor give the same indices, so that runs can still be paired.

    Args:
        updates: ascending, shape (n,).
        most: at least 3.

    Returns:
        Ascending indices, shape (k,) with k ≤ ``most``.

    Example:
        >>> thin(np.array([0, 1, 2, 4, 8, 16]), most=4).tolist()  # 0, 1, 4 and 16 updates
        [0, 1, 3, 5]
    """
    if len(updates) <= most:
        return np.arange(len(updates))
    first = int(updates[0] <= 0)  # an evaluation at 0 updates has no logarithm
    logs = np.log(updates[first:] / updates[first])  # of ratios, so that a factor changes no tie
    wanted = np.linspace(0, logs[-1], most - first)
    nearest = np.abs(logs[None, :] - wanted[:, None]).argmin(axis=1) + first
    return np.unique(np.concatenate([[0], nearest]))


def significant(values: pd.Series) -> list[float | None]:
    """``values`` rounded to DIGITS significant digits; None where not finite.

    Example:
        >>> significant(pd.Series([1234.56, np.inf]))
        [1235.0, None]
    """
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()]


def whole(values: pd.Series) -> list[int | None]:
    """``values``, which are counts, as integers; None for NaN."""
    return [None if value != value else round(value) for value in values.tolist()]


def script_json(value: Any) -> str:
    """``value`` as JSON that is safe inside a ``<script>`` element: no character in it can end the element."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(HTML_LETTERS)
