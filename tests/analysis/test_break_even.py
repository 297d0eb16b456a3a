"""Steps saved times step cost: a worked example, the laws of ratios, and known answers of Welch's interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from descentlab.analysis.break_even import (
    BREAK_EVEN_COLUMNS,
    judge,
    measure_break_even,
    product_of_ratios,
    saved_seconds,
    step_microseconds_by_row,
)
from descentlab.analysis.comparison import TABLES
from descentlab.analysis.statistics.intervals import Interval, ratio_interval, t_interval
from descentlab.experiment.step_cost import STEP_COST_COLUMNS
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan

PARAMETERS = 53  # of the generated plan's problems, with a batch size of 8
RATIOS = [
    "updates_ratio",
    "updates_low",
    "updates_high",
    "step_ratio",
    "step_low",
    "step_high",
    "seconds_ratio",
    "seconds_low",
    "seconds_high",
    "break_even",
    "break_even_low",
    "break_even_high",
]


def reached_rows(
    updates: dict[str, list[float]], budget: float = 1000, problem: str = "up", **more: Any
) -> pd.DataFrame:
    """Rows of the table of times; an update at the budget is a miss."""
    rows = [
        {
            "problem": problem,
            "arm": "tuned",
            "optimizer": name,
            "seed": seed,
            "run_id": f"{name}-{seed}",
            "target": "medium",
            "target_val_loss": 0.5,
            "reached": value < budget,
            "updates": value,
            "budget_updates": budget,
            "batch_size": 8,
            **more,
        }
        for name, values in updates.items()
        for seed, value in enumerate(values)
    ]
    return check_table(pd.DataFrame(rows), TABLES["reached"], "hand-made")


def cost_rows(steps: dict[str, list[float]], model: str = "up", batch_size: int = 8, **more: Any) -> pd.DataFrame:
    """Rows of the table of step cost; Adam keeps 8 bytes a parameter."""
    rows = [
        {
            "model": model,
            "parameters": PARAMETERS,
            "batch_size": batch_size,
            "optimizer": name,
            "round": number,
            "steps": 9,
            "update_microseconds": value / 2,
            "step_microseconds": value,
            "state_bytes_per_parameter": 8.0 * (name == "adam"),
            "device": "CPU",
            "device_peak_bytes": np.nan,
            **more,
        }
        for name, values in steps.items()
        for number, value in enumerate(values)
    ]
    return check_table(pd.DataFrame(rows), STEP_COST_COLUMNS, "hand-made")


def only_row(reached: pd.DataFrame, costs: pd.DataFrame) -> pd.Series:
    table = measure_break_even(generated_plan(), reached, costs)
    assert len(table) == 1
    return table.iloc[0]


def test_a_worked_example() -> None:
    reached = reached_rows({"sgd": [100, 200], "adam": [50, 50]})
    row = only_row(reached, cost_rows({"sgd": [1, 1], "adam": [2, 8]}))
    # Ratios of updates 1/2 and 1/4, of steps 2 and 8: geometric means 8 ** -1/2 and 4, product the root of 2.
    assert (row["n_seeds"], row["n_rounds"], row["bound"]) == (2, 2, "")
    np.testing.assert_allclose(
        row[["updates_ratio", "step_ratio", "seconds_ratio"]].astype(float), [8**-0.5, 4, 2**0.5]
    )
    assert row["break_even"] == pytest.approx(8**0.5)
    # Variances of the mean logarithms (log 2 / 2) ** 2 and log 2 ** 2, each of 1 degree of freedom: together
    # 5/4 log(2) ** 2 of (5/4) ** 2 / (1/16 + 1) = 25/17 degrees of freedom.
    half = stats.t.ppf(0.975, 25 / 17) * np.sqrt(1.25) * np.log(2)
    np.testing.assert_allclose(row[["seconds_low", "seconds_high"]].astype(float), 2**0.5 * np.exp([-half, half]))
    # 150 updates of 1 µs against 50 of 5 µs.
    assert row["seconds_sgd"] == pytest.approx(150e-6)
    assert row["seconds"] == pytest.approx(250e-6)
    assert row["seconds_saved"] == pytest.approx(-100e-6)
    assert row["extra_state_bytes"] == 8 * PARAMETERS


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-2, 1e3))
def test_a_machine_that_is_slower_by_a_factor_changes_no_ratio(factor: float) -> None:
    reached = reached_rows({"sgd": [100, 200, 150], "adam": [50, 60, 1000]})
    steps = {"sgd": [1.0, 1.1, 0.9], "adam": [2.0, 2.5, 1.8]}
    one = only_row(reached, cost_rows(steps))
    slow = only_row(reached, cost_rows({name: [value * factor for value in values] for name, values in steps.items()}))
    np.testing.assert_allclose(slow[RATIOS].astype(float), one[RATIOS].astype(float))
    seconds = ["seconds", "seconds_sgd", "seconds_saved", "saved_low", "saved_high"]
    np.testing.assert_allclose(slow[seconds].astype(float), factor * one[seconds].astype(float))


def test_equal_optimizers_win_and_lose_nothing() -> None:
    row = only_row(reached_rows({"sgd": [100, 200], "adam": [100, 200]}), cost_rows({"sgd": [3, 5], "adam": [3, 5]}))
    ends = [name for name in RATIOS if name.endswith(("_low", "_high")) and not name.startswith("step")]
    assert (row[[name for name in RATIOS if name not in ends]] == 1).all()
    assert row["seconds_saved"] == 0
    # Equal times are due to few evaluations: they have no interval.
    assert row[[*ends, "saved_low", "saved_high"]].isna().all()
    assert judge(row) == "undecided"


@pytest.mark.parametrize(
    ("adam", "sgd", "bound", "verdict"),
    [
        ([50, 51], [500, 520], "", "won"),
        ([500, 520], [50, 51], "", "lost"),
        ([50, 52], [950, 1000], "at most", "won"),
        ([950, 1000], [50, 52], "at least", "lost"),
        ([1000, 101], [500, 520], "at least", "undecided"),
        ([1000, 101], [1000, 520], "unknown", "undecided"),
    ],
)
def test_a_bound_speaks_for_its_own_side(adam: list[float], sgd: list[float], bound: str, verdict: str) -> None:
    row = only_row(reached_rows({"sgd": sgd, "adam": adam}), cost_rows({"sgd": [1, 1], "adam": [1.01, 1.0]}))
    assert (row["bound"], judge(row)) == (bound, verdict)


def test_a_far_ratio_that_is_bounded_on_the_wrong_side_decides_nothing() -> None:
    row = {"seconds_low": 0.1, "seconds_high": 0.2, "bound": "at least"}
    assert [judge({**row, "bound": bound}) for bound in ("", "at most", "at least", "unknown")] == [
        "won",
        "won",
        "undecided",
        "undecided",
    ]
    row = {"seconds_low": 5.0, "seconds_high": 9.0}
    assert [judge({**row, "bound": bound}) for bound in ("", "at most", "at least", "unknown")] == [
        "lost",
        "undecided",
        "lost",
        "undecided",
    ]


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=12), st.lists(st.floats(-2, 2), min_size=2, max_size=12))
def test_the_product_is_welchs_interval(first: list[float], second: list[float]) -> None:
    """A sum of two means is a difference to the mean with the other sign: scipy's Welch interval."""
    x, y = np.array(first), np.array(second)
    found = product_of_ratios(ratio_interval(np.exp(x), np.ones(len(x))), ratio_interval(np.exp(y), np.ones(len(y))))
    assert found.n == min(len(x), len(y))
    if min(np.ptp(x), np.ptp(y)) > 1e-3:  # below, scipy's own variances lose their digits
        known = stats.ttest_ind(x, -y, equal_var=False).confidence_interval(0.95)
        np.testing.assert_allclose(np.log([found.low, found.high]), [known.low, known.high], rtol=1e-5, atol=1e-6)


