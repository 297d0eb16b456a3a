"""The expected best of k rates: against all subsets, and on the generated experiment."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from descentlab.analysis.best_of_k import best_of_k_weights, measure_best_of_k
from support.comparison_fixture import generated_plan, generated_runs, generated_selections


def brute_force(values: list[float], k: int) -> float:
    """The mean, over all subsets of k, of their best."""
    return float(np.mean([max(subset) for subset in combinations(values, k)]))


@pytest.mark.parametrize("points", range(1, 8))
def test_weights_are_those_of_all_subsets(points: int) -> None:
    values = sorted(np.random.default_rng(points).normal(size=points).tolist())
    for k in range(1, points + 1):
        weights = best_of_k_weights(points, k)
        assert weights.sum() == pytest.approx(1)
        assert float(weights @ np.array(values)) == pytest.approx(brute_force(values, k))


@pytest.mark.parametrize("problem", ["up", "down"])
def test_the_best_of_k_goes_from_the_mean_to_the_best(problem: str) -> None:
    runs = generated_runs(3)
    sign = 1 if problem == "up" else -1
    curve = measure_best_of_k(generated_plan(), runs, generated_selections())
    for optimizer, mine in curve[curve["problem"] == problem].groupby("optimizer"):
        tuning = runs[(runs["phase"] == "tuning") & (runs["problem"] == problem) & (runs["optimizer"] == optimizer)]
        goodness = (sign * tuning.groupby("learning_rate")["val_metric"].mean()).tolist()
        found = sign * mine["val_metric"].to_numpy()
        assert mine["k"].tolist() == [1, 2, 3]
        assert (np.diff(found) >= 0).all()
        assert found == pytest.approx([brute_force(goodness, k) for k in (1, 2, 3)])
        assert (found[0], found[-1]) == (pytest.approx(np.mean(goodness)), pytest.approx(max(goodness)))
        assert (mine["low"] < mine["val_metric"]).all() and (mine["val_metric"] < mine["high"]).all()
        assert mine[["n_points", "n_out", "n_seeds"]].drop_duplicates().to_numpy().tolist() == [[3, 0, 2]]


@pytest.mark.parametrize("problem", ["up", "down"])
def test_a_point_that_diverged_counts_as_the_worst_of_the_problem(problem: str) -> None:
    runs = generated_runs(3)
    tuning = (runs["phase"] == "tuning") & (runs["problem"] == problem)
    lost = tuning & (runs["optimizer"] == "adam") & (runs["learning_rate"] == 0.1) & (runs["seed"] == 1000)
    runs.loc[lost, ["status", "val_metric"]] = ["diverged", 99.0]
    sign = 1 if problem == "up" else -1
    curve = measure_best_of_k(generated_plan(), runs, generated_selections())
    adam = curve[(curve["problem"] == problem) & (curve["optimizer"] == "adam")]
    means = sign * runs[tuning].groupby(["optimizer", "learning_rate"])["val_metric"].mean()
    worst = means.drop(("adam", 0.1)).min()
    values = [means["adam", 0.001], means["adam", 0.01], worst]
    assert (sign * adam["val_metric"]).to_numpy() == pytest.approx([brute_force(values, k) for k in (1, 2, 3)])
    assert adam["n_out"].tolist() == [1] * 3


def test_a_point_of_the_grid_without_runs_is_out() -> None:
    runs = generated_runs(3)
    runs = runs[~((runs["phase"] == "tuning") & (runs["optimizer"] == "sgd") & (runs["learning_rate"] == 0.1))]
    curve = measure_best_of_k(generated_plan(), runs, generated_selections())
    assert curve.loc[curve["optimizer"] == "sgd", ["n_points", "n_out"]].drop_duplicates().to_numpy().tolist() == [
        [3, 1]
    ]
