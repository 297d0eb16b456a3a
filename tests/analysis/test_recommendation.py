"""How often the most dependable optimizer comes out again: known answers and laws."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.recommendation import measure_recommendations
from descentlab.experiment.plan import Plan

PLAN = cast(
    Plan,
    SimpleNamespace(
        problems={name: SimpleNamespace(sign=sign, margin=0.01) for name, sign in (("up", 1), ("down", -1))}
    ),
)


def finals(scores: dict[str, dict[str, list[float]]], arm: str = "tuned") -> pd.DataFrame:
    """Final runs by optimizer and problem, a validation metric for each seed; NaN for one that diverged."""
    return pd.DataFrame(
        [
            {
                "problem": problem,
                "arm": arm,
                "optimizer": name,
                "seed": seed,
                "status": "diverged" if np.isnan(value) else "finished",
                "val_metric": value,
            }
            for name, by_problem in scores.items()
            for problem, values in by_problem.items()
            for seed, value in enumerate(values)
        ]
    )


def shares(runs: pd.DataFrame) -> dict[str, float]:
    table = measure_recommendations(PLAN, runs)
    return dict(zip(table["optimizer"], table["share"], strict=True))


def test_one_that_is_always_best_always_comes_out() -> None:
    runs = finals({"a": {"up": [0.9, 0.8], "down": [0.1, 0.2]}, "b": {"up": [0.7, 0.6], "down": [0.3, 0.4]}})
    assert shares(runs) == {"a": 1.0}


def test_two_that_share_the_problems_come_out_by_the_problem_left_out() -> None:
    """Each is behind on one problem, b by less: with both problems b comes out, without either problem the other's."""
    runs = finals({"a": {"up": [0.9] * 3, "down": [0.5] * 3}, "b": {"up": [0.8] * 3, "down": [0.1] * 3}})
    assert shares(runs) == {"b": pytest.approx(2 / 3), "a": pytest.approx(1 / 3)}


def test_two_that_lead_on_one_seed_each_come_out_equally_often() -> None:
    """Of two seeds a resampling is (0, 0), (1, 1) or mixed, in which they tie and share it."""
    runs = finals({"a": {"up": [0.9, 0.7], "down": [0.2, 0.2]}, "b": {"up": [0.7, 0.9], "down": [0.2, 0.2]}})
    found = shares(runs)
    assert found == {"a": pytest.approx(0.5, abs=0.03), "b": pytest.approx(0.5, abs=0.03)}


def test_one_that_diverged_comes_out_only_without_that_seed() -> None:
    """Without the seed in 8 of 27 resamplings of three, or without the problem."""
    runs = finals({"a": {"up": [0.9, 0.9, np.nan], "down": [0.2] * 3}, "b": {"up": [0.7] * 3, "down": [0.3] * 3}})
    without = (2 / 3) ** 3
    assert shares(runs)["a"] == pytest.approx((without + 1 + without) / 3, abs=0.03)


def test_an_optimizer_that_a_problem_lacks_takes_no_part() -> None:
    runs = finals({"a": {"up": [0.9] * 2}, "b": {"up": [0.7] * 2, "down": [0.3] * 2}})
    assert shares(runs) == {"b": 1.0}
    assert measure_recommendations(PLAN, runs[:0]).empty


def test_the_fewest_that_make_up_four_fifths_are_named() -> None:
    runs = finals({"a": {"up": [0.9] * 3, "down": [0.5] * 3}, "b": {"up": [0.8] * 3, "down": [0.1] * 3}})
    assert measure_recommendations(PLAN, runs)["named"].tolist() == [True, True]
    clear = finals({"a": {"up": [0.9, 0.8], "down": [0.1, 0.2]}, "b": {"up": [0.7, 0.6], "down": [0.3, 0.4]}})
    assert measure_recommendations(PLAN, pd.concat([clear, clear.assign(arm="default")]))["named"].tolist() == [
        True,
        True,
    ]