def test_one_factor_without_an_interval_leaves_the_product_without() -> None:
    alone, known = Interval(2.0, np.nan, np.nan, 1), Interval(3.0, 2.0, 4.5, 5)
    for found in (product_of_ratios(alone, known), product_of_ratios(known, alone)):
        assert found.mean == pytest.approx(6)
        assert np.isnan(found.low) and np.isnan(found.high) and found.n == 1


def test_an_exact_factor_adds_no_width() -> None:
    known, exact = ratio_interval(np.array([1.0, 2.0, 4.0]), np.ones(3)), Interval(2.0, 2.0, 2.0, 5)
    found = product_of_ratios(known, exact)
    np.testing.assert_allclose([found.low, found.high], [2 * known.low, 2 * known.high])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """10 seeds and 5 rounds, either the wider or alike; normal quantiles would hold it 91 % of the time."""
    generator = np.random.default_rng(0)
    held = []
    for spreads in ((0.3, 0.05), (0.05, 0.3), (0.1, 0.1)):
        for _ in range(2000):
            logs = [generator.normal(0, spread, n) for spread, n in zip(spreads, (10, 5), strict=True)]
            found = product_of_ratios(*(ratio_interval(np.exp(values), np.ones(len(values))) for values in logs))
            held.append(found.low <= 1 <= found.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)  # 3.5 standard errors


