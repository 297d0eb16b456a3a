"""Final results on the generated experiment: means with their intervals, ranks, gaps to the optimum."""

from __future__ import annotations

import numpy as np

from descentlab.analysis.rank_stability import measure_rank_stability
from descentlab.analysis.summary import summarize
from support.comparison_fixture import (
    OPTIMIZERS,
    PROBLEMS,
    SEEDS,
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
)
from support.generated_comparisons import final, generated_comparison, row


def test_means_are_pandas_means() -> None:
    finals = final(generated_runs(0))
    expected = finals.groupby(["problem", "arm", "optimizer"])["test_metric"].agg(["mean", "sem"])
    found = generated_comparison().summary.set_index(["problem", "arm", "optimizer"]).loc[expected.index]
    np.testing.assert_allclose(found["test_metric_mean"], expected["mean"])
    # t(0.975, 5) = 2.570582 (any table of Student's t)
    np.testing.assert_allclose(found["test_metric_high"] - expected["mean"], 2.570582 * expected["sem"], rtol=1e-6)
    assert (found["n_finished"] == SEEDS).all()
    assert (found["microseconds_per_update"] == 0.016 / found["updates"] * 1e6).all()


def test_ranks_follow_the_metrics_direction() -> None:
    summary = generated_comparison().summary
    for problem in PROBLEMS:
        mine = summary[(summary["problem"] == problem) & (summary["arm"] == "tuned")]
        assert mine.set_index("optimizer")["rank"][["adam", "gd"]].tolist() == [1, len(OPTIMIZERS)]


def test_gaps_are_above_the_optimum() -> None:
    np.testing.assert_allclose(generated_comparison().gaps["gap_mean"], 0.3 - 0.1)


def test_a_diverged_seed_counts_against_the_rank_and_not_in_the_mean() -> None:
    runs = generated_runs(0)
    lost = (runs["optimizer"] == "adam") & (runs["phase"] == "final") & runs["seed"].isin([0, 1])
    runs.loc[lost, ["status", "test_metric"]] = ["diverged", 99.0]
    finals = final(runs)
    adam = row(
        summarize(finals, finals[finals["status"] == "finished"], {}), problem="up", arm="tuned", optimizer="adam"
    )
    assert (adam["n_diverged"], adam["rank"]) == (2, len(OPTIMIZERS))
    assert adam["test_metric_mean"] < 2


def test_an_optimizer_whose_every_run_diverged_ranks_last() -> None:
    plan, runs = generated_plan(), generated_runs(0)
    runs.loc[(runs["optimizer"] == "adam") & (runs["phase"] == "final"), "status"] = "diverged"
    finals = final(runs)
    summary = summarize(finals, finals[finals["status"] == "finished"], {})
    stability = measure_rank_stability(plan, runs, generated_history(finals), generated_selections(), {})
    for problem in PROBLEMS:
        assert row(summary, problem=problem, arm="tuned", optimizer="adam")["rank"] == len(OPTIMIZERS)
        mine = stability[(stability["problem"] == problem) & (stability["optimizer"] == "adam")]
        ranks = mine.loc[mine["question"] == "selection", "rank"]
        assert len(ranks) and (ranks == len(OPTIMIZERS)).all()
