"""The robustness sweep: where it goes and stops, widths and distances by hand, and one sweep of a real problem."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descentlab.analysis.sensitivity import divergence_in_decades, measure_widths, scores_by_rate, width_in_decades
from descentlab.experiment.config import parse_config
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import RUNS
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.storage.tables import read_table
from descentlab.training.collect import collect_runs
from descentlab.training.job import train_job
from descentlab.training.make_plan import make_plan
from descentlab.training.sweep import MOST_STEPS, next_step
from support.comparison_fixture import generated_plan

NAN = math.nan


def swept(scores: dict[float, list[float]], chosen: int, margin: float) -> list[float]:
    """Steps in the order of the sweep; steps outside ``scores`` score 0."""
    goodness: dict[float, np.ndarray] = {}
    while (step := next_step(goodness, chosen, margin)) is not None:
        goodness[step] = np.array(scores.get(step, [0.0] * len(next(iter(scores.values())))))
    return list(goodness)


def test_it_begins_at_the_chosen_rate_goes_down_then_up_and_stops_outside_the_margin() -> None:
    scores = {-1.0: [0.95], 0: [1.0], 1: [0.97], 2: [0.96], 3: [0.5]}
    assert swept(scores, 0, 0.1) == [0, -1, -2, 1, 2, 3, -1.5, 2.5]


def test_the_mean_must_have_left() -> None:
    scores = {0.0: [1.0, 1.0], 1: [0.9, 0.95], 2: [0.0, 1.0]}
    assert swept(scores, 0, 0.1) == [0, -1, 1, 2, -0.5, 1.5]


def test_a_rate_at_which_one_seed_diverged_is_an_end() -> None:
    assert swept({0.0: [1.0, 1.0], 1: [1.0, NAN]}, 0, 0.1) == [0, -1, 1, -0.5, 0.5]


def test_a_divergence_is_an_end() -> None:
    assert swept({0.0: [1.0], -1: [NAN], 1: [NAN]}, 0, 0.1) == [0, -1, 1, -0.5, 0.5]


def test_where_every_rate_diverged_nothing_is_halved() -> None:
    assert swept({float(step): [NAN] for step in range(-9, 10)}, 0, 0.1) == [0, -1, 1]


def test_a_better_rate_further_up_moves_on_and_the_lower_end_stays() -> None:
    assert swept({0.0: [1.0], 1: [2.0], 2: [1.95]}, 0, 0.1) == [0, -1, 1, 2, 3, 0.5, 2.5]


def test_a_cliff_is_known_to_a_quarter_of_a_decade() -> None:
    """Good up to step 1.4, nothing beyond: the middle, 1.5, is the first that has left, and 1 the last that hasn't."""
    scores = {step / 2: [1.0] if abs(step) <= 2 else [0.0] for step in range(-9, 10)}
    steps = swept(scores, 0, 0.1)
    assert steps == [0, -1, -2, 1, 2, -1.5, 1.5]
    rates = np.array([OPTIMIZERS["sgd"].rate_at(step) for step in sorted(steps)])
    width, _ = width_in_decades(rates, np.array([scores[step][0] for step in sorted(steps)]), 0.1)
    assert width == pytest.approx(1.0 + 2 * 0.25 * 0.1, abs=0.01)


def test_it_ends_four_decades_away() -> None:
    flat = {float(step): [1.0] for step in range(-50, 50)}
    steps = swept(flat, 2, 0.1)
    assert (min(steps), max(steps)) == (2 - MOST_STEPS, 2 + MOST_STEPS)


@given(
    st.lists(st.lists(st.floats(0, 1) | st.just(NAN), min_size=2, max_size=2), min_size=41, max_size=41),
    st.integers(-3, 3),
)
def test_what_was_tried_is_contiguous_and_both_ends_have_left(table: list[list[float]], chosen: int) -> None:
    scores = {float(step): row for step, row in zip(range(-20, 21), table, strict=True)}
    tried = swept(scores, chosen, 0.2)
    steps = sorted(step for step in tried if step == int(step))
    assert steps == list(range(int(steps[0]), int(steps[-1]) + 1))
    assert all(steps[0] < step < steps[-1] for step in set(tried) - set(steps))
    means = [np.mean(scores[step]) for step in steps]
    best = max((mean for mean in means if not np.isnan(mean)), default=NAN)
    for end, mean in ((steps[0], means[0]), (steps[-1], means[-1])):
        assert abs(end - chosen) == MOST_STEPS or not mean >= best - 0.2


@pytest.mark.parametrize("name", ["sgd", "adam", "lion"])
def test_steps_and_rates_are_each_others_inverse(name: str) -> None:
    entry = OPTIMIZERS[name]
    assert [entry.step_of(entry.rate_at(step)) for step in range(-12, 13)] == list(range(-12, 13))
    assert entry.grid(7) == [entry.rate_at(step) for step in range(-3, 4)]


