"""Time to target: updates until the validation loss has covered a share of the way to the reference's best."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.comparison import fill_table
from descentlab.analysis.statistics.resampling import leave_one_out
from descentlab.analysis.statistics.survival import (
    performance_profile,
    profile_areas,
    restricted_mean,
    restricted_ratio,
    share_interval,
)
from descentlab.analysis.targets import loss_curves, updates_until
from descentlab.optimizers.arms import SPEED_ARM
from descentlab.optimizers.roles import PLAIN

PROFILE_INTEGRAL_TO = 4.0  # times the fastest, as in Dahl et al. 2023
PROFILE_RATIOS = np.round(2.0 ** np.arange(0, 4.25, 0.25), 4)


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
        faster: result of :func:`descentlab.analysis.fastest_rates.faster_untrained`.
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
