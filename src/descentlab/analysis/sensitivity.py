"""How far off a learning rate may be: the width of the range of good rates and the distance to divergence.

Both are measured seed by seed, so that they have an interval: in the robustness sweep, or in the tuning grid without one
(docs/protocol.md, "Robustness").
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.comparison import TABLES, fill_table
from descentlab.analysis.statistics.intervals import average_by, t_interval
from descentlab.experiment.plan import Plan
from descentlab.optimizers.arms import Arm
from descentlab.storage.tables import empty_table


def measure_sensitivity(tuning: pd.DataFrame, selections: list[dict[str, Any]]) -> pd.DataFrame:
    """Validation metric of the tuning runs by learning rate."""
    tuning = tuning[tuning["learning_rate"].notna()]
    if tuning.empty:
        return empty_table(TABLES["sensitivity"])
    by = ["problem", "optimizer", "learning_rate"]
    counts = tuning.groupby(by, sort=False).agg(
        n=("status", lambda s: int((s == "finished").sum())),
        n_diverged=("status", lambda s: int((s == "diverged").sum())),
    )
    values = tuning.assign(val_metric=tuning["val_metric"].where(tuning["status"] == "finished"))
    table = average_by(values, by, ["val_metric"]).drop(columns="n").set_index(by).join(counts).reset_index()
    by_row = {(selection["problem"], selection["optimizer"]): selection for selection in selections}
    row_selections = [by_row.get(key) for key in zip(table["problem"], table["optimizer"], strict=True)]
    table["chosen"] = [
        selection is not None and selection["learning_rate"] == rate
        for selection, rate in zip(row_selections, table["learning_rate"], strict=True)
    ]
    table["edge"] = [selection["edge"] if selection else "" for selection in row_selections]
    return fill_table(table, "sensitivity")


def divergence_in_decades(rates: np.ndarray, goodness: np.ndarray) -> tuple[float, bool]:
    """Decades from the best learning rate to the first above it that diverges.

    Args:
        rates: ascending, shape (points,).
        goodness: score of one seed, higher is better, same shape; NaN where it diverged.

    Returns:
        The distance, and whether it is a lower bound (no rate above the best diverged; then it is the distance to the highest).

    Example:
        >>> divergence_in_decades(np.array([0.01, 0.1, 1.0]), np.array([0.9, 0.8, np.nan]))
        (2.0, False)
    """
    x, y = np.log10(np.asarray(rates, dtype=np.float64)), np.asarray(goodness, dtype=np.float64)
    if np.isnan(y).all():
        return float("nan"), False
    best = int(np.nanargmax(y))
    diverged = np.flatnonzero(np.isnan(y[best:]))
    return (float(x[best + diverged[0]] - x[best]), False) if len(diverged) else (float(x[-1] - x[best]), True)


def widths_by_seed(plan: Plan, runs: pd.DataFrame, problem: str, optimizer: str) -> pd.DataFrame:
    """Width of the range of good rates and distance to divergence for each seed.

    Returns:
        Columns ``width`` (decades; 0 where every rate diverged), ``divergence`` (decades; NaN there), ``width_censored``,
        ``divergence_censored`` (an end was not reached, so the value is a lower bound) and ``phase`` (of the runs it was
        measured on), indexed by seed.
    """
    # A divergence is a result; a run that failed or is missing has none.
    measured = runs[
        (runs["problem"] == problem)
        & (runs["optimizer"] == optimizer)
        & runs["learning_rate"].notna()
        & (runs["arm"] == Arm.TUNED)
        & runs["status"].isin(("finished", "diverged"))
    ]
    phase = "sweep" if (measured["phase"] == "sweep").any() else "tuning"
    planned = plan.problems[problem]
    rows = {}
    for seed, group in measured[measured["phase"] == phase].groupby("seed"):
        ascending = group.sort_values("learning_rate")
        rates = ascending["learning_rate"].to_numpy()
        goodness = (planned.sign * ascending["val_metric"]).where(ascending["status"] == "finished").to_numpy()
        width, width_censored = width_in_decades(rates, goodness, planned.margin)
        divergence, divergence_censored = divergence_in_decades(rates, goodness)
        rows[seed] = {
            "width": 0.0 if np.isnan(width) else width,
            "width_censored": width_censored,
            "divergence": divergence,
            "divergence_censored": divergence_censored,
            "phase": phase,
        }
    columns = ["width", "width_censored", "divergence", "divergence_censored", "phase"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def measure_widths(plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
    """Mean width and distance to divergence by problem and optimizer, with intervals over seeds."""
    tuned = runs[runs["phase"].isin(["tuning", "sweep"])]
    rows = []
    for problem in plan.problems:
        for optimizer in plan.optimizers:
            seeds = widths_by_seed(plan, tuned, problem, optimizer)
            if seeds.empty:
                continue
            row: dict[str, Any] = {"problem": problem, "optimizer": optimizer, "phase": seeds["phase"].iloc[0]}
            for name, prefix in (("width", ""), ("divergence", "divergence_")):
                interval = t_interval(seeds[name].to_numpy(dtype=np.float64))
                row |= {name: interval.mean, f"{prefix}low": interval.low, f"{prefix}high": interval.high}
            rows.append(
                {
                    **row,
                    "n": int(seeds["width"].notna().sum()),
                    "censored": bool(seeds["width_censored"].any()),
                    "divergence_censored": bool(seeds["divergence_censored"].any()),
                }
            )
    return fill_table(pd.DataFrame(rows), "widths")


def good_range(rates: np.ndarray, goodness: np.ndarray, margin: float) -> tuple[float, float, bool]:
    """The learning rates around the best whose score lies within ``margin`` of the best score.

    Args:
        rates: ascending, shape (points,).
        goodness: mean score, higher is better, same shape; NaN where a run diverged.
        margin: how far below the best score still counts as good, in its unit.

    Returns:
        Lowest and highest rate, interpolated on a logarithmic scale between grid points (next to a diverged rate the range ends
        at the last good point), NaN where all diverged; and whether an end lies outside the grid.
    """
    x, y = np.log10(np.asarray(rates, dtype=np.float64)), np.asarray(goodness, dtype=np.float64)
    if np.isnan(y).all():
        return float("nan"), float("nan"), False
    best = int(np.nanargmax(y))
    threshold = y[best] - margin
    ends, censored = [], False
    for step in (-1, 1):
        i = best
        while 0 <= i + step < len(y) and y[i + step] >= threshold:
            i += step
        j = i + step
        if not 0 <= j < len(y):
            censored = True
            ends.append(x[i])
        elif np.isnan(y[j]):
            ends.append(x[i])
        else:
            ends.append(x[i] + (x[j] - x[i]) * (y[i] - threshold) / (y[i] - y[j]))
    return float(10 ** ends[0]), float(10 ** ends[1]), censored


def width_in_decades(rates: np.ndarray, goodness: np.ndarray, margin: float) -> tuple[float, bool]:
    """Decades from the lowest to the highest rate of :func:`good_range`, and whether that is a lower bound."""
    low, high, censored = good_range(rates, goodness, margin)
    return float(np.log10(high) - np.log10(low)), censored
