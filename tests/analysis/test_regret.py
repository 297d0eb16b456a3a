"""Who stays nearest the best: chosen by validation, measured on the test metric, unfinished runs last."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.regret import measure_regret, most_dependable
from support.comparison_fixture import ADVANTAGE, OPTIMIZERS, PROBLEMS, SEEDS, generated_plan, generated_runs


def finals_of(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["phase"] == "final"]


def regret_of(runs: pd.DataFrame) -> pd.DataFrame:
    return measure_regret(generated_plan(), finals_of(runs), {})


def test_the_truth_is_found_on_every_problem_and_in_every_arm() -> None:
    table = regret_of(generated_runs(0))
    assert len(table) == len(PROBLEMS) * 2 * len(OPTIMIZERS)
    assert set(table["leader"]) == {"adam"}
    for row in table.to_dict("records"):
        expected = ADVANTAGE[row["optimizer"]] - ADVANTAGE["adam"]
        assert row["difference_mean"] == pytest.approx(expected, abs=0.01)
        assert row["val_regret"] == pytest.approx(-expected, abs=0.01)
        assert row["low"] <= row["difference_mean"] <= row["high"]
        assert (row["n"], row["n_unfinished"], row["margin"]) == (SEEDS, 0, 0.02)


def test_the_leader_is_chosen_by_validation_and_not_by_test() -> None:
    runs = generated_runs(0)
    sign = runs["higher_is_better"].map({True: 1, False: -1})
    runs.loc[runs["optimizer"] == "gd", "test_metric"] += 5 * sign
    table = regret_of(runs)
    assert set(table["leader"]) == {"adam"}
    assert (table.loc[table["optimizer"] == "gd", "difference_mean"] > 4).all()


def test_an_unfinished_run_puts_behind_all_others_and_leads_nothing() -> None:
    runs = generated_runs(0)
    gone = (runs["optimizer"] == "adam") & (runs["phase"] == "final") & (runs["seed"] == 0) & (runs["problem"] == "up")
    runs.loc[gone, "status"] = "diverged"
    table = regret_of(runs)
    up = table[table["problem"] == "up"]
    assert "adam" not in set(up["leader"])
    adam = up[up["optimizer"] == "adam"]
    assert (adam["n_unfinished"] == 1).all() and np.isinf(adam["val_regret"]).all()
    ranked = most_dependable(table, "tuned")
    assert ranked["optimizer"].iloc[-1] == "adam" and np.isinf(ranked["worst"].iloc[-1])


def test_nobody_finished_means_no_rows() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["phase"] == "final") & (runs["problem"] == "up"), "status"] = "failed"
    assert set(regret_of(runs)["problem"]) == {"down"}


def test_dependable_is_the_least_worst_problem_in_margins() -> None:
    rows = [
        ("a", "x", 0.00, 0.01),
        ("a", "y", 0.30, 0.1),
        ("b", "x", 0.02, 0.01),
        ("b", "y", 0.0, 0.1),
        ("c", "x", 0.0, 0.01),
    ]
    table = pd.DataFrame(rows, columns=["optimizer", "problem", "val_regret", "margin"]).assign(arm="tuned")
    ranked = most_dependable(table, "tuned")
    # a: 0 and 3 margins, b: 2 and 0; c was not run on y.
    assert list(ranked["optimizer"]) == ["b", "a"]
    assert list(ranked["worst"]) == pytest.approx([2.0, 3.0])
    assert list(ranked["problem"]) == ["x", "y"]
    assert most_dependable(table, "default").empty


def test_the_order_of_the_optimizers_changes_nothing() -> None:
    runs = generated_runs(3)
    table = regret_of(runs)
    shuffled = regret_of(runs.sample(frac=1, random_state=1))
    keys = ["problem", "arm", "optimizer"]
    pd.testing.assert_frame_equal(
        table.sort_values(keys, ignore_index=True), shuffled.sort_values(keys, ignore_index=True)
    )
