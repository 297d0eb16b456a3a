"""The noise of tuning: known answers, and the coverage of tuned intervals with the choice inside."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.choice_noise import NO_NOISE, ChoiceNoise, ProblemNoise, choose_again, measure_choice_noise
from descentlab.analysis.statistics.paired import estimate_difference
from descentlab.analysis.statistics.resampling import resample_seeds
from descentlab.experiment.plan import Plan
from descentlab.experiment.plateau import middle, plateau

PLAN = cast(Plan, SimpleNamespace(problems={"p": SimpleNamespace(sign=1, margin=0.01)}))


def rows(optimizer: str, phase: str, rate: float, metrics: list[float], first_seed: int) -> list[dict[str, Any]]:
    """Runs of one learning rate; NaN for one that diverged."""
    return [
        {
            "problem": "p",
            "arm": "tuned",
            "optimizer": optimizer,
            "phase": phase,
            "learning_rate": rate,
            "seed": first_seed + seed,
            "status": "diverged" if np.isnan(metric) else "finished",
            "val_metric": metric,
            "val_loss": 1 - metric,
            "test_metric": metric,
        }
        for seed, metric in enumerate(metrics)
    ]


def tuned(
    optimizer: str, scores: dict[float, list[float]], finals: dict[float, list[float]]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """An optimizer's tuning and final runs, and what was chosen from the tuning runs."""
    means = np.array([np.mean(values) for values in scores.values()])
    ends = plateau(means, 1 - means, 0.01)
    assert ends is not None
    chosen = list(scores)[middle(ends)]
    tuning = [row for rate, values in scores.items() for row in rows(optimizer, "tuning", rate, values, 1000)]
    final = [
        row
        for rate, values in finals.items()
        for row in rows(optimizer, "final" if rate == chosen else "neighbor", rate, values, 0)
    ]
    return pd.DataFrame(tuning + final), {"problem": "p", "optimizer": optimizer, "learning_rate": chosen}


def test_a_choice_that_every_resampling_makes_has_no_noise() -> None:
    runs, selection = tuned(
        "a", {0.01: [0.5] * 5, 0.1: [0.9] * 5, 1.0: [0.5] * 5}, {0.01: [0.4] * 2, 0.1: [0.8] * 2, 1.0: [0.4] * 2}
    )
    noise = measure_choice_noise(PLAN, runs, [selection])
    assert noise.of("p", "tuned", "a") == (pytest.approx(0), 4)


def test_a_choice_between_two_rates_has_the_variance_of_their_results() -> None:
    """Of two tuning seeds one is drawn each time: it chooses 0.1 or 1.0 with even odds; these end at 0.8 and 0.6."""
    scores = {0.01: [0.1, 0.1], 0.1: [0.9, 0.5], 1.0: [0.5, 0.85]}
    runs, selection = tuned("a", scores, {0.01: [0.4] * 2, 0.1: [0.8] * 2, 1.0: [0.6] * 2})
    variance, degrees = measure_choice_noise(PLAN, runs, [selection]).of("p", "tuned", "a")
    assert (variance, degrees) == (pytest.approx(0.1**2, rel=0.05), 1)


def test_what_a_seed_does_to_both_choices_cancels() -> None:
    scores = {0.01: [0.1, 0.1], 0.1: [0.9, 0.5], 1.0: [0.5, 0.85]}
    finals = {0.01: [0.4] * 2, 0.1: [0.8] * 2, 1.0: [0.6] * 2}
    sides = [tuned(name, scores, finals) for name in ("a", "b")]
    noise = measure_choice_noise(PLAN, pd.concat([runs for runs, _ in sides]), [selection for _, selection in sides])
    assert noise.of("p", "tuned", "a", "b")[0] == pytest.approx(0)
    assert noise.of("p", "tuned", "a", "untuned")[0] == noise.of("p", "tuned", "a")[0] > 0


def test_a_seed_that_diverges_moves_the_choice() -> None:
    """At 1.0 one of two seeds diverged: the resampling without it chooses 1.0."""
    scores = {0.01: [0.1, 0.1], 0.1: [0.5, 0.5], 1.0: [0.9, np.nan]}
    runs, selection = tuned("a", scores, {0.01: [0.4] * 2, 0.1: [0.6] * 2, 1.0: [0.8] * 2})
    assert selection["learning_rate"] == 0.1
    assert measure_choice_noise(PLAN, runs, [selection]).of("p", "tuned", "a")[0] == pytest.approx(0.1**2, rel=0.05)


