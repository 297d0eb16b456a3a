"""The choice of a learning rate from tuning runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.records import DECIMALS
from descentlab.experiment.run_spec import RunSpec
from descentlab.optimizers.table import OptimizerEntry


def select_trial(records: list[list[dict[str, Any]]], sign: int) -> int:
    """Index of the trial with the best mean validation metric over its seeds, the lower loss breaking ties.

    A trial with a diverged seed is excluded; if all are, the first is chosen. Means that differ only by rounding are tied.

    Args:
        records: for each trial, its seeds' records.
        sign: sign of the metric, 1 if higher is better and -1 otherwise.

    Example:
        The same three accuracies in another order add up to another last bit; the second has the lower loss:

        >>> seeds = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]
        >>> records = [[{"status": "finished", "val_metric": m, "val_loss": 1.0 - i} for m in s] for i, s in enumerate(seeds)]
        >>> select_trial(records, 1)
        1
    """

    def mean(trial: list[dict[str, Any]], column: str) -> float:
        return round(sum(r[column] for r in trial) / len(trial), DECIMALS)

    ranking = [
        (-sign * mean(trial, "val_metric"), mean(trial, "val_loss"), i)
        for i, trial in enumerate(records)
        if all(r["status"] == "finished" for r in trial)
    ]
    return min(ranking)[2] if ranking else 0


def select_learning_rate(
    entry: OptimizerEntry, problem: str, specs: list[RunSpec], records: list[dict[str, Any]], sign: int
) -> dict[str, Any]:
    """Choose the rate with the best mean validation metric over the tuning seeds (docs/protocol.md, "Selection").

    A rate with a diverged seed is excluded; the mean validation loss breaks ties, also of means that differ only by rounding.
    If every rate diverged, the center of the grid is chosen, and its final runs show what it does.

    Args:
        entry: the optimizer.
        problem: the problem's name.
        specs, records: the tuning runs, every rate with the same seeds.
        sign: sign of the metric, 1 if higher is better and -1 otherwise.

    Returns:
        The optimizer's entry of ``selections.json``.
    """
    rates = [spec.learning_rate for spec in specs]
    grid: list[float | None] = [*sorted({rate for rate in rates if rate is not None})] or [None]
    runs = pd.DataFrame(
        {
            "point": [grid.index(rate) for rate in rates],
            "metric": [r["val_metric"] if r["status"] == "finished" else math.nan for r in records],
            "loss": [r["val_loss"] if r["status"] == "finished" else math.nan for r in records],
        }
    )
    # min_count: one diverged seed excludes its rate.
    seeds = len(runs) // len(grid)
    by_rate = runs.groupby("point", sort=True)[["metric", "loss"]].sum(min_count=seeds) / seeds
    goodness = sign * by_rate["metric"].to_numpy()
    ranked = by_rate.round(DECIMALS)
    order = np.lexsort((ranked["loss"], -sign * ranked["metric"]))  # NaN sorts last
    chosen = len(grid) // 2 if np.isnan(goodness).all() else int(order[0])
    edge = "" if len(grid) == 1 or np.isnan(goodness).all() else {0: "low", len(grid) - 1: "high"}.get(chosen, "")
    plain = by_rate.astype(object).where(by_rate.notna(), None)
    return {
        "problem": problem,
        "optimizer": entry.name,
        "learning_rate": grid[chosen],
        "grid": grid,
        "val_metric": plain["metric"].tolist(),
        "val_loss": plain["loss"].tolist(),
        "edge": edge,
        "neighbors": [grid[i] for i in (chosen - 1, chosen + 1) if 0 <= i < len(grid)],
        "tuning_seeds": sorted({spec.seed for spec in specs}),
    }


MOST_STEPS = 8  # half-decades from the chosen rate, each way


def next_step(goodness: Mapping[float, np.ndarray], chosen: int, margin: float) -> float | None:
    """The step to try next, or None once both ends are reached (or lie 4 decades away) and refined by half a step.

    An end is reached once every seed has diverged there or its score has left the margin of that seed's own best so far. The
    best can only rise, so an end stays reached.

    Args:
        goodness: scores by step (half-decades from the grid's center), higher is better, NaN where a seed diverged; each
            of shape (seeds,). Whole steps are contiguous.
        chosen: the step of the chosen rate.
        margin: the margin, in the score's unit.
    """
    if not goodness:
        return chosen
    tried = np.stack(list(goodness.values()))
    best = np.where(np.isnan(tried), -math.inf, tried).max(axis=0)
    for direction in (-1, 1):
        end = (min if direction < 0 else max)(goodness)
        if abs(end - chosen) >= MOST_STEPS:
            continue
        # If an end is the chosen rate itself, go at least one step.
        if end == chosen or (goodness[end] >= best - margin).any():
            return end + direction
    within = [step for step, scores in goodness.items() if step == int(step) and (scores >= best - margin).any()]
    for direction in (-1, 1) if within else ():
        last = (min if direction < 0 else max)(within)
        if last + direction in goodness and last + direction / 2 not in goodness:
            return last + direction / 2
    return None
