"""The comparison on a generated experiment whose truth is known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy.stats import binomtest

from descentlab.analysis import compare
from descentlab.analysis.alarms import raise_alarms
from descentlab.analysis.compare import compare_results, compare_runs
from descentlab.analysis.pairing import PairingError, scores_by_run
from descentlab.analysis.remarks import unpack_remarks
from descentlab.analysis.tables import TABLES, Comparison, read_comparison, write_comparison
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import EXAMPLES, HISTORY, RUNS
from descentlab.report.alarm_phrases import alarm_sentence
from descentlab.report.answers import write_answers
from descentlab.storage.tables import empty_table, write_table
from support.comparison_fixture import (
    ADVANTAGE,
    NO_EXAMPLES,
    OPTIMIZERS,
    PROBLEMS,
    SEEDS,
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
    of_optimizers,
)


def compared(runs: pd.DataFrame | None = None, **config: Any) -> Comparison:
    runs = generated_runs(0) if runs is None else runs
    return compare_runs(generated_plan(**config), runs, generated_history(runs), generated_selections(), NO_EXAMPLES)


def row(table: pd.DataFrame, **values: object) -> dict[str, Any]:
    found = table[(table[list(values)] == pd.Series(values)).all(axis=1)]
    assert len(found) == 1, f"{len(found)} rows for {values}"
    return dict(found.iloc[0])


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compared()


@pytest.mark.parametrize("problem", PROBLEMS)
def test_planted_differences_are_found_with_their_sign(comparison: Comparison, problem: str) -> None:
    for optimizer, verdict in (("adam", "better"), ("sgd", "negligible"), ("rmsprop", "worse"), ("gd", "worse")):
        found = row(comparison.contrasts, problem=problem, arm="tuned", first=optimizer, second="momentum")
        assert found["verdict"] == verdict
        assert found["n"] == SEEDS
        assert found["difference_mean"] == pytest.approx(ADVANTAGE[optimizer], abs=0.005)
        assert found["low_holm"] <= found["low"] <= found["difference_mean"] <= found["high"] <= found["high_holm"]


def test_primary_contrasts_are_adams(comparison: Comparison) -> None:
    primary = comparison.contrasts[comparison.contrasts["declared"] == "primary"]
    assert {(a, b) for a, b in zip(primary["first"], primary["second"], strict=True)} == {
        ("adam", "sgd"),
        ("adam", "momentum"),
    }
    assert len(primary) == 2 * len(PROBLEMS) * 2


def test_the_order_of_the_rows_does_not_matter(comparison: Comparison) -> None:
    runs = generated_runs(0)
    shuffled = runs.sample(frac=1, random_state=1)
    other = compare_runs(
        generated_plan(),
        shuffled,
        generated_history(runs).sample(frac=1, random_state=2).sort_values("updates"),
        generated_selections(),
        NO_EXAMPLES,
    )
    for name in ("contrasts", "summary", "speed", "widths"):
        keys = [c for c in ("problem", "arm", "optimizer", "first", "second", "target") if c in TABLES[name]]
        ordered = [getattr(c, name).sort_values(keys).reset_index(drop=True) for c in (comparison, other)]
        assert_frame_equal(*ordered)


def test_means_are_pandas_means(comparison: Comparison) -> None:
    runs = generated_runs(0)
    finals = runs[runs["phase"] == "final"]
    expected = finals.groupby(["problem", "arm", "optimizer"])["test_metric"].agg(["mean", "sem"])
    found = comparison.summary.set_index(["problem", "arm", "optimizer"]).loc[expected.index]
    np.testing.assert_allclose(found["test_metric_mean"], expected["mean"])
    # t(0.975, 5) = 2.570582 (any table of Student's t)
    np.testing.assert_allclose(found["test_metric_high"] - expected["mean"], 2.570582 * expected["sem"], rtol=1e-6)
    assert (found["n_finished"] == SEEDS).all()
    assert (found["microseconds_per_update"] == 0.016 / found["updates"] * 1e6).all()


def test_ranks_follow_the_metrics_direction(comparison: Comparison) -> None:
    for problem in PROBLEMS:
        mine = comparison.summary[(comparison.summary["problem"] == problem) & (comparison.summary["arm"] == "tuned")]
        assert mine.set_index("optimizer")["rank"][["adam", "gd"]].tolist() == [1, len(OPTIMIZERS)]


def test_speed_is_measured_against_sgd(comparison: Comparison) -> None:
    # Losses 0.8^u reach the reference's own 0.8^16 towards 0.6 of the way at 1 − 0.6 (1 − 0.8^16).
    target = 1 - 0.6 * (1 - 0.8**16)
    adam = row(comparison.speed, problem="up", arm="tuned", optimizer="adam", target="easy")
    sgd = row(comparison.speed, problem="up", arm="tuned", optimizer="sgd", target="easy")
    assert adam["target_val_loss"] == pytest.approx(target)
    assert (adam["updates_median"], sgd["updates_median"]) == (2, 16)  # 0.6² = 0.36, 0.9⁸ = 0.43, 0.9¹⁶ = 0.19
    assert adam["ratio_to_sgd"] == pytest.approx(2 / 16)
    gd = row(comparison.speed, problem="up", arm="tuned", optimizer="gd", target="easy")
    assert (gd["n_reached"], gd["updates_median"], gd["updates_restricted_mean"]) == (0, math.inf, 4)
    assert math.isnan(gd["ratio_to_sgd"])  # another budget of updates: no ratio
    hard = row(comparison.speed, problem="up", arm="tuned", optimizer="adam", target="hard")
    assert hard["ratio_bound"] == "at most"  # sgd's 0.9¹⁶ is above 3 % of the way
    # Updates of sgd are those of adam or its budget, so the ratio of one run is the restricted one.
    reached = comparison.reached
    runs = reached[(reached["problem"] == "up") & (reached["arm"] == "tuned") & (reached["target"] == "easy")]
    assert runs[runs["optimizer"] == "adam"]["updates"].tolist() == [2.0] * SEEDS
    assert not runs[runs["optimizer"] == "gd"]["reached"].any()
    assert (gd["share_reached"], gd["share_high"]) == (0, pytest.approx(1 - 0.025 ** (1 / SEEDS)))


def test_profiles_count_problems_within_a_factor_of_the_fastest(comparison: Comparison) -> None:
    profiles = comparison.profiles
    mine = profiles[(profiles["arm"] == "tuned") & (profiles["target"] == "easy")].set_index(["optimizer", "ratio"])
    # To the easy target adam needs 2 updates, momentum and rmsprop 4 and 4, sgd 16.
    assert [mine.loc[(name, 1.0), "share"] for name in ("adam", "momentum", "sgd")] == [1, 0, 0]
    assert [mine.loc[(name, 2.0), "share"] for name in ("adam", "momentum", "sgd")] == [1, 1, 0]
    assert mine.loc[("sgd", 8.0), "share"] == 1
    assert "gd" not in mine.index.get_level_values("optimizer")


def test_gaps_are_above_the_optimum(comparison: Comparison) -> None:
    np.testing.assert_allclose(comparison.gaps["gap_mean"], 0.3 - 0.1)


def test_sensitivity_and_widths(comparison: Comparison) -> None:
    mine = comparison.sensitivity[
        (comparison.sensitivity["problem"] == "up") & (comparison.sensitivity["optimizer"] == "adam")
    ]
    assert mine["chosen"].tolist() == [False, True, False]
    assert mine["val_metric_mean"].to_numpy() == pytest.approx([0.3, 0.6, 0.3], abs=0.01)
    width = row(comparison.widths, problem="up", optimizer="adam")
    assert width["width"] == pytest.approx(2 * 0.02 / 0.3, abs=0.02)  # falls by 0.3 a decade, margin 0.02
    assert not width["censored"]


def test_a_side_that_diverged_is_not_averaged_away() -> None:
    runs = generated_runs(0)
    lost = (runs["optimizer"] == "adam") & (runs["phase"] == "final") & runs["seed"].isin([0, 1])
    runs.loc[lost, "status"] = "diverged"
    runs.loc[lost, "test_metric"] = 99.0
    found = compared(runs)
    contrast = row(found.contrasts, problem="up", arm="tuned", first="adam", second="momentum")
    # Four wins of six say nothing; the mean of the four would have said "better".
    assert (contrast["verdict"], contrast["n"], contrast["n_dropped"]) == ("inconclusive", SEEDS - 2, 2)
    assert unpack_remarks(contrast["remarks"]) == [
        {"code": "diverged", "name": "adam", "n": 2, "seeds": 6},
        {"code": "wins", "won": 4, "decided": 6},
    ]
    assert contrast["p"] == pytest.approx(binomtest(4, 6).pvalue)
    assert contrast["difference_mean"] == pytest.approx(0.1, abs=0.01)
    summary = row(found.summary, problem="up", arm="tuned", optimizer="adam")
    assert (summary["n_diverged"], summary["rank"]) == (2, len(OPTIMIZERS))
    assert summary["test_metric_mean"] < 2
    speed = row(found.speed, problem="up", arm="tuned", optimizer="adam", target="easy")
    assert (speed["n"], speed["n_reached"]) == (SEEDS, SEEDS - 2)
    assert speed["updates_restricted_mean"] == pytest.approx((4 * 2 + 2 * 16) / 6)
    alarm = row(found.alarms, kind="diverged", problem="up", arm="tuned")
    assert (alarm["code"], alarm["optimizer"], alarm["count"]) == ("diverged", "adam", 2)
    assert json.loads(alarm["values"])["of"] == 6


def test_runs_that_are_no_pair_are_refused() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "adam") & (runs["seed"] == 3), "init_hash"] = "other"
    with pytest.raises(PairingError) as refused:
        compared(runs)
    assert str(refused.value) == (
        "up, default: adam and sgd: the runs of a pair differ in init_hash, so they can't be compared; seeds: 3"
    )


def test_one_seed_is_inconclusive() -> None:
    runs = generated_runs(0)
    found = compared(runs[(runs["phase"] == "tuning") | (runs["seed"] == 0)])
    contrast = row(found.contrasts, problem="up", arm="tuned", first="adam", second="momentum")
    assert (contrast["verdict"], contrast["n"]) == ("inconclusive", 1)
    assert math.isnan(contrast["low"])


def test_identical_runs_are_identical() -> None:
    runs = generated_runs(0)
    finals = runs["phase"] == "final"
    of = {name: runs[finals & (runs["optimizer"] == name)].index for name in ("momentum", "sgd")}
    runs.loc[of["sgd"], "test_metric"] = runs.loc[of["momentum"], "test_metric"].to_numpy()
    contrast = row(compared(runs).contrasts, problem="down", arm="default", first="sgd", second="momentum")
    assert (contrast["verdict"], contrast["difference_mean"], contrast["p"]) == ("identical", 0.0, 1.0)


def test_alarms_for_edges_missing_runs_and_few_seeds() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "sgd") & (runs["arm"] == "default"), "status"] = "missing"
    found = compared(runs, seeds={"final": 3, "tuning": 2}).alarms
    assert found["kind"].value_counts().to_dict() == {"missing": 2, "edge": 2, "few seeds": 1}
    edge = row(found, kind="edge", problem="up")
    assert (edge["code"], edge["optimizer"]) == ("edge high", "rmsprop")
    assert json.loads(edge["values"]) == {"rate": 0.1, "low": 0.001, "high": 0.1}
    missing = row(found, kind="missing", problem="up")
    assert (missing["optimizer"], missing["arm"], missing["count"]) == ("sgd", "default", 6)
    few = row(found, kind="few seeds")
    assert (few["count"], json.loads(few["values"])) == (3, {"least": 5})


def test_alarms_of_the_lowest_rate_and_of_one_seed() -> None:
    plan, lowest = generated_plan(seeds={"final": 1, "tuning": 1}), {**generated_selections()[0], "edge": "low"}
    alarms = raise_alarms(plan, generated_runs(0), [lowest])
    assert alarms["code"].tolist() == ["edge low", "few seeds"]
    assert [alarm_sentence(row) for row in alarms.to_dict("records")] == [
        "gd on up: the chosen learning rate 0.01 is the lowest of its grid (0.001 to 0.1)",
        "1 final seed is too few to trust intervals; at least 5 are needed",
    ]


def answers_of(plan: TrainingPlan, comparison: Comparison) -> list[dict[str, Any]]:
    tables = comparison.summary, comparison.contrasts, comparison.claims, comparison.alarms
    return write_answers(plan, *tables)


def test_an_optimizer_whose_every_run_diverged_ranks_last() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "adam") & (runs["phase"] == "final"), "status"] = "diverged"
    found = compared(runs)
    for problem in PROBLEMS:
        assert row(found.summary, problem=problem, arm="tuned", optimizer="adam")["rank"] == len(OPTIMIZERS)
        flips = found.flips[(found.flips["problem"] == problem) & (found.flips["optimizer"] == "adam")]
        assert (flips.loc[flips["question"] == "selection", "rank"] == len(OPTIMIZERS)).all()


def test_answers_carry_the_contrasts(comparison: Comparison) -> None:
    answers = {answer["id"]: answer for answer in answers_of(generated_plan(), comparison)}
    assert answers["tuned-adam-momentum"]["head"] == (
        "Learning rates tuned equally: Adam against SGD with momentum: of 2 problems, Adam ends better on 2."
    )
    assert [detail["verdict"] for detail in answers["tuned-adam-momentum"]["details"]] == ["better", "better"]
    assert "n = 6" in answers["tuned-adam-momentum"]["details"][0]["text"]


@pytest.mark.parametrize(
    ("absent", "arm"), [("adam", "tuned"), ("sgd", "tuned"), ("momentum", "tuned"), ("", "default")]
)
def test_what_is_absent_is_said_not_to_be_tested(absent: str, arm: str) -> None:
    runs = generated_runs(0)
    runs = runs[(runs["optimizer"] != absent) & (runs["arm"].eq(arm) | (arm == "tuned"))]
    plan = generated_plan(arms=["default", "tuned"] if arm == "tuned" else ["default"])
    plan = of_optimizers(plan, [name for name in plan.optimizers if name != absent])
    selections = [s for s in generated_selections() if s["optimizer"] != absent] if arm == "tuned" else []
    found = compare_runs(plan, runs, generated_history(runs), selections, NO_EXAMPLES)
    heads = " ".join(answer["head"] for answer in answers_of(plan, found))
    assert ("not tested" in heads) == (absent in {"adam", "sgd", "momentum"} or arm == "default")
    assert set(found.summary["arm"]) == ({"default", "tuned"} if arm == "tuned" else {"default"})


def test_nothing_at_all_still_compares() -> None:
    runs = generated_runs(0).iloc[:0]
    found = compare_runs(generated_plan(), runs, generated_history(generated_runs(0)).iloc[:0], [], NO_EXAMPLES)
    assert all(getattr(found, name).empty for name in set(TABLES) - {"coverage"})  # that is of the method alone


def test_a_comparison_comes_back_from_its_files(comparison: Comparison, tmp_path: Path) -> None:
    write_comparison(comparison, tmp_path)
    again = read_comparison(tmp_path)
    for name in TABLES:
        written = getattr(comparison, name).reset_index(drop=True)
        assert_frame_equal(getattr(again, name), written, check_dtype=False)
    assert again.claims == comparison.claims


def test_results_hold_the_same_codes_whatever_the_language_of_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "COVERAGE_TRIALS", 2)
    runs = generated_runs(0)
    tables = {"runs": (runs, RUNS), "history": (generated_history(runs), HISTORY), "examples": (NO_EXAMPLES, EXAMPLES)}
    written = {}
    for language in ("en", "es"):
        folder = tmp_path / language
        for name, (table, columns) in tables.items():
            write_table(table, columns, folder / f"{name}.parquet")
        plan = generated_plan(report={"title": None, "reference": "momentum", "language": language})
        (folder / "selections.json").write_text(json.dumps(generated_selections()))
        compare_results(plan, folder)
        files = [*sorted((folder / "comparison").iterdir()), folder / "claims.json"]
        written[language] = {file.name: file.read_bytes() for file in files}
    assert len(written["en"]) == len(TABLES) + 1 and written["en"] == written["es"]


def test_scores_are_each_runs_own_in_the_order_of_the_examples() -> None:
    examples = pd.DataFrame(
        [("b", 3, 0.3), ("a", 2, 0.2), ("b", 1, 0.1), ("a", 7, 0.7), ("b", 2, 0.25)], columns=list(EXAMPLES)
    )
    assert {run: list(scores) for run, scores in scores_by_run(examples).items()} == {
        "a": [0.2, 0.7],
        "b": [0.1, 0.25, 0.3],
    }
    assert scores_by_run(empty_table(EXAMPLES)) == {}
