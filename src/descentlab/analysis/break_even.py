"""Break-even: whether fewer steps make up for costlier ones, in seconds and in bytes (docs/protocol.md, "Break-even").

An optimizer that needs half as many updates to a target as plain SGD saves time as long as its step takes less than twice
as long. The two factors are measured separately: updates in the training runs, paired by seed; the cost of a step serially
and alone, paired by round. Their product is the ratio of the seconds to the target. Seconds saved are paid for in bytes of
optimizer state, which are counted.

The cost of a step is timed with the tuned arm's hyperparameters and holds for every arm: arms differ only in constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.intervals import Interval, critical_value, ratio_interval, t_interval
from descentlab.analysis.statistics.survival import Ratio, restricted_ratio
from descentlab.experiment.plan import Plan
from descentlab.experiment.plan_parts import PlannedProblem
from descentlab.optimizers.roles import PLAIN
from descentlab.storage.tables import Column, check_table, empty_table

# How a bound on the ratio of updates bounds a quantity that falls as that ratio grows.
OPPOSITE = {"": "", "at most": "at least", "at least": "at most", "unknown": "unknown"}

BREAK_EVEN_COLUMNS: dict[str, Column] = {
    "problem": Column("str", "", "", "problem"),
    "arm": Column("str", "", "", "arm"),
    "target": Column("str", "", "", "easy, medium or hard"),
    "optimizer": Column("str", "", "", "optimizer, compared with plain sgd"),
    "n_seeds": Column("int64", "runs", "", "pairs of final runs behind the ratio of updates"),
    "n_reached": Column("int64", "runs", "", "of them reached the target"),
    "n_reached_sgd": Column("int64", "runs", "", "of plain sgd's runs reached it"),
    "n_rounds": Column("int64", "rounds", "", "rounds behind the ratio of step costs"),
    "updates_ratio": Column(
        "float64", "ratio", "lower", "geometric mean of paired updates within the budget over sgd's"
    ),
    "updates_low": Column("float64", "ratio", "lower", "95 % t interval over seeds"),
    "updates_high": Column("float64", "ratio", "lower", "likewise"),
    "bound": Column(
        "str",
        "",
        "",
        "what the ratios of updates and seconds are of the true ones: empty (equal), at most, at least, unknown",
    ),
    "step_ratio": Column("float64", "ratio", "lower", "geometric mean over rounds of a step's time over sgd's"),
    "step_low": Column("float64", "ratio", "lower", "95 % t interval over rounds"),
    "step_high": Column("float64", "ratio", "lower", "likewise"),
    "seconds_ratio": Column("float64", "ratio", "lower", "product of the two: time to the target over sgd's"),
    "seconds_low": Column("float64", "ratio", "lower", "95 % interval over seeds and rounds (product_of_ratios)"),
    "seconds_high": Column("float64", "ratio", "lower", "likewise"),
    "break_even": Column(
        "float64", "ratio", "higher", "step ratio at which no time is saved or lost; bounded the other way"
    ),
    "break_even_low": Column("float64", "ratio", "higher", "95 % t interval over seeds"),
    "break_even_high": Column("float64", "ratio", "higher", "likewise"),
    "seconds_sgd": Column(
        "float64", "seconds", "lower", "sgd's mean updates within the budget times the mean cost of a step"
    ),
    "seconds": Column("float64", "seconds", "lower", "likewise for the optimizer"),
    "seconds_saved": Column("float64", "seconds", "higher", "the first minus the second; bounded the other way"),
    "saved_low": Column("float64", "seconds", "higher", "95 % interval over seeds and rounds (saved_seconds)"),
    "saved_high": Column("float64", "seconds", "higher", "likewise"),
    "extra_state_bytes": Column(
        "float64", "bytes", "lower", "optimizer variables beyond sgd's, counted, on this model"
    ),
}


def problem_step_cost(plan: Plan, step_cost: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of the step-cost table that belong to each problem; problems that were not timed are absent.

    Rows with another batch size (full batch: other training examples) or of another model are of an earlier plan.

    Args:
        plan: the experiment's plan.
        step_cost: a table of STEP_COST_COLUMNS.
    """
    rows_by_problem = {}
    full_batch = [name for name, planned in plan.optimizers.items() if planned.full_batch]
    for problem, planned in plan.problems.items():
        if not isinstance(planned, PlannedProblem):
            continue  # nothing is measured for an imported experiment
        sizes = np.where(step_cost["optimizer"].isin(full_batch), planned.train_examples, planned.batch_size)
        own = (step_cost["model"] == problem) & (step_cost["parameters"] == planned.parameters)
        rows = step_cost[own & (step_cost["batch_size"] == sizes)]
        if len(rows):
            rows_by_problem[problem] = rows
    return rows_by_problem


