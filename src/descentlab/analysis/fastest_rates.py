"""The learning rates tuned for speed: of each optimizer's, the one whose tuning runs reach the medium target soonest.

The tuned arm's rate is the best at the end, not the fastest. The final seeds are trained at the fastest, too, once all
optimizers of a problem are tuned, as the target is the reference's (docs/protocol.md, "Time to target").
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from descentlab.analysis.targets import loss_curves, targets_by_problem, updates_until
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.run_spec import SPEED
from descentlab.optimizers.arms import SPEED_ARM, Arm

SEEDED = ("final", "neighbor", SPEED)  # phases in which the final seeds are trained


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
    trained = set(searched.loc[searched["phase"].isin(SEEDED), row].itertuples(index=False, name=None))
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


def fastest_of(times: pd.DataFrame) -> pd.DataFrame:
    """Of each problem's and optimizer's rates the fastest; if they tie the chosen one, then a trained one, then the lower.

    Args:
        times: result of :func:`time_tuning_runs`, or a part.
    """
    order = ["updates", "chosen", "trained", "learning_rate"]
    in_order = times.sort_values(order, ascending=[True, False, False, True])
    return in_order.drop_duplicates(["problem", "optimizer"])


def find_untrained(plan: TrainingPlan, runs: pd.DataFrame, history: pd.DataFrame) -> dict[str, float]:
    """The fastest rates of a problem's optimizers, by name, as far as the final seeds weren't trained at them yet.

    Args:
        plan: the experiment's plan.
        runs: all of the problem's jobs.
        history: their evaluations.
    """
    fastest = fastest_of(time_tuning_runs(runs, history, targets_by_problem(plan, runs, history)))
    untrained = fastest[~fastest["trained"]]
    return dict(zip(untrained["optimizer"], untrained["learning_rate"], strict=True))


def choose_for_speed(runs: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """The final seeds' runs at the rate that reaches the medium target soonest, with SPEED_ARM as their arm.

    Of the rates at which the final seeds were trained, each optimizer gets the one whose tuning runs take the fewest updates
    on average, or the tuned arm's rate if they tie. The test split plays no part.

    Args:
        runs: all runs.
        times: result of :func:`time_tuning_runs`.
    """
    fastest = fastest_of(times[times["trained"]])[["problem", "optimizer", "learning_rate"]]
    seeded = runs[(runs["arm"] == Arm.TUNED) & runs["phase"].isin(SEEDED)]
    return seeded.merge(fastest, on=list(fastest)).assign(arm=SPEED_ARM)


def faster_untrained(times: pd.DataFrame) -> set[tuple[str, str]]:
    """(problem, optimizer) where a rate at which the final seeds weren't trained was faster than all at which they were.

    Args:
        times: result of :func:`time_tuning_runs`.
    """
    fastest = fastest_of(times)
    return set(fastest.loc[~fastest["trained"], ["problem", "optimizer"]].itertuples(index=False, name=None))