@pytest.mark.parametrize(("tuning_seeds", "final_seeds"), [(5, 10), (2, 3), (5, 2)])
def test_a_problem_has_its_own_noise_beside_one_with_other_seeds(tuning_seeds: int, final_seeds: int) -> None:
    generator = np.random.default_rng(0)

    def problem(name: str, tuning: int, final: int) -> tuple[pd.DataFrame, dict[str, Any]]:
        means = {0.01: 0.1, 0.1: 0.7, 1.0: 0.68}
        runs, selection = tuned(
            "a",
            {rate: list(mean + generator.normal(0, 0.05, tuning)) for rate, mean in means.items()},
            {rate: list(mean + generator.normal(0, 0.001, final)) for rate, mean in means.items()},
        )
        return runs.assign(problem=name), selection | {"problem": name}

    plan = cast(Plan, SimpleNamespace(problems=dict.fromkeys(("p", "q"), SimpleNamespace(sign=1, margin=0.01))))
    (runs, selection), (others, other) = problem("p", 3, 2), problem("q", tuning_seeds, final_seeds)
    alone = measure_choice_noise(plan, runs, [selection]).of("p", "tuned", "a")
    beside = measure_choice_noise(plan, pd.concat([runs, others]), [selection, other])
    assert beside.of("p", "tuned", "a") == alone
    assert alone[0] > 0 and alone[1] == 2
    assert beside.of("q", "tuned", "a")[1] == tuning_seeds - 1


def test_where_nothing_was_tuned_there_is_no_noise() -> None:
    scores = {0.01: [0.1, 0.1], 0.1: [0.9, 0.5], 1.0: [0.5, 0.85]}
    runs, selection = tuned("a", scores, {0.01: [0.4] * 2, 0.1: [0.8] * 2, 1.0: [0.6] * 2})
    noise = measure_choice_noise(PLAN, runs, [selection])
    assert noise.of("p", "default", "a") == noise.of("p", "tuned", "b") == noise.of("q", "tuned", "a") == NO_NOISE
    one_seed = measure_choice_noise(PLAN, runs[runs["seed"] != 1001], [selection])
    assert one_seed.of("p", "tuned", "a") == ChoiceNoise().of("p", "tuned", "a") == NO_NOISE


def simulated_coverage(curve: np.ndarray, noise: float, trials: int, with_choice: bool) -> float:
    """The share of 95 % intervals that hold what tuning and training would give on average, at ten final seeds.

    Another optimizer, which needs no tuning, ends at 0 on average.
    """
    generator = np.random.default_rng(1)
    positions, weights = resample_seeds(5)

    def choose(scores: np.ndarray) -> int:
        means = scores.mean(axis=0)
        ends = plateau(means, -means, 0.01)
        assert ends is not None
        return middle(ends)

    def tuning() -> np.ndarray:
        return curve + generator.normal(0, noise, (5, len(curve)))

    truth = np.mean([curve[choose(tuning())] for _ in range(2000)])
    held = 0
    for _ in range(trials):
        scores, finals = tuning(), curve + generator.normal(0, noise, (10, len(curve)))
        finals -= generator.normal(0, noise, (10, 1))
        chosen = choose(scores)
        estimate = estimate_difference(finals[:, chosen])
        if with_choice:
            again = choose_again(scores.T, -scores.T, positions, 0.01, chosen).clip(chosen - 1, chosen + 1)
            estimate = estimate.with_choice(*ProblemNoise({"a": finals.T[again]}, weights, 4).of("a", None))
        low, high = estimate.interval()
        held += low <= truth <= high
    return held / trials


# Where the noise of tuning matters: two rates of which one is better by far less, or far more, than noise tells apart.
CURVES = {
    "flat": np.array([-0.2, -0.003, 0.0, -0.003, -0.2]),
    "slope": np.array([-0.2, -0.06, -0.02, 0.0, -0.2]),
    "peak": np.array([-0.2, -0.04, 0.0, -0.04, -0.2]),
}


def test_tuned_intervals_hold_the_truth_with_the_choice_inside() -> None:
    """At three levels of noise: too little to move the choice, enough to, and so much that it is by chance."""
    trials, noises = 300, (0.004, 0.012, 0.03)
    shares = [
        simulated_coverage(curve, noise, trials, with_choice=True) for curve in CURVES.values() for noise in noises
    ]
    assert 0.93 <= np.mean(shares) <= 0.97
    assert min(shares) >= 0.93 - 2 * np.sqrt(0.95 * 0.05 / trials)


def test_without_the_noise_of_tuning_intervals_are_too_short() -> None:
    assert simulated_coverage(CURVES["slope"], 0.012, 400, with_choice=False) < 0.9
