"""Target losses: shares of the way from the initial validation loss to the reference's best, and when a run reached one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.intervals import reached_after
from descentlab.experiment.plan import Plan
from descentlab.optimizers.arms import Arm

# Shares of the way from the initial validation loss to the reference's lowest.
TARGETS = {"easy": 0.6, "medium": 0.85, "hard": 0.97}


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
