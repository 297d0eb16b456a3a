"""Time to target: against plain SGD, and at the rate that is chosen for it, on the generated experiment."""

from __future__ import annotations

import math

import numpy as np
import pytest

from descentlab.analysis.targets import targets_by_problem
from descentlab.analysis.time_to_target import measure_reached, measure_speed
from descentlab.optimizers.arms import SPEED_ARM
from support.comparison_fixture import SEEDS, generated_history, generated_plan, generated_runs
from support.generated_comparisons import compared, final, generated_comparison, row, with_fast_rate, with_neighbors


def crossed(factor: float, before: int, after: int, share: float) -> float:
    """Updates until losses ``factor ** u`` have covered a share of the way to the reference's 0.8 ** 16, interpolated."""
    target = 1 - share * (1 - 0.8**16)
    assert factor**after <= target < factor**before
    return before + (after - before) * (factor**before - target) / (factor**before - factor**after)


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
