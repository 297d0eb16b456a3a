"""Time to target: updates until the validation loss has covered a share of the way to the reference's best."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.comparison import fill_table
from descentlab.analysis.statistics.intervals import reached_after
from descentlab.analysis.statistics.resampling import leave_one_out
from descentlab.analysis.statistics.survival import (
    performance_profile,
    profile_areas,
    restricted_mean,
    restricted_ratio,
    share_interval,
)
from descentlab.experiment.plan import Plan
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.roles import PLAIN

# Shares of the way from the initial validation loss to the reference's lowest.
TARGETS = {"easy": 0.6, "medium": 0.85, "hard": 0.97}
SPEED_ARM = "tuned_for_speed"
PROFILE_INTEGRAL_TO = 4.0  # times the fastest, as in Dahl et al. 2023
PROFILE_RATIOS = np.round(2.0 ** np.arange(0, 4.25, 0.25), 4)


def find_targets(plan: Plan, runs: pd.DataFrame, history: pd.DataFrame) -> dict[str, float]:
    """The validation losses that count as reached on one problem (docs/protocol.md, "Time to target").

    The way goes from the median of the reference's first losses (those of the initial weights, where evaluated) to the median of
    its lowest: of its tuning runs at the rate that was chosen, so that no run that is timed has set its own target. Where
    nothing was tuned, of its final runs. Empty without a finished run of the reference.

    Args:
        plan: the experiment's plan.
        runs: the problem's.
        history: their evaluations.
    """
    finished = runs[(runs["optimizer"] == plan.reference) & (runs["status"] == "finished")]
    finals = finished[finished["phase"] == "final"]
    tuned = finals[finals["arm"] == Arm.TUNED]
    tuning = finished[(finished["phase"] == "tuning") & (finished["arm"] == Arm.TUNED)]
    in_main_arm = finals[finals["arm"] == plan.main_arm]
    candidates = (tuning[tuning["learning_rate"].isin(tuned["learning_rate"])], in_main_arm, finals)
    reference_runs = next((found for found in candidates if len(found)), finals)
    curves = history[history["run_id"].isin(reference_runs["run_id"]) & history["val_loss"].notna()]
    if curves.empty:
        return {}
    first = curves.sort_values("updates", kind="stable").drop_duplicates("run_id")
    start = first["val_loss"].median()
    lowest = curves.groupby("run_id")["val_loss"].min().median()
    return {name: float(start - share * (start - lowest)) for name, share in TARGETS.items()}


def targets_by_problem(plan: Plan, runs: pd.DataFrame, history: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The targets of every problem, of all runs and their evaluations."""
    by_problem = runs.groupby("problem", sort=False)
    return {str(name): find_targets(plan, group, history) for name, group in by_problem}


