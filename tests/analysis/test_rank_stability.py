"""Rankings under other choices, on tables whose answers are known by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from descentlab.analysis.best_of_k import BEST_OF_K_COLUMNS, measure_best_of_k
from descentlab.analysis.rank_stability import (
    QUESTIONS,
    RANK_CHANGE_COLUMNS,
    RANK_STABILITY_COLUMNS,
    measure_rank_stability,
    rank_optimizers,
    summarize_rank_stability,
)
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import HISTORY, RUNS
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import (
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
    with_names,
)

COSTS = {(problem, name): 10.0 if name == "adam" else 5.0 for problem in ("up", "down") for name in ("sgd", "adam")}


def with_neighbors(seed: int = 0) -> pd.DataFrame:
    """The generated runs, and final seeds at the rates beside the chosen one, a bit worse by noise of their own."""
    runs = generated_runs(seed)
    tuned = runs[(runs["phase"] == "final") & (runs["arm"] == "tuned")]
    generator = np.random.default_rng(seed)
    parts = [runs]
    for rate in (0.001, 0.1):
        beside = tuned.assign(phase="neighbor", learning_rate=rate)
        noise = generator.normal(0, 0.05, (3, len(beside)))
        beside = beside.assign(
            run_id=beside["run_id"].str.replace("final.lr=0.01", f"neighbor.lr={rate:g}"),
            val_metric=beside["val_metric"] + noise[0],
            test_metric=beside["test_metric"] + noise[1],
            train_loss=beside["train_loss"] + noise[2],
        )
        parts.append(beside)
    both = pd.concat(parts, ignore_index=True)
    both["best_test_metric"] = both["test_metric"] + generator.normal(0, 0.05, len(both))
    return both


def measured(
    runs: pd.DataFrame,
    plan: TrainingPlan | None = None,
    *,
    history: pd.DataFrame | None = None,
    selections: list[dict[str, Any]] | None = None,
    costs: dict[tuple[str, str], float] = COSTS,
) -> pd.DataFrame:
    history = generated_history(runs) if history is None else history
    selections = generated_selections() if selections is None else selections
    return measure_rank_stability(plan or generated_plan(), runs, history, selections, costs)


def empty_history() -> pd.DataFrame:
    return empty_table(HISTORY)


def hand_made(rows: list[tuple[str, float, float, float, float]], higher: bool = True, **changes: Any) -> pd.DataFrame:
    """Final runs of two seeds on one problem: (optimizer, rate, validation, train loss, test); the first rate is final's."""
    made: list[dict[str, Any]] = []
    sign = 1 if higher else -1
    for name, rate, val, train, test in rows:
        phase = (
            "neighbor" if any(run["optimizer"] == name and run["learning_rate"] != rate for run in made) else "final"
        )
        for seed in (0, 1):
            made.append(
                {
                    **{c: 0.0 if column.dtype == "float64" else 0 for c, column in RUNS.items()},
                    **dict.fromkeys((c for c, column in RUNS.items() if column.dtype == "str"), ""),
                    "run_id": f"{name}.{rate}.{seed}",
                    "problem": "up" if higher else "down",
                    "optimizer": name,
                    "arm": "tuned",
                    "phase": phase,
                    "learning_rate": rate,
                    "seed": seed,
                    "status": "finished",
                    "updates_planned": 16,
                    "batch_size": 8,
                    "higher_is_better": higher,
                    "val_metric": sign * (val + 0.01 * seed),
                    "train_loss": train,
                    "test_metric": sign * (test + 0.01 * seed),
                    **changes,
                }
            )
    return check_table(pd.DataFrame(made), RUNS, "hand-made")


def best(stability: pd.DataFrame, question: str, choice: str) -> str:
    found = stability[(stability["question"] == question) & (stability["choice"] == choice) & (stability["rank"] == 1)]
    assert len(found) == 1
    return str(found["optimizer"].iloc[0])


# By validation adam takes 0.01 (test 0.9) and sgd 0.1 (test 0.8); by test sgd takes 1.0 (test 0.95).
SWITCHED = [
    ("adam", 0.01, 0.9, 0.3, 0.9),
    ("adam", 0.1, 0.8, 0.2, 0.7),
    ("adam", 0.001, 0.7, 0.4, 0.8),
    ("sgd", 0.1, 0.9, 0.3, 0.8),
    ("sgd", 1.0, 0.8, 0.4, 0.95),
    ("sgd", 0.01, 0.7, 0.1, 0.6),
]


