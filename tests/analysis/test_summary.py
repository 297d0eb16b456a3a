"""Final results on the generated experiment: means with their intervals, ranks, gaps to the optimum."""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.rank_stability import measure_rank_stability
from descentlab.analysis.summary import carry_forward, end_at_divergence, summarize
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


def test_the_curve_of_a_run_that_its_patience_ended_stays_where_it_ended() -> None:
    row = {"problem": "p", "arm": "tuned", "optimizer": "adam"}
    runs = {"run_id": ["a", "b", "c"], "status": ["finished", "finished", "diverged"], "updates": [4, 8, 4]}
    finals = pd.DataFrame({**runs, "updates_planned": 8, **row})
    history = pd.DataFrame(
        {
            "run_id": [*"aabbbcc"],
            "updates": [0, 4, 0, 4, 8, 0, 4],
            "examples": [0, 40, 0, 40, 80, 0, 40],
            "val_loss": [1.0, 0.5, 1.0, 0.7, 0.1, 1.0, 9.0],
            **row,
        }
    )
    whole = carry_forward(finals, history)
    assert whole.loc[whole["updates"] == 8, "val_loss"].tolist() == [0.1, 0.5]
    added = whole[(whole["run_id"] == "a") & (whole["updates"] == 8)]
    assert added["examples"].tolist() == [40]
    assert len(whole) == len(history) + 1
    assert carry_forward(finals[finals["run_id"] != "a"], history) is history


def test_a_mean_curve_ends_where_a_diverged_run_leaves_it() -> None:
    """Else it would fall there: what is left are the runs that went well."""
    rows = [{"problem": "p", "arm": "tuned", "optimizer": name} for name in ("adam", "sgd")]
    finals = pd.DataFrame(
        [
            {"run_id": "a", "status": "finished", **rows[0]},
            {"run_id": "b", "status": "diverged", **rows[0]},
            {"run_id": "c", "status": "finished", **rows[1]},
        ]
    )
    losses = {"a": [1.0, 0.5, 0.2], "b": [1.0, 9.0, np.inf], "c": [1.0, 0.6, 0.3]}
    history = pd.DataFrame(
        [
            {"run_id": run, "updates": 4 * place, "train_loss": loss, "val_loss": loss, **rows[run == "c"]}
            for run, values in losses.items()
            for place, loss in enumerate(values)
        ]
    )
    kept = end_at_divergence(finals, history)
    assert kept.groupby("run_id")["updates"].max().to_dict() == {"a": 4, "b": 4, "c": 8}
    assert end_at_divergence(finals[finals["status"] == "finished"], history) is history
    # One that was never finite leaves no curve.
    history.loc[history["run_id"] == "b", "train_loss"] = np.nan
    assert set(end_at_divergence(finals, history)["run_id"]) == {"c"}