def test_distance_to_divergence_by_hand() -> None:
    rates = np.array([0.01, 0.1, 1.0, 10.0])
    assert divergence_in_decades(rates, np.array([0.5, 0.9, 0.8, NAN])) == (pytest.approx(2.0), False)
    assert divergence_in_decades(rates, np.array([NAN, 0.9, NAN, 0.3])) == (pytest.approx(1.0), False)
    assert divergence_in_decades(rates, np.array([0.5, 0.9, 0.8, 0.7])) == (pytest.approx(2.0), True)
    assert np.isnan(divergence_in_decades(rates, np.full(4, NAN))[0])


def rows(phase: str, scores: dict[int, list[float]]) -> list[dict[str, object]]:
    return [
        {
            "problem": "p",
            "optimizer": "sgd",
            "arm": "tuned",
            "phase": phase,
            "seed": seed,
            "learning_rate": rate,
            "val_metric": score,
            "status": "diverged" if np.isnan(score) else "finished",
        }
        for seed, values in scores.items()
        for rate, score in zip((0.01, 0.1, 1.0, 10.0), values, strict=True)
    ]


@pytest.mark.parametrize("sign", [1, -1])
def test_widths_are_of_the_sweep_where_there_is_one(sign: int) -> None:
    """The mean falls by 0.2 a decade either way: ±0.5 decades within 0.1; a seed diverged a decade further up."""
    generated = generated_plan()
    problem = replace(generated.problems["up"], higher_is_better=sign > 0, margin=0.1)
    plan = replace(generated, problems={"p": problem}, optimizers={"sgd": generated.optimizers["sgd"]})
    scores = {1: [0.6, 0.9, 0.7, 0.0], 2: [0.8, 0.9, 0.7, NAN]}
    runs = pd.DataFrame(rows("sweep", scores) + rows("tuning", {1: [0.0] * 4}))
    runs["val_metric"] *= sign
    found = scores_by_rate(plan, runs, "p", "sgd")
    assert found is not None
    assert (found.phase, found.seeds, found.goodness.shape) == ("sweep", [1, 2], (4, 2))
    (row,) = measure_widths(plan, runs).to_dict("records")
    assert (row["width"], row["n"], row["censored"], row["phase"]) == (pytest.approx(1.0), 2, False, "sweep")
    assert (row["divergence"], row["divergence_censored"]) == (pytest.approx(2.0), False)
    assert row["low"] < row["width"] < row["high"]
    shuffled = runs.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(measure_widths(plan, runs), measure_widths(plan, shuffled))


@pytest.mark.usefixtures("device")
def test_a_sweep_is_trained_recorded_and_sealed(tmp_path: Path) -> None:
    config = {
        "experiment": "e",
        "problems": [{"problem": "logistic_regression", "epochs": 2}],
        "optimizers": ["sgd", "adam"],
        "seeds": {"final": 1, "tuning": 2},
        "tuning": {"points": 3, "neighbors": False},
        "sweep": {"optimizers": ["sgd"], "seeds": 3},
    }
    plan = make_plan(parse_config(config, "test"))
    results = tmp_path / "e"
    results.mkdir()
    plan.write(results / "plan.json")
    train_job(plan, "logistic_regression", 0, results / "train/logistic_regression", tmp_path / "cache")
    collect_runs(TrainingPlan.read(results), results)
    selections = {s["optimizer"]: s for s in json.loads((results / "selections.json").read_text())}
    assert "sweep" not in selections["adam"]
    runs = read_table(results / "runs.parquet", RUNS)
    assert (runs["status"] != "missing").all()
    sweep = runs[runs["phase"] == "sweep"]
    rates = selections["sgd"]["sweep"]
    assert set(zip(sweep["learning_rate"], sweep["seed"], strict=True)) == set(
        itertools.product(rates, (1000, 1001, 1002))
    )
    apart = np.diff(np.log10(rates))
    assert np.minimum(abs(apart - 0.5), abs(apart - 0.25)).max() < 0.01
    assert sweep[["test_loss", "test_metric"]].isna().all(axis=None)
    # What tuning trained is not trained again.
    tuning = runs[(runs["phase"] == "tuning") & (runs["optimizer"] == "sgd") & runs["learning_rate"].isin(rates)]
    assert len(tuning) and set(tuning["digest"]) <= set(sweep["digest"])
    # A sweep that is not there is said to be missing.
    selections["sgd"]["sweep"] = [*rates, 1e3]
    (results / "train/logistic_regression/0.selections.json").write_text(json.dumps(list(selections.values())))
    collect_runs(TrainingPlan.read(results), results)
    again = read_table(results / "runs.parquet", RUNS)
    assert again.loc[again["status"] == "missing", "seed"].tolist() == [1000, 1001, 1002]
