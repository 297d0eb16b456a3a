"""Time to target: against plain SGD, and at the rate that is chosen for it, on the generated experiment."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.time_to_target import (
    SPEED_ARM,
    choose_for_speed,
    faster_untrained,
    measure_reached,
    measure_speed,
    targets_by_problem,
    time_tuning_runs,
)
from support.comparison_fixture import SEEDS, generated_history, generated_plan, generated_runs
from support.generated_comparisons import compared, final, generated_comparison, row

FASTER = 0.1  # the rate above the chosen one


def with_neighbors() -> pd.DataFrame:
    """The generated runs, and the final seeds at both rates beside the chosen one."""
    runs = generated_runs(0)
    tuned = runs[(runs["arm"] == "tuned") & (runs["phase"] == "final")]
    beside = [
        tuned.assign(
            phase="neighbor",
            learning_rate=rate,
            run_id=tuned["run_id"].str.replace("final", "neighbor").str.replace("lr=0.01", f"lr={rate:g}"),
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
    return choose_for_speed(runs, times(runs, history))


def times(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    return time_tuning_runs(runs, history, targets_by_problem(generated_plan(), runs, history))


def crossed(factor: float, before: int, after: int, share: float) -> float:
    """Updates until losses ``factor ** u`` have covered a share of the way to the reference's 0.8 ** 16, interpolated."""
    target = 1 - share * (1 - 0.8**16)
    assert factor**after <= target < factor**before
    return before + (after - before) * (factor**before - target) / (factor**before - factor**after)


def test_the_faster_neighbor_is_taken_and_where_all_are_alike_the_chosen_rate() -> None:
    runs = with_neighbors()
    found = chosen(runs, with_fast_rate(runs, "adam"))
    assert set(found["arm"]) == {SPEED_ARM}
    rates = found.groupby("optimizer")["learning_rate"].unique().map(list).to_dict()
    assert rates == {"gd": [0.01], "sgd": [0.01], "momentum": [0.01], "rmsprop": [0.01], "adam": [FASTER]}
    assert (found.groupby(["problem", "optimizer"]).size() == SEEDS).all()


def test_tuning_runs_choose_and_a_divergence_counts_as_the_budget() -> None:
    runs = with_neighbors()
    history = with_fast_rate(runs, "adam")
    tuning = (runs["optimizer"] == "adam") & (runs["phase"] == "tuning") & (runs["learning_rate"] == FASTER)
    runs.loc[tuning, "status"] = "diverged"
    assert set(chosen(runs, history)["learning_rate"]) == {0.01}
    # What the final seeds did has no say.
    neighbors = (runs["optimizer"] == "adam") & (runs["phase"] == "neighbor")
    runs.loc[tuning, "status"], runs.loc[neighbors, "status"] = "finished", "diverged"
    assert FASTER in set(chosen(runs, history)["learning_rate"])


def test_without_neighbors_or_a_reference_there_is_nothing_else_to_take() -> None:
    runs = generated_runs(0)
    assert set(chosen(runs, generated_history(runs))["learning_rate"]) == {0.01}
    others = runs[runs["optimizer"] != "momentum"]
    assert chosen(others, generated_history(others)).empty


def test_a_rate_that_was_faster_where_no_final_seed_was_trained_is_known() -> None:
    runs = with_neighbors()
    history = with_fast_rate(runs, "adam")
    assert faster_untrained(times(runs, history)) == set()
    runs = runs[(runs["phase"] != "neighbor") | (runs["learning_rate"] != FASTER)]
    problems = set(runs["problem"])
    assert faster_untrained(times(runs, history)) == {(problem, "adam") for problem in problems}
    found = compared(runs=runs, history=history).speed
    marked = found[found["faster_untrained"]]
    assert set(marked["arm"]) == {SPEED_ARM} and set(marked["optimizer"]) == {"adam"}
    assert set(marked["problem"]) == problems


def test_both_choices_stand_in_the_table_of_speed() -> None:
    runs = with_neighbors()
    history = with_fast_rate(runs, "adam")
    found = compared(runs=runs, history=history).speed
    medium = found[(found["problem"] == "up") & (found["optimizer"] == "adam") & (found["target"] == "medium")]
    updates = medium.set_index("arm")["updates_restricted_mean"]
    # The target is 0.85 of the way to the reference's 0.8 ** 16: 0.174, which 0.6 ** 4 passes, and 0.36 ** 2.
    assert updates["tuned"] == pytest.approx(crossed(0.6, 2, 4, 0.85))
    assert updates[SPEED_ARM] == pytest.approx(crossed(0.36, 1, 2, 0.85))
    assert np.array_equal(updates["default"], updates["tuned"])


