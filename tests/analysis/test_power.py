"""The power that a plan prints: the library's numbers, its laws, and the words."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from statsmodels.stats.power import TTestPower

from descentlab.analysis.power import example_floor, least_seeds, percent, power_lines
from descentlab.experiment.plan import TrainingPlan
from support.comparison_fixture import generated_plan, with_problems


def plan_of(seeds: int, **about: Any) -> TrainingPlan:
    return with_problems(generated_plan(seeds={"final": seeds, "tuning": 2}), **about)


@pytest.mark.parametrize("level", [0.05, 0.025, 0.0125, 0.005])
def test_the_least_number_of_seeds_is_the_librarys(level: float) -> None:
    expected = TTestPower().solve_power(effect_size=1.0, alpha=level, power=0.8, alternative="two-sided")
    assert least_seeds(level) == math.ceil(expected)


def test_the_floor_is_the_standard_error_of_a_share() -> None:
    # A hundred answers differ of 10,000, half of them to either side: ±1 with variance 0.01, over √10,000.
    assert example_floor(0.01, 10_000) == pytest.approx(0.001)


def test_what_a_plan_says() -> None:
    first, floor, *_ = power_lines(plan_of(10, margin=0.01, test_examples=360))
    assert first == (
        "up: power to see a true difference of δ = 0.01 (accuracy) with 10 pairs of seeds at level 0.025, by the standard "
        "deviation of one seed's difference: over 99 % where 0.005 (δ/2), 68 % where 0.01 (δ), 19 % where 0.02 (2δ); 80 % at δ "
        "takes 13 pairs"
    )
    assert floor == (
        "up: 360 test examples, by the share of them that the two answer differently in every seed: 1 %: a standard error of "
        "0.0053 stays, and the power at δ is 20 %; 5 %: a standard error of 0.012 stays, and the power at δ is 6 %"
    )
    # statsmodels: TTestPower().power(1, 10, 0.025) and of 1 / sqrt(1 + 10 * 0.01 / 360 / 0.01 ** 2)
    assert TTestPower().power(1.0, 10, 0.025, alternative="two-sided") == pytest.approx(0.68, abs=0.005)
    effect = 1 / math.sqrt(1 + 10 * 0.01 / 360 / 0.01**2)
    assert TTestPower().power(effect, 10, 0.025, alternative="two-sided") == pytest.approx(0.20, abs=0.005)


def test_holms_first_step_is_by_the_number_of_problems() -> None:
    one = plan_of(10, test_examples=360)
    one = replace(one, problems={"up": one.problems["up"]})
    assert "at level 0.05," in power_lines(one)[0]
    assert "at level 0.025," in power_lines(plan_of(10))[0]


def test_only_shares_of_right_answers_have_a_foreseeable_floor() -> None:
    assert len(power_lines(plan_of(10))) == 4
    assert not any("test examples" in line for line in power_lines(plan_of(10, metric="mean squared error")))


def test_one_seed_sees_nothing() -> None:
    assert power_lines(plan_of(1)) == [
        f"{name}: no power to see any difference, 1 pair of seeds has no interval" for name in ("up", "down")
    ]


def test_rounding_promises_no_certainty() -> None:
    assert [percent(share) for share in (0.0, 0.004, 0.006, 0.614, 0.994, 0.996, 1.0)] == [
        "under 1 %",
        "under 1 %",
        "1 %",
        "61 %",
        "99 %",
        "over 99 %",
        "over 99 %",
    ]
