"""Time to target: updates until the validation loss is as low as a share of what the reference reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from descentlab.comparison_tables import fill_table
from descentlab.stats import ratio_interval, t_interval, updates_to_target

# Shares of the way from the initial validation loss to the reference's least one.
TARGETS = {"easy": 0.6, "medium": 0.85, "hard": 0.97}


def find_targets(finals: pd.DataFrame, history: pd.DataFrame, reference: str) -> dict[str, float]:
    """The validation losses that count as reached, from one problem's runs of the reference (protocol, section 5).

    From the median initial loss towards the median of the reference's least losses; of its tuned arm where there is
    one. Empty without a finished run of the reference.
    """
    mine = finals[(finals["optimizer"] == reference) & (finals["status"] == "finished")]
    if (mine["arm"] == "tuned").any():
        mine = mine[mine["arm"] == "tuned"]
    curves = history[history["run_id"].isin(mine["run_id"])]
    if curves.empty:
        return {}
    start = curves[curves["updates"] == 0]["val_loss"].median()
    least = curves.groupby("run_id")["val_loss"].min().median()
    return {name: float(start - share * (start - least)) for name, share in TARGETS.items()}


def measure_speed(plan: dict[str, Any], finals: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Updates and examples to each target, misses and divergences counted as the whole budget."""
    rows: list[dict[str, Any]] = []
    curves = {key: (group["updates"].to_numpy(), group["val_loss"].to_numpy())
              for key, group in history.groupby("run_id", sort=False)}  # fmt: skip
    for problem, of_problem in finals.groupby("problem", sort=False):
        present = of_problem[of_problem["run_id"].isin(curves) | (of_problem["status"] == "diverged")]
        of_history = history[history["problem"] == problem]
        for name, target in find_targets(of_problem, of_history, plan["config"]["report"]["reference"]).items():
            reached = np.array(
                [
                    updates_to_target(*curves[run_id], target) if status == "finished" else np.inf
                    for run_id, status in zip(present["run_id"], present["status"], strict=True)
                ]
            )
            timed = present.assign(reached=reached, restricted=np.minimum(reached, present["updates_planned"]))
            timed["restricted_examples"] = timed["restricted"] * timed["batch_size"]
            for (arm, optimizer), group in timed.groupby(["arm", "optimizer"], sort=False):
                sgd = timed[(timed["arm"] == arm) & (timed["optimizer"] == "sgd")].set_index("seed")
                paired = group.set_index("seed")
                common = paired.index.intersection(sgd.index)
                # Full batch with its few, large updates has another budget: a ratio of updates to sgd's would mislead.
                comparable = len(common) and (paired["updates_planned"].max() == sgd["updates_planned"].max())
                ratio = ratio_interval(
                    paired.loc[common, "restricted"].to_numpy() if comparable else np.empty(0),
                    sgd.loc[common, "restricted"].to_numpy() if comparable else np.empty(0),
                )
                mean = t_interval(group["restricted"].to_numpy())
                rows.append(
                    {"problem": problem, "arm": arm, "optimizer": optimizer, "target": name, "target_val_loss": target,
                     "n": len(group), "n_reached": int(np.isfinite(group["reached"]).sum()),
                     "updates_median": float(np.median(group["reached"])),
                     "updates_restricted_mean": mean.mean, "low": mean.low, "high": mean.high,
                     "budget_updates": group["updates_planned"].max(),
                     "examples_restricted_mean": group["restricted_examples"].mean(), "ratio_to_sgd": ratio.mean,
                     "ratio_low": ratio.low, "ratio_high": ratio.high,
                     "ratio_is_bound": bool(comparable and np.isinf(sgd.loc[common, "reached"]).any())}
                )  # fmt: skip
    return fill_table(pd.DataFrame(rows), "speed")