def step_microseconds_by_row(plan: Plan, step_cost: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Microseconds per step by (problem, optimizer): the median over rounds; absent where it was not timed.

    Args:
        plan: the experiment's plan.
        step_cost: a table of STEP_COST_COLUMNS.
    """
    return {
        (problem, str(optimizer)): float(median)
        for problem, rows in problem_step_cost(plan, step_cost).items()
        for optimizer, median in rows.groupby("optimizer", sort=False)["step_microseconds"].median().items()
    }


def measure_break_even(plan: Plan, reached: pd.DataFrame, step_cost: pd.DataFrame) -> pd.DataFrame:
    """Updates times step cost of every optimizer against plain SGD, by problem, arm and target.

    Full batch, whose budget is another number of updates, is left out, as in
    :func:`~descentlab.analysis.time_to_target.measure_speed`.

    Args:
        plan: the experiment's plan.
        reached: result of :func:`~descentlab.analysis.time_to_target.measure_reached`.
        step_cost: a table of STEP_COST_COLUMNS; may be empty.

    Returns:
        A table of BREAK_EVEN_COLUMNS, one row per (problem, arm, target, optimizer) that has both factors.
    """
    costs = problem_step_cost(plan, step_cost) if len(step_cost) else {}
    rows: list[dict[str, Any]] = []
    for (problem, arm, target), timed in reached.groupby(["problem", "arm", "target"], sort=False):
        if problem not in costs:
            continue
        microseconds = costs[problem].pivot(index="round", columns="optimizer", values="step_microseconds")
        by_optimizer = costs[problem].drop_duplicates("optimizer").set_index("optimizer")
        state = by_optimizer["state_bytes_per_parameter"] * by_optimizer["parameters"]
        sgd = timed[timed["optimizer"] == PLAIN].set_index("seed")
        for optimizer, group in timed.groupby("optimizer", sort=False):
            own = group.set_index("seed")
            # The runs of a pair share their initial weights: both may be at the target before any update, and have no ratio.
            seeds = own.index[own["updates"] > 0].intersection(sgd.index[sgd["updates"] > 0])
            if optimizer == PLAIN or not {optimizer, PLAIN} <= set(microseconds) or seeds.empty:
                continue
            if own["budget_updates"].max() != sgd["budget_updates"].max():
                continue
            rows.append(
                {
                    "problem": problem,
                    "arm": arm,
                    "target": target,
                    "optimizer": optimizer,
                    **_row(own.loc[seeds], sgd.loc[seeds], microseconds[[optimizer, PLAIN]]),
                    "extra_state_bytes": float(state[optimizer] - state[PLAIN]),
                }
            )
    return (
        check_table(pd.DataFrame(rows), BREAK_EVEN_COLUMNS, "break-even") if rows else empty_table(BREAK_EVEN_COLUMNS)
    )


def _row(own: pd.DataFrame, sgd: pd.DataFrame, microseconds: pd.DataFrame) -> dict[str, Any]:
    """The part of a row computed from pairs of runs and from rounds.

    Args:
        own, sgd: paired runs of the optimizer and of plain SGD.
        microseconds: step costs by round, the optimizer's column first.
    """
    timed = microseconds[(microseconds > 0).all(axis=1)].to_numpy().T  # clock noise can push a time below 0
    updates: Ratio = restricted_ratio(
        own["updates"].to_numpy(), own["reached"].to_numpy(), sgd["updates"].to_numpy(), sgd["reached"].to_numpy()
    )
    step = ratio_interval(*timed)
    seconds = product_of_ratios(updates.ratio, step)
    saved = saved_seconds(sgd["updates"].to_numpy(), own["updates"].to_numpy(), timed[1] * 1e-6, timed[0] * 1e-6)
    if np.isnan(updates.ratio.low):  # so few evaluations, or none that reached, give seconds no interval either
        saved = replace(saved, mean=saved.mean if updates.ratio.mean > 0 else np.nan, low=np.nan, high=np.nan)
    means = [
        float(side["updates"].mean() * cost.mean() * 1e-6) if step.n else np.nan
        for side, cost in zip((sgd, own), timed[::-1], strict=True)
    ]
    ratio = updates.ratio
    return {
        "n_seeds": ratio.n,
        "n_reached": int(own["reached"].sum()),
        "n_reached_sgd": int(sgd["reached"].sum()),
        "n_rounds": step.n,
        "updates_ratio": ratio.mean,
        "updates_low": ratio.low,
        "updates_high": ratio.high,
        "bound": updates.bound,
        "step_ratio": step.mean,
        "step_low": step.low,
        "step_high": step.high,
        "seconds_ratio": seconds.mean,
        "seconds_low": seconds.low,
        "seconds_high": seconds.high,
        "break_even": 1 / ratio.mean,
        "break_even_low": 1 / ratio.high,
        "break_even_high": 1 / ratio.low,
        "seconds_sgd": means[0],
        "seconds": means[1],
        "seconds_saved": saved.mean,
        "saved_low": saved.low,
        "saved_high": saved.high,
    }


def product_of_ratios(first: Interval, second: Interval) -> Interval:
    """The product of two independent ratios with its 95 % interval.

    On logarithms the product is a sum of two means, so its variance is the sum of theirs, with Welch & Satterthwaite's
    degrees of freedom ν = (v₁ + v₂)² / (v₁²/(n₁ − 1) + v₂²/(n₂ − 1)) (Satterthwaite 1946; Welch 1947).

    Args:
        first, second: 95 % intervals of :func:`~descentlab.analysis.statistics.intervals.ratio_interval`, from which
            their standard errors are recovered.

    Returns:
        ``n`` is the smaller of the two; the ends are NaN where either has none.
    """
    variances = [_variance(float(np.log(ratio.high / ratio.low)), ratio.n) for ratio in (first, second)]
    center, n = float(np.log(first.mean) + np.log(second.mean)), min(first.n, second.n)
    half = _satterthwaite_half(variances, [first.n, second.n])
    return Interval(float(np.exp(center)), float(np.exp(center - half)), float(np.exp(center + half)), n)


def _variance(width: float, n: int) -> float:
    """Variance of a mean of ``n``, from the width of its 95 % t interval; NaN where n < 2."""
    return float((width / 2 / critical_value(n - 1)) ** 2) if n > 1 else np.nan


def _satterthwaite_half(variances: list[float], counts: list[int]) -> float:
    """Half the width of a 95 % interval of a sum of independent means, from the variances of the means."""
    total = sum(variances)
    if np.isnan(total) or total == 0:
        return total
    freedom = total**2 / sum(v**2 / (n - 1) for v, n in zip(variances, counts, strict=True))
    return float(critical_value(freedom) * np.sqrt(total))


def saved_seconds(
    updates_sgd: np.ndarray, updates: np.ndarray, seconds_sgd: np.ndarray, seconds: np.ndarray
) -> Interval:
    """Seconds by which a run to the target beats plain SGD's, with a 95 % interval over seeds and rounds.

    ``mean(updates_sgd) mean(seconds_sgd) − mean(updates) mean(seconds)`` varies, to first order, as the paired differences
    over seeds at mean costs plus the paired differences over rounds at mean updates; the two are independent
    (Satterthwaite's degrees of freedom, as :func:`product_of_ratios`).

    Args:
        updates_sgd, updates: updates to the target of paired runs, misses at the budget, shape (seeds,).
        seconds_sgd, seconds: seconds per step, shape (rounds,).
    """
    if len(seconds) == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    over_seeds = t_interval(updates_sgd * seconds_sgd.mean() - updates * seconds.mean())
    over_rounds = t_interval(updates_sgd.mean() * seconds_sgd - updates.mean() * seconds)
    parts = [over_seeds, over_rounds]
    variances = [_variance(part.high - part.low, part.n) for part in parts]
    half = _satterthwaite_half(variances, [part.n for part in parts])
    return Interval(over_seeds.mean, over_seeds.mean - half, over_seeds.mean + half, min(part.n for part in parts))


def judge(row: Mapping[str, Any]) -> str:
    """Whether a row of BREAK_EVEN_COLUMNS is ``won``, ``lost`` or ``undecided``; a bound decides only its own side."""
    if row["seconds_high"] < 1 and row["bound"] in ("", "at most"):
        return "won"
    if row["seconds_low"] > 1 and row["bound"] in ("", "at least"):
        return "lost"
    return "undecided"