def test_speed_is_measured_against_sgd() -> None:
    comparison = generated_comparison()
    # Losses 0.8^u reach the reference's own 0.8^16 towards 0.6 of the way at 1 − 0.6 (1 − 0.8^16).
    target = 1 - 0.6 * (1 - 0.8**16)
    adam = row(comparison.speed, problem="up", arm="tuned", optimizer="adam", target="easy")
    sgd = row(comparison.speed, problem="up", arm="tuned", optimizer="sgd", target="easy")
    assert adam["target_val_loss"] == pytest.approx(target)
    times = crossed(0.6, 1, 2, 0.6), crossed(0.9, 8, 16, 0.6)
    assert (adam["updates_median"], sgd["updates_median"]) == pytest.approx(times)
    assert adam["ratio_to_sgd"] == pytest.approx(times[0] / times[1])
    gd = row(comparison.speed, problem="up", arm="tuned", optimizer="gd", target="easy")
    assert (gd["n_reached"], gd["updates_median"], gd["updates_restricted_mean"]) == (0, math.inf, 4)
    assert math.isnan(gd["ratio_to_sgd"])  # another budget of updates: no ratio
    hard = row(comparison.speed, problem="up", arm="tuned", optimizer="adam", target="hard")
    assert hard["ratio_bound"] == "at most"  # sgd's 0.9¹⁶ is above 3 % of the way
    # Updates of sgd are those of adam or its budget, so the ratio of one run is the restricted one.
    reached = comparison.reached
    runs = reached[(reached["problem"] == "up") & (reached["arm"] == "tuned") & (reached["target"] == "easy")]
    assert runs[runs["optimizer"] == "adam"]["updates"].tolist() == pytest.approx([times[0]] * SEEDS)
    assert not runs[runs["optimizer"] == "gd"]["reached"].any()
    assert (gd["share_reached"], gd["share_high"]) == (0, pytest.approx(1 - 0.025 ** (1 / SEEDS)))


def test_profiles_count_problems_within_a_factor_of_the_fastest() -> None:
    profiles = generated_comparison().profiles
    mine = profiles[(profiles["arm"] == "tuned") & (profiles["target"] == "easy")].set_index(["optimizer", "ratio"])
    # To the easy target adam needs 1.8 updates, rmsprop 2.6, momentum 3.9, sgd 8.4.
    assert [mine.loc[(name, 1.0), "share"] for name in ("adam", "momentum", "sgd")] == [1, 0, 0]
    assert [mine.loc[(name, 2.0), "share"] for name in ("rmsprop", "momentum")] == [1, 0]
    assert [mine.loc[(name, 4.0), "share"] for name in ("momentum", "sgd")] == [1, 0]
    assert mine.loc[("sgd", 8.0), "share"] == 1
    assert "gd" not in mine.index.get_level_values("optimizer")
    # 8.4 / 1.8 is beyond 4 times the fastest, and adam is the fastest whichever problem is left out.
    assert mine.loc[("sgd", 1.0), "integral"] == 0
    assert (mine.loc[("adam", 1.0), ["integral", "integral_least", "integral_most"]] == 1).all()


def test_a_divergence_reaches_no_target() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "adam") & (runs["phase"] == "final") & runs["seed"].isin([0, 1]), "status"] = (
        "diverged"
    )
    finals = final(runs)
    history = generated_history(runs)
    targets = targets_by_problem(generated_plan(), runs, history)
    speed = measure_speed(measure_reached(finals, history, targets), {})
    adam = row(speed, problem="up", arm="tuned", optimizer="adam", target="easy")
    assert (adam["n"], adam["n_reached"]) == (SEEDS, SEEDS - 2)
    assert adam["updates_restricted_mean"] == pytest.approx((4 * crossed(0.6, 1, 2, 0.6) + 2 * 16) / 6)


def test_targets_are_of_the_tuning_runs_so_that_no_timed_run_sets_its_own() -> None:
    runs = generated_runs(0)
    history = generated_history(runs)
    found = targets_by_problem(generated_plan(), runs, history)
    finals = runs.loc[(runs["optimizer"] == "momentum") & (runs["phase"] == "final"), "run_id"]
    lower = history.assign(val_loss=history["val_loss"].where(~history["run_id"].isin(finals), 1e-6))
    assert targets_by_problem(generated_plan(), runs, lower) == found
    untuned = runs[runs["phase"] == "final"]
    assert targets_by_problem(generated_plan(), untuned, lower) != found
