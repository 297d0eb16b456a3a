"""How much the number of learning rates tried matters: the expected best of ``k`` points of the tuning grid.

Dodge et al. 2019, "Show your work". Computed from the stored tuning runs; nothing is trained.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.intervals import t_interval
from descentlab.experiment.plan import Plan
from descentlab.experiment.records import rate_in_table
from descentlab.optimizers.arms import Arm
from descentlab.storage.tables import Column, check_table, empty_table

BEST_OF_K_COLUMNS: dict[str, Column] = {
    "problem": Column("str", "", "", "problem"),
    "optimizer": Column("str", "", "", "optimizer"),
    "k": Column("int64", "rates", "", "grid points tried, drawn without replacement"),
    "val_metric": Column("float64", "metric", "problem", "expected mean validation metric of the best of them"),
    "low": Column("float64", "metric", "problem", "95 % t interval over tuning seeds"),
    "high": Column("float64", "metric", "problem", "likewise"),
    "n_points": Column("int64", "rates", "", "points of the grid"),
    "n_out": Column(
        "int64", "rates", "", "of them with a seed that didn't finish: each counts as the problem's worst point"
    ),
    "n_seeds": Column("int64", "runs", "", "tuning seeds"),
}


def measure_best_of_k(plan: Plan, runs: pd.DataFrame, selections: list[dict[str, Any]]) -> pd.DataFrame:
    """The expected validation metric after ``k`` points of the tuning grid (columns BEST_OF_K_COLUMNS).

    The best of the ``k`` is chosen by its mean over the tuning seeds. A point with a seed that didn't finish counts as
    the worst mean that any optimizer's complete point has on the problem: so an optimizer that diverges on half of its
    grid pays a finite price for it at small ``k``. A tuning run has no test metric, so there is no expected test metric.
    The interval is over seeds, each with the same weights of the grid points.

    Args:
        plan: the experiment's plan.
        runs: all runs.
        selections: hold the grids; a grid point without runs counts as unfinished.
    """
    grids = {
        (selection["problem"], selection["optimizer"]): [rate_in_table(rate) for rate in selection["grid"]]
        for selection in selections
    }
    rows: list[dict[str, Any]] = []
    tuning = runs[(runs["phase"] == "tuning") & (runs["arm"] == Arm.TUNED)]
    tuning = tuning.assign(val_metric=tuning["val_metric"].where(tuning["status"] == "finished"))
    for problem, planned in plan.problems.items():
        problem_runs = tuning[tuning["problem"] == problem]
        tables = {}
        for name in plan.optimizers:
            optimizer_runs = problem_runs[problem_runs["optimizer"] == name]
            by_point = optimizer_runs.pivot(index="learning_rate", columns="seed", values="val_metric")
            if len(by_point):
                tables[name] = by_point.reindex(grids.get((problem, name), by_point.index))
        means = pd.concat([by_point.mean(axis=1, skipna=False) for by_point in tables.values()]) if tables else None
        if means is None or means.isna().all():
            continue
        worst = planned.sign * float((planned.sign * means).min())
        for name, by_point in tables.items():
            unfinished = by_point.isna().any(axis=1)
            values = by_point.mask(unfinished, worst, axis=0).to_numpy()
            ascending = values[np.argsort(planned.sign * values.mean(axis=1), kind="stable")]
            for k in range(1, len(ascending) + 1):
                interval = t_interval(best_of_k_weights(len(ascending), k) @ ascending)
                rows.append(
                    {
                        "problem": problem,
                        "optimizer": name,
                        "k": k,
                        "val_metric": interval.mean,
                        "low": interval.low,
                        "high": interval.high,
                        "n_points": len(ascending),
                        "n_out": int(unfinished.sum()),
                        "n_seeds": ascending.shape[1],
                    }
                )
    return check_table(pd.DataFrame(rows), BEST_OF_K_COLUMNS, "best of k") if rows else empty_table(BEST_OF_K_COLUMNS)


def best_of_k_weights(points: int, k: int) -> np.ndarray:
    """Probability that each of ``points``, worst first, is the best of ``k`` drawn without replacement.

    Point ``i`` (from 1) is the best where the ``k − 1`` others are among the ``i − 1`` below: C(i−1, k−1) / C(points, k).

    Example:
        >>> best_of_k_weights(points=3, k=2).tolist()  # the best of two is never the worst; it is the top point in 2 of 3 draws
        [0.0, 0.3333, 0.6667]
    """
    return np.array([comb(i, k - 1) / comb(points, k) for i in range(points)])
