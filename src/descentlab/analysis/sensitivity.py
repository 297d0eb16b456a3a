"""How far off a learning rate may be: the width of the range of good rates and the distance to divergence.

Both are those of the mean curve over seeds, in the robustness sweep, or in the tuning grid without one: a single seed's curve is
cut short by its noise. Their intervals come from resampled seeds (docs/protocol.md, "Robustness").
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from descentlab.analysis.comparison import TABLES, fill_table
from descentlab.analysis.statistics.intervals import average_by
from descentlab.analysis.statistics.resampling import estimate_resampled
from descentlab.experiment.plan import Plan
from descentlab.optimizers.arms import Arm
from descentlab.storage.tables import empty_table

WIDTH_RESOLUTION = 0.25  # decades to which a cliff is known


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
        goodness: mean score, higher is better, same shape; NaN where a run diverged.

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


class RateScores(NamedTuple):
    """The scores that the width of an optimizer's range of good rates is measured on.

    Attributes:
        rates: ascending, shape (rates,).
        goodness: validation scores, higher is better, shape (rates, seeds); NaN where a run diverged.
        seeds: those that have every rate.
        phase: of the runs.
    """

    rates: np.ndarray
    goodness: np.ndarray
    seeds: list[int]
    phase: str

    def mean(self, positions: np.ndarray | None = None) -> np.ndarray:
        """The mean curve over some seeds, shape (rates,); NaN where any of them diverged."""
        return np.asarray((self.goodness if positions is None else self.goodness[:, positions]).mean(axis=1))

    def width(self, margin: float, positions: np.ndarray | None = None) -> float:
        """Decades of the mean curve within the margin of its best; 0 where every rate diverged."""
        return float(np.nan_to_num(width_in_decades(self.rates, self.mean(positions), margin)[0]))

    def on(self, seeds: list[int]) -> RateScores:
        """The scores of some of the seeds."""
        return self._replace(goodness=self.goodness[:, [self.seeds.index(seed) for seed in seeds]], seeds=seeds)


def scores_by_rate(plan: Plan, runs: pd.DataFrame, problem: str, optimizer: str) -> RateScores | None:
    """The scores of the sweep of an optimizer on a problem, of the tuning grid if it wasn't swept; None without either."""
    # A divergence is a result; a run that failed or is missing has none.
    measured = runs[
        (runs["problem"] == problem)
        & (runs["optimizer"] == optimizer)
        & runs["learning_rate"].notna()
        & (runs["arm"] == Arm.TUNED)
        & runs["phase"].isin(("tuning", "sweep"))
        & runs["status"].isin(("finished", "diverged"))
    ]
    phase = "sweep" if (measured["phase"] == "sweep").any() else "tuning"
    measured = measured[measured["phase"] == phase]
    if measured.empty:
        return None
    finite = measured["val_metric"].where(measured["status"] == "finished")
    scores = measured.assign(goodness=plan.problems[problem].sign * finite)
    by_rate = scores.pivot(index="learning_rate", columns="seed", values="goodness").sort_index()
    known = scores.groupby("seed").size()
    seeds = [int(seed) for seed in by_rate.columns if known[seed] == len(by_rate)]
    return RateScores(by_rate.index.to_numpy(), by_rate[seeds].to_numpy(), seeds, phase) if seeds else None


def measure_widths(plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
    """Width of the mean curve and distance to divergence by problem and optimizer, with intervals over resampled seeds."""
    rows = []
    for problem, planned in plan.problems.items():
        for optimizer in plan.optimizers:
            scores = scores_by_rate(plan, runs, problem, optimizer)
            if scores is None:
                continue
            row: dict[str, Any] = {"problem": problem, "optimizer": optimizer, "phase": scores.phase}
            width = estimate_resampled(partial(scores.width, planned.margin), len(scores.seeds), WIDTH_RESOLUTION)
            divergence = estimate_resampled(
                lambda positions, scores=scores: divergence_in_decades(scores.rates, scores.mean(positions))[0],  # type: ignore[misc]
                len(scores.seeds),
                WIDTH_RESOLUTION,
            )
            for name, prefix, estimate in (("width", "", width), ("divergence", "divergence_", divergence)):
                low, high = estimate.interval()
                row |= {name: estimate.mean, f"{prefix}low": low, f"{prefix}high": high}
            rows.append(
                {
                    **row,
                    "n": len(scores.seeds),
                    "censored": width_in_decades(scores.rates, scores.mean(), planned.margin)[1],
                    "divergence_censored": divergence_in_decades(scores.rates, scores.mean())[1],
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
