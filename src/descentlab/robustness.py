"""How far a learning rate may be off: widths of the range of good rates and distance to divergence (protocol, section 2).

Seed by seed, so that both have an interval: from the robustness sweep, or from the tuning grid where nothing was swept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from descentlab.comparison_tables import fill_table
from descentlab.stats import t_interval, width_in_decades


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


def widths_by_seed(plan: dict[str, Any], runs: pd.DataFrame, problem: str, optimizer: str) -> pd.DataFrame:
    """Width of the range of good rates and distance to divergence in each seed.

    Returns:
        Columns ``width`` (0 where every rate diverged), ``divergence`` (decades; NaN there), ``width_censored``,
        ``divergence_censored`` (an end was not reached, so the value is a lower bound) and ``phase`` (what it was measured
        in), indexed by seed.
    """
    mine = runs[(runs["problem"] == problem) & (runs["optimizer"] == optimizer) & runs["learning_rate"].notna()]
    # What failed or is missing was not measured; a divergence is a result.
    mine = mine[(mine["arm"] == "tuned") & mine["status"].isin(("finished", "diverged"))]
    phase = "sweep" if (mine["phase"] == "sweep").any() else "tuning"
    about = plan["problems"][problem]
    sign = 1 if about["higher_is_better"] else -1
    rows = {}
    for seed, group in mine[mine["phase"] == phase].groupby("seed"):
        ascending = group.sort_values("learning_rate")
        rates = ascending["learning_rate"].to_numpy()
        goodness = (sign * ascending["val_metric"]).where(ascending["status"] == "finished").to_numpy()
        width, width_cut = width_in_decades(rates, goodness, about["margin"])
        distance, distance_cut = divergence_in_decades(rates, goodness)
        rows[seed] = {"width": 0.0 if np.isnan(width) else width, "width_censored": width_cut, "divergence": distance,
                      "divergence_censored": distance_cut, "phase": phase}  # fmt: skip
    columns = ["width", "width_censored", "divergence", "divergence_censored", "phase"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def measure_widths(plan: dict[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    """Mean width and distance to divergence by problem and optimizer, with intervals over seeds."""
    tuned = runs[runs["phase"].isin(["tuning", "sweep"])]
    rows = []
    for problem in plan["problems"]:
        for optimizer in plan["optimizers"]:
            seeds = widths_by_seed(plan, tuned, problem, optimizer)
            if seeds.empty:
                continue
            row: dict[str, Any] = {"problem": problem, "optimizer": optimizer, "phase": seeds["phase"].iloc[0]}
            for name, prefix in (("width", ""), ("divergence", "divergence_")):
                found = t_interval(seeds[name].to_numpy(dtype=np.float64))
                row |= {name: found.mean, f"{prefix}low": found.low, f"{prefix}high": found.high}
            rows.append({**row, "n": int(seeds["width"].notna().sum()), "censored": bool(seeds["width_censored"].any()),
                         "divergence_censored": bool(seeds["divergence_censored"].any())})  # fmt: skip
    return fill_table(pd.DataFrame(rows), "widths")