@pytest.mark.parametrize("higher", [True, False])
def test_the_split_that_chooses_the_rate_can_flip_the_winner(higher: bool) -> None:
    runs = hand_made(SWITCHED, higher)
    stability = measured(runs, history=empty_history())
    chosen = stability[stability["question"] == "selection"].set_index(["choice", "optimizer"])["learning_rate"]
    assert chosen.to_dict() == {
        ("validation", "adam"): 0.01,
        ("validation", "sgd"): 0.1,
        ("train_loss", "adam"): 0.1,
        ("train_loss", "sgd"): 0.01,
        ("test", "adam"): 0.01,
        ("test", "sgd"): 1.0,
    }
    assert [best(stability, "selection", choice) for choice in QUESTIONS["selection"]] == ["adam", "adam", "sgd"]
    summary = summarize_rank_stability(stability[stability["question"] == "selection"]).set_index("choice")
    assert summary["adam_sgd_order"].to_dict() == {"train_loss": "stays", "test": "flips"}
    assert summary["tau"].to_dict() == {"train_loss": 1, "test": -1}
    assert summary["marked"].to_dict() == {"train_loss": False, "test": True}
    assert (summary["adam_momentum_order"] == "").all()
    assert summary.loc["test", ["best_first", "best", "n"]].tolist() == ['["adam"]', '["sgd"]', 2]


def test_a_rate_that_diverged_is_out_unless_all_are() -> None:
    runs = hand_made(SWITCHED)
    runs.loc[(runs["optimizer"] == "adam") & (runs["learning_rate"] == 0.01) & (runs["seed"] == 1), "status"] = (
        "diverged"
    )
    stability = measured(runs, history=empty_history())
    mine = stability[(stability["optimizer"] == "adam") & (stability["question"] == "selection")]
    # 0.1 is next by validation and train loss, 0.001 by test.
    assert mine["learning_rate"].tolist() == [0.1, 0.1, 0.001]
    runs.loc[runs["optimizer"] == "adam", "status"] = "diverged"
    usual = [{"problem": "up", "optimizer": "adam", "learning_rate": 0.1}]
    stability = measured(runs, history=empty_history(), selections=usual)
    mine = stability[(stability["optimizer"] == "adam") & (stability["question"] == "selection")]
    assert mine["learning_rate"].tolist() == [0.1] * 3
    assert mine["rank"].tolist() == [2] * 3  # a result: the worst possible
    assert mine["n"].tolist() == [0] * 3


def test_without_a_learning_rate_there_is_one_candidate() -> None:
    runs = hand_made([("adam", np.nan, 0.9, 0.3, 0.9), ("sgd", 0.1, 0.9, 0.3, 0.8)])
    stability = measured(runs, history=empty_history())
    assert stability.loc[stability["optimizer"] == "adam", "learning_rate"].isna().all()
    assert best(stability, "selection", "test") == "adam"
    curve = measure_best_of_k(generated_plan(), runs.assign(phase="tuning"), [])
    assert curve["n_points"].tolist() == [1, 1]
    assert curve["val_metric"].to_numpy() == pytest.approx(0.905)


@pytest.mark.parametrize("statuses", [["finished", "diverged"], ["diverged", "diverged"], ["failed", "failed"]])
def test_who_diverged_ranks_behind(statuses: list[str]) -> None:
    runs = hand_made([("adam", 0.1, 0, 0, 0.99), ("sgd", 0.1, 0, 0, 0.5), ("momentum", 0.1, 0, 0, 0.4)])
    runs.loc[runs["optimizer"] == "adam", "status"] = statuses
    ranks = rank_optimizers(runs, "test_metric", True).set_index("optimizer")["rank"]
    assert ranks[["sgd", "momentum"]].tolist() == [1, 2]
    assert ranks["adam"] == 3 if statuses[1] == "diverged" else np.isnan(ranks["adam"])


def test_tables_have_the_declared_columns_and_every_choice() -> None:
    stability = measured(with_neighbors())
    assert list(stability) == list(RANK_STABILITY_COLUMNS)
    assert stability.groupby("question", sort=False)["choice"].unique().map(tuple).to_dict() == {
        **QUESTIONS,
        "tuning": QUESTIONS["tuning"][:2],  # the generated experiment has no extended arm
    }
    assert set(stability.loc[stability["marked"], "choice"]) == {"test"}
    assert list(summarize_rank_stability(stability)) == list(RANK_CHANGE_COLUMNS)
    assert len(summarize_rank_stability(stability)) == 2 * (2 + 1 + 1 + 2)
    assert "seconds" not in set(measured(with_neighbors(), costs={})["choice"])


def test_no_runs_no_rows() -> None:
    none = generated_runs(0).iloc[:0]
    stability, curve = measured(none, history=empty_history()), measure_best_of_k(generated_plan(), none, [])
    assert stability.empty and list(stability) == list(RANK_STABILITY_COLUMNS)
    assert curve.empty and list(curve) == list(BEST_OF_K_COLUMNS)
    assert summarize_rank_stability(stability).empty


