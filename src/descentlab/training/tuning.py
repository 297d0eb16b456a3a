"""The choice of a learning rate from tuning runs."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from descentlab.experiment.plateau import middle, plateau
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


def mean_scores(specs: list[RunSpec], records: list[dict[str, Any]]) -> pd.DataFrame:
    """Means over the tuning seeds by learning rate.

    Args:
        specs, records: the tuning runs, every rate with the same seeds.

    Returns:
        Columns ``learning_rate`` (ascending; None without one), ``metric`` and ``loss`` of the validation split; NaN where a
        seed diverged or failed.
    """
    rates = [spec.learning_rate for spec in specs]
    grid: list[float | None] = [*sorted({rate for rate in rates if rate is not None})] or [None]
    finished = [record["status"] == "finished" for record in records]
    runs = pd.DataFrame(
        {
            "point": [grid.index(rate) for rate in rates],
            "metric": [r["val_metric"] if ends else math.nan for r, ends in zip(records, finished, strict=True)],
            "loss": [r["val_loss"] if ends else math.nan for r, ends in zip(records, finished, strict=True)],
        }
    )
    # min_count: one diverged seed excludes its rate.
    seeds = len(runs) // len(grid)
    means = runs.groupby("point", sort=True)[["metric", "loss"]].sum(min_count=seeds) / seeds
    return means.assign(learning_rate=pd.Series(grid, dtype=object)).reset_index(drop=True)


def rates_beyond(
    entry: OptimizerEntry,
    specs: list[RunSpec],
    records: list[dict[str, Any]],
    sign: int,
    margin: float,
    most_points: int,
) -> list[float]:
    """The rates by which the grid grows: the next one on each side that the plateau touches, or below if everything diverged.

    Args:
        entry: the optimizer.
        specs, records: the tuning runs so far, every rate with the same seeds.
        sign: sign of the metric, 1 if higher is better and -1 otherwise.
        margin: the problem's, in the metric's unit.
        most_points: of the grid.

    Returns:
        At most two rates; none once the plateau lies inside the grid, or where a run failed.
    """
    if entry.center_learning_rate is None or any(record["status"] == "failed" for record in records):
        return []
    means = mean_scores(specs, records)
    rates = means["learning_rate"].tolist()
    ends = plateau(sign * means["metric"].to_numpy(), means["loss"].to_numpy(), margin)
    low, high = (True, False) if ends is None else (ends[0] == 0, ends[1] == len(rates) - 1)
    steps = [entry.step_of(rates[0]) - 1] * low + [entry.step_of(rates[-1]) + 1] * high
    return [entry.rate_at(step) for step in steps[: max(0, most_points - len(rates))]]


def select_learning_rate(
    entry: OptimizerEntry, problem: str, specs: list[RunSpec], records: list[dict[str, Any]], sign: int, margin: float
) -> dict[str, Any]:
    """Choose the middle of the rates that are within the margin of the best (docs/protocol.md, "Selection").

    Of two in the middle the lower. A rate with a diverged seed is excluded; the mean validation loss breaks ties for the best,
    also of means that differ only by rounding. If every rate diverged, the center of the grid is chosen, and its final runs
    show what it does.

    Args:
        entry: the optimizer.
        problem: the problem's name.
        specs, records: the tuning runs, every rate with the same seeds.
        sign: sign of the metric, 1 if higher is better and -1 otherwise.
        margin: the problem's, in the metric's unit.

    Returns:
        The optimizer's entry of ``selections.json``.
    """
    means = mean_scores(specs, records)
    grid = means["learning_rate"].tolist()
    ends = plateau(sign * means["metric"].to_numpy(), means["loss"].to_numpy(), margin)
    first, last = ends or (len(grid) // 2, len(grid) // 2)
    chosen = middle((first, last))
    edges = [name for name, touched in (("low", first == 0), ("high", last == len(grid) - 1)) if touched]
    neighbors = [i for i in (chosen - 1, chosen + 1) if 0 <= i < len(grid)]
    unfinished = means["metric"].isna()
    plain = means[["metric", "loss"]].astype(object).where(~unfinished, None)
    return {
        "problem": problem,
        "optimizer": entry.name,
        "learning_rate": grid[chosen],
        "grid": grid,
        "val_metric": plain["metric"].tolist(),
        "val_loss": plain["loss"].tolist(),
        "plateau": [grid[first], grid[last]],
        "edge": " and ".join(edges) if len(grid) > 1 and ends else "",
        "cliff": [grid[i] for i in neighbors if unfinished[i]] if ends else [],
        "neighbors": [grid[i] for i in neighbors],
        "tuning_seeds": sorted({spec.seed for spec in specs}),
    }
