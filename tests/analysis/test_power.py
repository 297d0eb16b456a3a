"""The power that a plan prints: the library's numbers, its laws, and the words."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from descentlab.analysis.power import example_floor, foresee, least_seeds, percent, power_lines, power_of_looks
from descentlab.analysis.statistics.paired import estimate_difference
from descentlab.analysis.statistics.stages import Stage
from descentlab.experiment.plan import TrainingPlan
from support.comparison_fixture import generated_plan, with_problems
from support.report_evidence import values_of

EXAMPLES = 360


def plan_of(seeds: int, **about: Any) -> TrainingPlan:
    return with_problems(generated_plan(seeds={"final": seeds, "tuning": 2}), **about)


@pytest.mark.parametrize("level", [0.05, 0.025, 0.0125, 0.005])
def test_the_least_number_of_seeds_is_the_librarys(level: float) -> None:
    expected = TTestPower().solve_power(effect_size=1.0, alpha=level, power=0.8, alternative="two-sided")
    assert least_seeds(level) == math.ceil(expected)


def test_the_floor_is_the_standard_error_of_a_share() -> None:
    # A hundred answers differ of 10,000, half of them to either side: ±1 with variance 0.01, over √10,000.
    assert example_floor(0.01, 10_000) == pytest.approx(0.001)


@pytest.mark.parametrize(("deviation", "floor"), [(1.0, 0.0), (2.0, 0.0), (4.0, 0.0), (1.0, 0.3)])
def test_the_power_of_looks_is_that_of_simulated_experiments(deviation: float, floor: float) -> None:
    """Within 3 points, judged by the estimates and stages that contrasts are judged by."""
    looks, level, generator = [10, 20, 40, 80], 0.05 / 16, np.random.default_rng(5)
    found = 0
    for _ in range(1000):
        d = 1 + deviation * generator.standard_normal(80) + floor * generator.standard_normal()
        for seeds in looks:
            plain = estimate_difference(d[:seeds])
            parts = plain.variance**2 / plain.degrees + floor**4 / (EXAMPLES - 1)
            variance = plain.variance + floor**2
            estimate = replace(plain, variance=variance, degrees=variance**2 / parts, example_variance=floor**2)
            low, high = estimate.interval(level * Stage.at(looks, seeds).share)
            if low > 0 or high < 0:
                found += 1
                break
    assert power_of_looks(looks, deviation, level, floor, EXAMPLES) == pytest.approx(found / 1000, abs=0.03)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_the_power_of_one_look_is_the_tests(deviation: float) -> None:
    library = TTestPower().power(1 / deviation, 10, 0.01, alternative="two-sided")
    assert power_of_looks([10], deviation, 0.01) == pytest.approx(library, abs=1e-6)


def test_looks_detect_more_than_their_first_seeds_and_no_more_than_their_last() -> None:
    """Of which the last have the whole level."""
    first, last = (power_of_looks([seeds], 3.0, 0.01) for seeds in (10, 40))
    assert first < power_of_looks([10, 20, 40], 3.0, 0.01) < last


def test_what_a_plan_foresees() -> None:
    plan = plan_of(10, margin=0.01, test_examples=360)
    foreseen = foresee(plan)["up"]
    assert (foreseen.pairs, foreseen.level) == (10, 0.00625)
    library = TTestPower()
    assert foreseen.chances == {
        ratio: pytest.approx(library.power(1 / ratio, 10, 0.00625, alternative="two-sided"), abs=1e-6)
        for ratio in (0.5, 1.0, 2.0)
    }
    assert list(foreseen.floors) == [0.01, 0.05]
    for share, (floor, chance) in foreseen.floors.items():
        assert floor == pytest.approx(math.sqrt(share / 360))
        effect = 1 / math.sqrt(1 + 10 * share / 360 / 0.01**2)  # with the seeds' degrees of freedom alone, so at least
        assert library.power(effect, 10, 0.00625, alternative="two-sided") < chance < foreseen.chances[1.0]


def test_what_is_foreseen_is_said_with_its_numbers() -> None:
    first, floor, *others = power_lines(plan_of(10, margin=0.01, test_examples=360))
    assert len(others) == 3  # of the other problem, and what they leave out
    margin, seeds, level = 0.01, 10, 0.00625
    chances = [99, 0.005, 2, 42, 0.01, 7, 0.02, 2]  # in percent, where the standard deviation is δ/2, δ and 2δ
    assert values_of(first) == ["up", margin, seeds, level, *chances, 80, least_seeds(level)]
    assert values_of(floor) == ["up", 360, 1, 0.0053, 13, 5, 0.012, 3]  # examples; share, error and power, twice


def test_the_level_is_by_the_number_of_primary_contrasts() -> None:
    """Two of them in two arms on one problem, or on two."""
    one = plan_of(10, test_examples=360)
    one = replace(one, problems={"up": one.problems["up"]})
    assert (foresee(one)["up"].level, foresee(plan_of(10))["up"].level) == (0.0125, 0.00625)


def test_only_shares_of_right_answers_have_a_foreseeable_floor() -> None:
    assert len(power_lines(plan_of(10))) == 5
    squared = plan_of(10, metric="mean squared error")
    assert not any(foreseen.floors for foreseen in foresee(squared).values()) and len(power_lines(squared)) == 3


def test_one_seed_sees_nothing() -> None:
    assert all(not foreseen.chances and not foreseen.floors for foreseen in foresee(plan_of(1)).values())
    assert [values_of(line) for line in power_lines(plan_of(1))] == [["up", 1], ["down", 1]]


def test_rounding_promises_no_certainty() -> None:
    assert [percent(share) for share in (0.006, 0.614, 0.994)] == ["1 %", "61 %", "99 %"]
    for shares, bound in (((0.0, 0.004), 1), ((0.996, 1.0), 99)):
        (text,) = {percent(share) for share in shares}
        assert values_of(text) == [bound] and text != f"{bound} %"