def test_seconds_saved_vary_over_seeds_and_rounds() -> None:
    sgd, adam = np.array([100.0, 140.0, 90.0]), np.array([60.0, 50.0, 70.0])
    cost_sgd, cost = np.array([1.0, 1.2, 1.1, 0.9]), np.array([2.0, 1.5, 1.8, 2.2])
    over_seeds = saved_seconds(sgd, adam, np.full(4, 1.0), np.full(4, 2.0))
    known = t_interval(sgd - 2 * adam)
    np.testing.assert_allclose([over_seeds.mean, over_seeds.low, over_seeds.high], [known.mean, known.low, known.high])
    over_rounds = saved_seconds(np.full(3, 100.0), np.full(3, 60.0), cost_sgd, cost)
    known = t_interval(100 * cost_sgd - 60 * cost)
    np.testing.assert_allclose(
        [over_rounds.mean, over_rounds.low, over_rounds.high], [known.mean, known.low, known.high]
    )
    both = saved_seconds(sgd, adam, cost_sgd, cost)
    assert both.mean == pytest.approx(sgd.mean() * cost_sgd.mean() - adam.mean() * cost.mean())
    assert both.n == 3


def test_what_has_no_pair_or_no_cost_is_left_out() -> None:
    costs = cost_rows({"sgd": [1, 1], "adam": [2, 2]})
    full = reached_rows({"gd": [10, 20]}, budget=40)
    reached = pd.concat(
        [
            reached_rows({"sgd": [100, 200], "adam": [50, 50], "rmsprop": [50, 50]}),
            full,
            reached_rows({"sgd": [9, 9], "adam": [5, 5]}, problem="down"),
        ]
    )
    table = measure_break_even(generated_plan(), reached, pd.concat([costs, cost_rows({"gd": [1, 1]})]))
    assert table[["problem", "optimizer"]].values.tolist() == [["up", "adam"]]  # rmsprop and "down" were not timed
    unpaired = reached_rows({"adam": [50, 50]})
    for nothing in (
        measure_break_even(generated_plan(), reached, empty_table(STEP_COST_COLUMNS)),
        measure_break_even(generated_plan(), unpaired, costs),
        measure_break_even(generated_plan(), empty_table(TABLES["reached"]), costs),
    ):
        assert nothing.empty and list(nothing) == list(BREAK_EVEN_COLUMNS)


def test_a_pair_at_the_target_before_the_first_update_has_no_ratio() -> None:
    row = only_row(
        reached_rows({"sgd": [0, 100, 200], "adam": [0, 50, 100]}), cost_rows({"sgd": [1, 1], "adam": [1, 1]})
    )
    assert (row["n_seeds"], row["n_reached"], row["n_reached_sgd"]) == (2, 2, 2)
    assert row["updates_ratio"] == pytest.approx(0.5)


def test_a_time_below_0_is_noise_and_left_out() -> None:
    row = only_row(reached_rows({"sgd": [10, 10], "adam": [10, 10]}), cost_rows({"sgd": [1, -1, 1], "adam": [3, 3, 3]}))
    assert (row["n_rounds"], row["step_ratio"]) == (2, pytest.approx(3))


def test_a_problems_rows_have_its_name_its_batch_size_and_its_parameters() -> None:
    plan = generated_plan()  # both problems are the mlp, renamed, with batches of 8
    of_up, of_other_batch = cost_rows({"sgd": [2, 3, 9]}), cost_rows({"sgd": [100, 100, 100]}, batch_size=32)
    another_model = cost_rows({"sgd": [70, 70, 70]}, parameters=4810)
    of_another_problem = cost_rows({"sgd": [5, 5, 5]}, model="mlp")
    table = pd.concat([of_other_batch, another_model, of_up, of_another_problem])
    # The median over rounds; "down" was not timed, and another problem with its model is none of its own.
    assert step_microseconds_by_row(plan, table) == {("up", "sgd"): 3}
    assert step_microseconds_by_row(plan, of_other_batch) == {}
    # Full batch is timed with the training examples, of which there are 32.
    full = cost_rows({"gd": [900, 900, 900]}, batch_size=32)
    assert step_microseconds_by_row(plan, pd.concat([of_up, full])) == {("up", "sgd"): 3, ("up", "gd"): 900}
