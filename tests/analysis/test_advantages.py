"""When Adam beats plain SGD: known correlations, the rule's threshold, and false alarms of traits that mean nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from descentlab.analysis.advantages import (
    LEAST_PROBLEMS,
    associate_traits,
    measure_advantages,
    ordered_advantage,
    rank_correlation,
)
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.experiment.traits import TRAITS
from support.report_evidence import generated_plan


def advantages(values: np.ndarray, **traits: Any) -> pd.DataFrame:
    n = len(values)
    columns = {name: traits.get(name, np.full(n, np.nan)) for name in TRAITS}
    rows = {"problem": [f"p{i}" for i in range(n)], "arm": "tuned", "advantage": values, "low": values - 1}
    return pd.DataFrame({**rows, "high": values + 1, "n": 5, "verdict": str(Verdict.BETTER), **columns})


def test_an_advantage_is_in_margins_and_carries_the_traits() -> None:
    about = {"arm": "tuned", "difference_mean": 0.03, "low_corrected": 0.01, "high_corrected": 0.05, "n": 10}
    rows = [
        {**about, "problem": "a", "first": "adam", "second": "sgd", "margin": 0.01, "verdict": "better"},
        {**about, "problem": "b", "first": "adam", "second": "sgd", "margin": 0.02, "verdict": "better"},
        {**about, "problem": "a", "first": "adam", "second": "momentum", "margin": 0.01, "verdict": "better"},
    ]
    traits = pd.DataFrame([{"problem": "b", **dict.fromkeys(TRAITS, 0.5)}])
    table = measure_advantages(generated_plan(), pd.DataFrame(rows), traits)
    assert table["problem"].tolist() == ["a", "b"]
    assert table[["advantage", "low", "high"]].to_numpy() == pytest.approx(np.array([[3, 1, 5], [1.5, 0.5, 2.5]]))
    assert np.isnan(table.loc[0, "class_slope"]) and table.loc[1, "class_slope"] == 0.5
    unmeasured = measure_advantages(generated_plan(), pd.DataFrame(rows), pd.DataFrame())
    assert unmeasured[list(TRAITS)].isna().all(axis=None)


def test_a_divergence_on_one_side_is_beyond_every_difference() -> None:
    table = advantages(np.array([1.0, np.nan, np.nan, np.nan]))
    table["verdict"] = [Verdict.WORSE, Verdict.BETTER, Verdict.WORSE, Verdict.NOT_TESTED]
    assert ordered_advantage(table).tolist() == pytest.approx([1, np.inf, -np.inf, np.nan], nan_ok=True)


def test_nothing_is_said_of_fewer_problems_than_declared_or_of_a_trait_that_all_share() -> None:
    values = np.arange(float(LEAST_PROBLEMS))
    tail, attention = -values, np.ones(LEAST_PROBLEMS)
    found = associate_traits(advantages(values, class_slope=tail, attention=attention))
    assert found[["trait", "correlation", "n"]].to_numpy().tolist() == [["class_slope", -1.0, LEAST_PROBLEMS]]
    assert found["high"].iloc[0] < 0
    assert associate_traits(advantages(values[1:], class_slope=tail[1:])).empty


def test_a_correlation_is_computed_again_without_each_problem() -> None:
    """Ranks agree but for one problem, which goes the other way: without it the correlation is 1."""
    values = np.arange(16.0)
    trait = np.append(np.arange(1.0, 16), 0)  # of the largest advantage the smallest
    row = associate_traits(advantages(values, noise_scale=trait)).iloc[0]
    others = [stats.spearmanr(np.delete(values, i), np.delete(trait, i)).statistic for i in range(16)]
    assert (row["most"], row["least"]) == (pytest.approx(1), pytest.approx(min(others)))
    assert row["least"] < row["correlation"] < row["most"]


def test_a_trait_of_a_single_problem_rests_on_it() -> None:
    row = associate_traits(advantages(np.arange(16.0), attention=np.eye(16)[15])).iloc[0]
    assert np.isnan([row["least"], row["most"]]).all()


def test_a_rank_correlation_is_the_textbooks() -> None:
    """By hand: Σd² = 8 of five pairs, 1 − 6 · 8 / (5 · 24) = 0.6; z ± 1.96 √((1 + 0.18) / 2)."""
    rho, low, high = rank_correlation(np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 5, 3, 4]), 0.05)
    assert rho == pytest.approx(0.6)
    half = 1.959964 * np.sqrt(1.18 / 2)
    assert (low, high) == pytest.approx((np.tanh(np.arctanh(0.6) - half), np.tanh(np.arctanh(0.6) + half)))


@pytest.mark.parametrize("n", [15, 20])
def test_the_interval_holds_the_truth(n: int) -> None:
    """Of 2,000 samples of normal pairs with ρ = 0.5: its rank correlation is 6 / π · asin(ρ / 2)."""
    generator, truth = np.random.default_rng(0), 6 / np.pi * np.arcsin(0.25)
    pairs = generator.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], (2000, n))
    held = [low <= truth <= high for _, low, high in (rank_correlation(p[:, 0], p[:, 1], 0.05) for p in pairs)]
    assert 0.93 <= np.mean(held) <= 0.98


def test_traits_that_mean_nothing_are_rarely_said_to_go_with_an_advantage() -> None:
    """Any of all traits, in 400 experiments of 20 problems: 5 % and the binomial bound."""
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        table = associate_traits(
            advantages(generator.standard_normal(20), **{name: generator.standard_normal(20) for name in TRAITS})
        )
        assert set(table["trait"]) == set(TRAITS)
        alarms += bool(((table["low"] > 0) | (table["high"] < 0)).any())
    assert alarms <= stats.binom.isf(0.025, 400, 0.05)
