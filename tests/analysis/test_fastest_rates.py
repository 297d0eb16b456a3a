"""The rate tuned for speed: chosen by the tuning runs, trained where it wasn't, on the generated experiment."""

from __future__ import annotations

import pandas as pd
import pytest

from descentlab.analysis.fastest_rates import (
    choose_for_speed,
    faster_untrained,
    fastest_of,
    find_untrained,
    time_tuning_runs,
)
from descentlab.analysis.targets import targets_by_problem
from descentlab.optimizers.arms import SPEED_ARM
from support.comparison_fixture import SEEDS, generated_history, generated_plan, generated_runs
from support.generated_comparisons import FASTER, compared, with_fast_rate, with_neighbors


def chosen(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    return choose_for_speed(runs, times(runs, history))


def times(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    return time_tuning_runs(runs, history, targets_by_problem(generated_plan(), runs, history))


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
    assert set(chosen(runs, with_fast_rate(runs, "adam"))["learning_rate"]) == {0.01}
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


def untrained(runs: pd.DataFrame, history: pd.DataFrame) -> dict[str, float]:
    """Of the problem ``up``."""
    mine = runs[runs["problem"] == "up"]
    return find_untrained(generated_plan(), mine, history[history["run_id"].isin(mine["run_id"])])


@pytest.mark.parametrize(
    ("runs", "expected"), [(generated_runs(0), {"adam": FASTER}), (with_neighbors(), {})], ids=["alone", "neighbors"]
)
def test_the_fastest_rate_is_trained_where_no_final_seed_was(runs: pd.DataFrame, expected: dict[str, float]) -> None:
    assert untrained(runs, with_fast_rate(runs, "adam")) == expected


def test_where_rates_are_alike_or_all_miss_no_other_rate_is_trained() -> None:
    runs = generated_runs(0)
    history = generated_history(runs)
    assert untrained(runs, history) == {}
    tuning = runs["phase"] == "tuning"
    missed = runs[tuning & (runs["optimizer"] != "momentum")]["run_id"]
    history.loc[history["run_id"].isin(missed), "val_loss"] = 1.0
    assert untrained(runs, history) == {}


def test_the_runs_that_were_trained_for_it_are_timed() -> None:
    runs = with_neighbors()
    beside = (runs["phase"] == "neighbor") & (runs["learning_rate"] == FASTER)
    runs = runs[(runs["phase"] != "neighbor") | beside].assign(phase=runs["phase"].mask(beside, "speed"))
    history = with_fast_rate(runs, "adam")
    found = chosen(runs, history)
    assert set(found.loc[found["optimizer"] == "adam", "phase"]) == {"speed"}
    assert set(found.loc[found["optimizer"] != "adam", "phase"]) == {"final"}
    assert faster_untrained(times(runs, history)) == set()


def test_ties_go_to_the_chosen_rate_then_to_a_trained_one_then_to_the_lower() -> None:
    rates = pd.DataFrame(
        [(0.1, 4.0, False, False), (0.2, 4.0, False, True), (0.3, 4.0, False, True), (0.4, 4.0, True, True)],
        columns=["learning_rate", "updates", "chosen", "trained"],
    ).assign(problem="up", optimizer="adam")
    order = [
        float(fastest_of(rates[~rates["learning_rate"].isin(gone)])["learning_rate"].item()) for gone in ([], [0.4])
    ]
    assert order == [0.4, 0.2]
    assert fastest_of(rates.assign(updates=[3.0, 4.0, 4.0, 4.0]))["learning_rate"].item() == 0.1
