"""The rate that is chosen for time to target, on the generated experiment with rates of known speed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.compare import compare_runs
from descentlab.analysis.time_to_target import SPEED_ARM, choose_for_speed
from support.comparison_fixture import (
    NO_EXAMPLES,
    SEEDS,
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
)

FASTER = 0.1  # the rate above the chosen one


def with_neighbours() -> pd.DataFrame:
    """The generated runs, and the final seeds at both rates beside the chosen one."""
    runs = generated_runs(0)
    tuned = runs[(runs["arm"] == "tuned") & (runs["phase"] == "final")]
    beside = [
        tuned.assign(
            phase="neighbour",
            learning_rate=rate,
            run_id=tuned["run_id"].str.replace("final", "neighbour").str.replace("lr=0.01", f"lr={rate:g}"),
        )
        for rate in (0.001, FASTER)
    ]
    return pd.concat([runs, *beside], ignore_index=True)


def with_fast_rate(runs: pd.DataFrame, optimizer: str) -> pd.DataFrame:
    """Histories in which the optimizer's runs at FASTER are twice as fast as at the other rates."""
    history = generated_history(runs)
    fast = runs[(runs["optimizer"] == optimizer) & (runs["learning_rate"] == FASTER)]["run_id"]
    mine = history["run_id"].isin(fast)
    losses = [name for name in history if name.endswith("_loss")]
    history.loc[mine, losses] = history.loc[mine, losses] ** 2
    return history


def chosen(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    return choose_for_speed(generated_plan(), runs, runs[runs["phase"] == "final"], history)


def test_the_faster_neighbour_is_taken_and_where_all_are_alike_the_chosen_rate() -> None:
    runs = with_neighbours()
    found = chosen(runs, with_fast_rate(runs, "adam"))
    assert set(found["arm"]) == {SPEED_ARM}
    rates = found.groupby("optimizer")["learning_rate"].unique().map(list).to_dict()
    assert rates == {"gd": [0.01], "sgd": [0.01], "momentum": [0.01], "rmsprop": [0.01], "adam": [FASTER]}
    assert (found.groupby(["problem", "optimizer"]).size() == SEEDS).all()


def test_tuning_runs_choose_and_a_divergence_counts_as_the_budget() -> None:
    runs = with_neighbours()
    history = with_fast_rate(runs, "adam")
    tuning = (runs["optimizer"] == "adam") & (runs["phase"] == "tuning") & (runs["learning_rate"] == FASTER)
    runs.loc[tuning, "status"] = "diverged"
    assert set(chosen(runs, history)["learning_rate"]) == {0.01}
    # What the final seeds did has no say.
    neighbours = (runs["optimizer"] == "adam") & (runs["phase"] == "neighbour")
    runs.loc[tuning, "status"], runs.loc[neighbours, "status"] = "finished", "diverged"
    assert FASTER in set(chosen(runs, history)["learning_rate"])


def test_without_neighbours_or_a_reference_there_is_nothing_else_to_take() -> None:
    runs = generated_runs(0)
    assert set(chosen(runs, generated_history(runs))["learning_rate"]) == {0.01}
    others = runs[runs["optimizer"] != "momentum"]
    assert chosen(others, generated_history(others)).empty


def test_both_choices_stand_in_the_table_of_speed() -> None:
    runs = with_neighbours()
    history = with_fast_rate(runs, "adam")
    found = compare_runs(generated_plan(), runs, history, generated_selections(), NO_EXAMPLES).speed
    medium = found[(found["problem"] == "up") & (found["optimizer"] == "adam") & (found["target"] == "medium")]
    updates = medium.set_index("arm")["updates_restricted_mean"]
    # The target is 0.85 of the way to the reference's 0.8 ** 16: 0.174, which 0.6 ** 4 passes, and 0.36 ** 2.
    assert updates["tuned"] == pytest.approx(4) and updates[SPEED_ARM] == pytest.approx(2)
    assert np.array_equal(updates["default"], updates["tuned"])