def test_the_order_of_the_rows_does_not_matter() -> None:
    runs = with_neighbors()
    history = generated_history(runs)
    shuffled, mixed = runs.sample(frac=1, random_state=1), history.sample(frac=1, random_state=2)
    one, other = measured(runs, history=history), measured(shuffled, history=mixed)
    assert_frame_equal(one, other)
    mixed_rows = one.sample(frac=1, random_state=3)
    by = ["problem", "question", "choice"]
    again = summarize_rank_stability(mixed_rows).sort_values(by, ignore_index=True)
    assert_frame_equal(summarize_rank_stability(one).sort_values(by, ignore_index=True), again)
    curves = [measure_best_of_k(generated_plan(), table, generated_selections()) for table in (runs, shuffled)]
    assert_frame_equal(*curves)


def test_renaming_optimizers_renames_only() -> None:
    names = {"gd": "zeta", "sgd": "beta", "momentum": "alpha", "adam": "omega", "rmsprop": "kappa"}
    renamed = with_names(generated_plan(), names)
    runs = with_neighbors()
    others = runs.assign(optimizer=runs["optimizer"].map(names))
    selections = [{**made, "optimizer": names[made["optimizer"]]} for made in generated_selections()]
    history = generated_history(runs)
    costs = {(problem, names[name]): cost for (problem, name), cost in COSTS.items()}
    one = measured(runs, history=history)
    other = measured(others, renamed, history=history, selections=selections, costs=costs)
    assert_frame_equal(one.assign(optimizer=one["optimizer"].map(names)), other)
    first, second = summarize_rank_stability(one), summarize_rank_stability(other)
    assert_frame_equal(first[["tau", "n"]], second[["tau", "n"]])
    renamed_best = first["best"].map(lambda best: {names[name] for name in json.loads(best)})
    assert renamed_best.tolist() == second["best"].map(lambda best: set(json.loads(best))).tolist()
    curve = measure_best_of_k(generated_plan(), runs, generated_selections())
    assert_frame_equal(
        curve.assign(optimizer=curve["optimizer"].map(names)), measure_best_of_k(renamed, others, selections)
    )


def test_the_same_choice_twice_changes_nothing() -> None:
    runs = with_neighbors()
    runs["best_test_metric"] = runs["test_metric"]
    summary = summarize_rank_stability(measured(runs))
    same = summary[summary["question"] == "epoch"]
    assert same["tau"].to_numpy() == pytest.approx(1)
    assert (same["best_first"] == same["best"]).all()
    assert set(same["adam_sgd_order"]) == {"stays"}


def test_equal_means_are_a_tie() -> None:
    runs = hand_made([("adam", 0.1, 0.9, 0.3, 0.8), ("sgd", 0.1, 0.9, 0.3, 0.8), ("momentum", 0.1, 0.9, 0.3, 0.1)])
    runs["best_test_metric"] = runs["test_metric"]
    epoch = summarize_rank_stability(measured(runs, history=empty_history())).set_index("question").loc["epoch"]
    assert (epoch["adam_sgd_order"], epoch["adam_momentum_order"]) == ("tie", "stays")
    assert json.loads(epoch["best"]) == ["adam", "sgd"]


def test_a_race_is_read_where_the_smallest_budget_ends() -> None:
    stability = measured(generated_runs(0))
    up = stability[(stability["question"] == "axis") & (stability["problem"] == "up")].set_index(
        ["choice", "optimizer"]
    )
    # gd has 4 updates of 32 examples; the others 16 of 8. Losses are 0.9, 0.9, 0.8, 0.6, 0.7 to the power of updates.
    cuts = up.groupby("choice")["cut"].first().to_dict()
    assert cuts == {"updates": 4, "examples": 128, "seconds": pytest.approx(16 * 5e-6)}
    assert up.loc[("updates", "gd"), "mean"] == pytest.approx(0.9**4)
    assert up.loc[("updates", "adam"), "mean"] == pytest.approx(0.6**4)
    assert up.loc[("examples", "gd"), "mean"] == pytest.approx(0.9**4)
    assert up.loc[("examples", "adam"), "mean"] == pytest.approx(0.6**16)
    # A step of adam costs twice sgd's: it has made 8 updates when sgd has made its 16.
    assert up.loc[("seconds", "adam"), "mean"] == pytest.approx(0.6**8)
    assert set(up.loc["seconds"].index) == {"sgd", "adam"}
    assert up.loc["updates", "rank"].to_dict() == {"gd": 4, "sgd": 4, "momentum": 3, "adam": 1, "rmsprop": 2}
    assert up.loc["examples", "rank"]["gd"] == 5


def test_a_cut_between_evaluations_reads_the_one_before() -> None:
    runs = generated_runs(0)
    runs.loc[runs["optimizer"] == "gd", "updates_planned"] = 3  # evaluated after 2 and 4 updates
    stability = measured(runs, history=generated_history(generated_runs(0)))
    adam = stability[(stability["choice"] == "updates") & (stability["optimizer"] == "adam")]
    assert adam["cut"].tolist() == [3, 3]
    assert adam["mean"].to_numpy() == pytest.approx(0.6**2)