def loss_curves(history: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Updates and validation loss of each run's evaluations, two arrays of shape (evaluations,), by run id."""
    return {
        str(run): (group["updates"].to_numpy(), group["val_loss"].to_numpy())
        for run, group in history.groupby("run_id", sort=False)
    }


def updates_until(run: Mapping[str, Any], curves: Mapping[str, tuple[np.ndarray, np.ndarray]], target: float) -> float:
    """Updates until a run first reached the target; inf where it missed or didn't finish."""
    return reached_after(*curves[run["run_id"]], target) if run["status"] == "finished" else np.inf


def time_tuning_runs(
    runs: pd.DataFrame, history: pd.DataFrame, targets: Mapping[str, Mapping[str, float]]
) -> pd.DataFrame:
    """How soon the tuning runs at each learning rate reached the medium target.

    Args:
        runs: all runs.
        history: evaluations of all runs.
        targets: of each problem.

    Returns:
        By ``problem``, ``optimizer`` and ``learning_rate``: ``updates``, their mean, where a miss or a divergence counts as
        the budget; whether it is the ``chosen`` rate; and whether the final seeds were ``trained`` at it.
    """
    searched = runs[(runs["arm"] == Arm.TUNED) & runs["learning_rate"].notna()]
    row = ["problem", "optimizer", "learning_rate"]
    chosen = set(searched.loc[searched["phase"] == "final", row].itertuples(index=False, name=None))
    trained = chosen | set(searched.loc[searched["phase"] == "neighbor", row].itertuples(index=False, name=None))
    tuning = searched[searched["phase"] == "tuning"]
    curves = loss_curves(history[history["run_id"].isin(tuning["run_id"])])
    rows = []
    for place, trials in tuning.groupby(row, sort=False):
        target = targets[place[0]].get("medium")
        if target is not None:
            times = [
                min(updates_until(run, curves, target), run["updates_planned"])
                for run in trials[["run_id", "status", "updates_planned"]].to_dict("records")
            ]
            rows.append((*place, float(np.mean(times)), place in chosen, place in trained))
    kinds = {"learning_rate": float, "updates": float, "chosen": bool, "trained": bool}
    return pd.DataFrame(rows, columns=[*row, "updates", "chosen", "trained"]).astype(kinds)


def choose_for_speed(runs: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """The final seeds' runs at the rate that reaches the medium target soonest, with SPEED_ARM as their arm.

    The tuned arm's rate is the best at the end, not the fastest. Here each optimizer gets, of that rate and its neighbors
    on the grid, the one whose tuning runs take the fewest updates on average, or the tuned arm's rate if they tie. The test
    split plays no part.

    Args:
        runs: all runs.
        times: result of :func:`time_tuning_runs`.
    """
    in_order = times[times["trained"]].sort_values(
        ["updates", "chosen", "learning_rate"], ascending=[True, False, True]
    )
    fastest = in_order.drop_duplicates(["problem", "optimizer"])[["problem", "optimizer", "learning_rate"]]
    seeded = runs[(runs["arm"] == Arm.TUNED) & runs["phase"].isin(["final", "neighbor"])]
    return seeded.merge(fastest, on=list(fastest)).assign(arm=SPEED_ARM)


def faster_untrained(times: pd.DataFrame) -> set[tuple[str, str]]:
    """(problem, optimizer) where a rate at which the final seeds weren't trained was faster than all at which they were.

    Args:
        times: result of :func:`time_tuning_runs`.
    """
    least = times.groupby(["problem", "optimizer", "trained"])["updates"].min().unstack("trained")
    least = least.reindex(columns=[False, True])
    return set(least.index[least[False] < least[True]])


def measure_reached(
    finals: pd.DataFrame, history: pd.DataFrame, targets: Mapping[str, Mapping[str, float]]
) -> pd.DataFrame:
    """When each final run first reached each target: one row per run and target, misses at the budget.

    Args:
        finals: final runs; failed and missing ones are left out, diverged ones never reach a target.
        history: their evaluations.
        targets: of each problem.
    """
    rows: list[dict[str, Any]] = []
    curves = loss_curves(history)
    for problem, problem_finals in finals.groupby("problem", sort=False):
        present = problem_finals[problem_finals["run_id"].isin(curves) | (problem_finals["status"] == "diverged")]
        for name, target in targets[str(problem)].items():
            for run in present.to_dict("records"):
                updates = updates_until(run, curves, target)
                rows.append(
                    {
                        "problem": problem,
                        "arm": run["arm"],
                        "optimizer": run["optimizer"],
                        "seed": run["seed"],
                        "run_id": run["run_id"],
                        "target": name,
                        "target_val_loss": target,
                        "reached": bool(np.isfinite(updates)),
                        "updates": min(updates, run["updates_planned"]),
                        "budget_updates": run["updates_planned"],
                        "batch_size": run["batch_size"],
                    }
                )
    return fill_table(pd.DataFrame(rows), "reached")


def measure_speed(
    reached: pd.DataFrame,
    step_microseconds: Mapping[tuple[str, str], float],
    faster: Container[tuple[str, str]] = (),
) -> pd.DataFrame:
    """Time to each target by problem, arm and optimizer, with censoring (docs/protocol.md, "Time to target").

    Args:
        reached: result of :func:`measure_reached`.
        step_microseconds: serially measured cost of a step by (problem, optimizer); absent where it was not measured.
        faster: result of :func:`faster_untrained`.
    """
    rows: list[dict[str, Any]] = []
    by = ["problem", "arm", "target"]
    for (problem, arm, target), timed in reached.groupby(by, sort=False):
        sgd = timed[timed["optimizer"] == PLAIN].set_index("seed")
        for optimizer, group in timed.groupby("optimizer", sort=False):
            own = group.set_index("seed")
            common = own.index.intersection(sgd.index)
            # Full batch, with few and large updates, has another budget: a ratio to sgd's updates would mislead.
            if len(common) and own["budget_updates"].max() != sgd["budget_updates"].max():
                common = common[:0]
            a, b = own.loc[common], sgd.loc[common]
            ratio = restricted_ratio(
                a["updates"].to_numpy(), a["reached"].to_numpy(), b["updates"].to_numpy(), b["reached"].to_numpy()
            )
            budget = float(group["budget_updates"].max())
            mean = restricted_mean(group["updates"].to_numpy(), group["reached"].to_numpy(), budget)
            share = share_interval(int(group["reached"].sum()), len(group))
            seconds = step_microseconds.get((str(problem), str(optimizer)), np.nan) * 1e-6
            rows.append(
                {
                    "problem": problem,
                    "arm": arm,
                    "optimizer": optimizer,
                    "target": target,
                    "target_val_loss": group["target_val_loss"].iloc[0],
                    "n": share.n,
                    "n_reached": int(group["reached"].sum()),
                    "share_reached": share.share,
                    "share_low": share.low,
                    "share_high": share.high,
                    "updates_median": float(group["updates"].where(group["reached"], np.inf).median()),
                    "updates_restricted_mean": mean.mean,
                    "low": mean.low,
                    "high": mean.high,
                    "budget_updates": budget,
                    "examples_restricted_mean": float((group["updates"] * group["batch_size"]).mean()),
                    "seconds_restricted_mean": mean.mean * seconds,
                    "ratio_to_sgd": ratio.ratio.mean,
                    "ratio_low": ratio.ratio.low,
                    "ratio_high": ratio.ratio.high,
                    "ratio_bound": ratio.bound if ratio.ratio.n else "",
                    "faster_untrained": arm == SPEED_ARM and (problem, optimizer) in faster,
                }
            )
    return fill_table(pd.DataFrame(rows), "speed")


def measure_profiles(speed: pd.DataFrame) -> pd.DataFrame:
    """Performance profiles over problems and their integrals, by arm and target, from the restricted means.

    Only optimizers with the problem's full budget of updates are compared; one with a miss counts as never reaching.
    """
    rows: list[pd.DataFrame] = []
    full = speed.groupby("problem")["budget_updates"].transform("max")
    means = speed["updates_restricted_mean"].where(speed["n_reached"] == speed["n"])
    comparable = speed.assign(mean=means)[speed["budget_updates"] == full]
    for (arm, target), group in comparable.groupby(["arm", "target"], sort=False):
        table = group.pivot(index="optimizer", columns="problem", values="mean")
        shares = performance_profile(table.to_numpy(), PROFILE_RATIOS)
        areas = profile_areas(table.to_numpy(), PROFILE_INTEGRAL_TO)
        integrals = zip(areas.mean(axis=1), *leave_one_out(areas), strict=True)
        for name, share, (integral, least, most) in zip(table.index, shares, integrals, strict=True):
            rows.append(
                pd.DataFrame(
                    {
                        "arm": arm,
                        "target": target,
                        "optimizer": name,
                        "ratio": PROFILE_RATIOS,
                        "share": share,
                        "integral": integral,
                        "integral_least": least,
                        "integral_most": most,
                        "n": table.shape[1],
                    }
                )
            )
    return fill_table(pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(), "profiles")
