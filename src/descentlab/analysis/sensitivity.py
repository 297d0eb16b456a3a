"""How far a learning rate may be off: widths of the range of good rates and distance to divergence.

Seed by seed, so that both have an interval: from the robustness sweep, or from the tuning grid where nothing was swept
(docs/protocol.md, "Robustness").
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.intervals import average_by, t_interval
from descentlab.analysis.tables import TABLES, fill_table
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
    chosen = {(s["problem"], s["optimizer"]): s for s in selections}
    made = [chosen.get(key) for key in zip(table["problem"], table["optimizer"], strict=True)]
    table["chosen"] = [
        s is not None and s["learning_rate"] == rate for s, rate in zip(made, table["learning_rate"], strict=True)
    ]
    table["edge"] = [s["edge"] if s else "" for s in made]
    return fill_table(table, "sensitivity")


def divergence_in_decades(rates: np.ndarray, goodness: np.ndarray) -> tuple[float, bool]:
    """Decades from the best learning rate to the first above it that diverges.

    Args:
        rates: ascending, shape (points,).
        goodness: score of one seed, higher is better, same shape; NaN where it diverged.

    Returns:
        The distance, and whether no rate above the best diverged (then the distance to the highest: a lower bound).
    """
    x, y = np.log10(np.asarray(rates, dtype=np.float64)), np.asarray(goodness, dtype=np.float64)
    if np.isnan(y).all():
        return float("nan"), False
    best = int(np.nanargmax(y))
    gone = np.flatnonzero(np.isnan(y[best:]))
    return (float(x[best + gone[0]] - x[best]), False) if len(gone) else (float(x[-1] - x[best]), True)


def widths_by_seed(plan: Plan, runs: pd.DataFrame, problem: str, optimizer: str) -> pd.DataFrame:
    """Width of the range of good rates and distance to divergence in each seed.

    Returns:
        Columns ``width`` (0 where every rate diverged), ``divergence`` (decades; NaN there), ``width_censored``,
        ``divergence_censored`` (an end was not reached, so the value is a lower bound) and ``phase`` (what it was measured
        in), indexed by seed.
    """
    mine = runs[(runs["problem"] == problem) & (runs["optimizer"] == optimizer) & runs["learning_rate"].notna()]
    # What failed or is missing was not measured; a divergence is a result.
    mine = mine[(mine["arm"] == Arm.TUNED) & mine["status"].isin(("finished", "diverged"))]
    phase = "sweep" if (mine["phase"] == "sweep").any() else "tuning"
    planned = plan.problems[problem]
    rows = {}
    for seed, group in mine[mine["phase"] == phase].groupby("seed"):
        ascending = group.sort_values("learning_rate")
        rates = ascending["learning_rate"].to_numpy()
        goodness = (planned.sign * ascending["val_metric"]).where(ascending["status"] == "finished").to_numpy()
        width, width_cut = width_in_decades(rates, goodness, planned.margin)
        distance, distance_cut = divergence_in_decades(rates, goodness)
        rows[seed] = {
            "width": 0.0 if np.isnan(width) else width,
            "width_censored": width_cut,
            "divergence": distance,
            "divergence_censored": distance_cut,
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
                found = t_interval(seeds[name].to_numpy(dtype=np.float64))
                row |= {name: found.mean, f"{prefix}low": found.low, f"{prefix}high": found.high}
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

    Returns:
        Lowest and highest rate, interpolated on a logarithmic scale between grid points (a diverged neighbour ends the range
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
