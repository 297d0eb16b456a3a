"""Declared contrasts: pairs, both sources of variance, divergences as the worst result, and what changes no verdict."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from descentlab.analysis.choice_noise import ChoiceNoise, ProblemNoise
from descentlab.analysis.contrasts import contrast, declared_pairs, remarks_on_looks
from descentlab.analysis.pairing import PairedRuns, PairingError
from descentlab.analysis.remarks import unpack_remarks
from descentlab.analysis.statistics.paired import estimate_crossed, estimate_difference
from descentlab.analysis.statistics.stages import Stage
from descentlab.analysis.statistics.verdicts import benjamini_hochberg, holm
from descentlab.analysis.tuning_effects import TuningEffects
from descentlab.experiment.looks import Contrast, Look
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import RUNS
from descentlab.storage.tables import check_table
from support.comparison_fixture import ADVANTAGE, PROBLEMS, generated_plan, generated_runs, with_problems
from support.comparison_fixture import SEEDS as GENERATED_SEEDS
from support.generated_comparisons import final, generated_comparison, row

SEEDS = 10
EXAMPLES = 40


def scored_runs(
    seed: int, names: tuple[str, ...] = ("sgd", "momentum", "adam")
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Final runs whose test metric is the mean of their scores; adam better by 0.05, sgd by nothing."""
    generator = np.random.default_rng(seed)
    rows, scores = [], {}
    for problem, higher in PROBLEMS.items():
        shared = generator.normal(0, 0.3, (SEEDS, EXAMPLES))
        for number, name in enumerate(names):
            values = 0.5 + 0.05 * (number == 2) + shared + generator.normal(0, 0.02, (SEEDS, EXAMPLES))
            for run_seed in range(SEEDS):
                run_id = f"{problem}.{name}.{run_seed}"
                scores[run_id] = values[run_seed] * (1 if higher else -1)
                rows.append(
                    {
                        **{column: 0 if about.dtype != "str" else "" for column, about in RUNS.items()},
                        "run_id": run_id,
                        "problem": problem,
                        "optimizer": name,
                        "arm": "tuned",
                        "phase": "final",
                        "seed": run_seed,
                        "status": "finished",
                        "init_hash": f"i{run_seed}",
                        "split_hash": f"s{run_seed}",
                        "higher_is_better": higher,
                        "test_metric": scores[run_id].mean(),
                    }
                )
    return check_table(pd.DataFrame(rows), RUNS, "scored"), scores


def plan_of(*names: str) -> TrainingPlan:
    plan = generated_plan(arms=["tuned"])
    return replace(plan, optimizers=dict.fromkeys(names, plan.optimizers["sgd"]))


PLAN = plan_of("sgd", "momentum", "adam")


def judged(table: pd.DataFrame) -> list[str]:
    return table.sort_values(["problem", "first", "second"])["verdict"].tolist()


def test_pairs_are_declared_by_name_alone() -> None:
    assert declared_pairs(["adam", "sgd", "momentum", "lion"], "momentum") == {
        ("adam", "sgd"): "primary",
        ("adam", "momentum"): "primary",
        ("sgd", "momentum"): "exploratory",
        ("lion", "momentum"): "exploratory",
    }
    assert declared_pairs(["sgd"], "momentum") == {}


def test_examples_and_seeds_both_widen_the_interval() -> None:
    finals, scores = scored_runs(0)
    row = contrast(PLAN, finals, scores).iloc[0]
    d = np.stack([scores[f"up.adam.{s}"] - scores[f"up.sgd.{s}"] for s in range(SEEDS)])
    expected = estimate_crossed(d)
    assert (row["first"], row["second"], row["problem"]) == ("adam", "sgd", "up")
    assert (row["low"], row["high"]) == pytest.approx(expected.interval())
    assert row["example_share"] == pytest.approx(expected.example_variance / expected.variance)
    alone = contrast(PLAN, finals, {}).iloc[0]
    assert (alone["low"], alone["high"]) == pytest.approx(estimate_difference(d.mean(axis=1)).interval())


def test_primary_and_exploratory_contrasts_are_families_of_their_own() -> None:
    finals, scores = scored_runs(0)
    table = contrast(PLAN, finals, scores)
    primary = (table["declared"] == "primary").to_numpy()
    assert 1 < primary.sum() < len(table)
    np.testing.assert_allclose(table.loc[primary, "p_corrected"], holm(table.loc[primary, "p"].to_numpy()))
    np.testing.assert_allclose(
        table.loc[~primary, "p_corrected"], benjamini_hochberg(table.loc[~primary, "p"].to_numpy())
    )


def test_what_was_tuned_on_too_narrow_a_grid_carries_the_mark() -> None:
    finals, scores = scored_runs(0)
    marked = contrast(PLAN, finals, scores, TuningEffects(undertuned={("up", "tuned", "adam")}))
    named = {
        (row["problem"], row["first"]): [entry["name"] for entry in unpack_remarks(row["remarks"])]
        for row in marked.to_dict("records")
    }
    assert named["up", "adam"] == ["adam"]
    assert all(not names for (problem, first), names in named.items() if (problem, first) != ("up", "adam"))
    plain = contrast(PLAN, finals, scores)
    pd.testing.assert_frame_equal(marked.drop(columns="remarks"), plain.drop(columns="remarks"))


def test_the_noise_of_tuning_widens_the_interval() -> None:
    finals, scores = scored_runs(0)
    noise = ChoiceNoise({"up": ProblemNoise({"adam": np.outer([0.0, 0.1], np.ones(SEEDS))}, np.array([0.5, 0.5]), 4)})
    wide, plain = (contrast(PLAN, finals, scores, TuningEffects(one)).iloc[0] for one in (noise, ChoiceNoise()))
    assert (wide["problem"], wide["first"], wide["difference_mean"]) == ("up", "adam", plain["difference_mean"])
    assert wide["low"] < plain["low"] < plain["high"] < wide["high"]
    assert plain["choice_share"] == 0 and wide["choice_share"] > 0.5
    others = [
        contrast(PLAN, finals, scores, TuningEffects(one)).query("problem != 'up'")[["low", "p"]]
        for one in (noise, ChoiceNoise())
    ]
    pd.testing.assert_frame_equal(*others)


def test_runs_that_diverged_lost() -> None:
    finals, scores = scored_runs(0)
    finals.loc[(finals["optimizer"] == "adam") & (finals["problem"] == "up"), "status"] = "diverged"
    table = contrast(PLAN, finals, scores)
    row = table[(table["first"] == "adam") & (table["second"] == "sgd") & (table["problem"] == "up")].iloc[0]
    assert (row["verdict"], row["n"]) == ("worse", 0)
    assert row["p"] == pytest.approx(binomtest(0, SEEDS).pvalue)
    assert unpack_remarks(row["remarks"]) == [
        {"code": "diverged", "name": "adam", "n": 10, "seeds": 10},
        {"code": "wins", "won": 0, "decided": 10},
    ]


def test_runs_that_were_scored_by_other_examples_are_compared_by_their_means() -> None:
    finals, scores = scored_runs(0)
    adam = finals[(finals["optimizer"] == "adam") & (finals["problem"] == "up")]
    cut = scores | {run: scores[run][:-1] for run in adam["run_id"]}
    without = {run: score for run, score in scores.items() if run not in set(adam["run_id"])}
    pd.testing.assert_frame_equal(contrast(PLAN, finals, cut), contrast(PLAN, finals, without))


def test_both_diverged_is_no_evidence() -> None:
    finals, scores = scored_runs(0)
    finals.loc[finals["problem"] == "up", "status"] = "diverged"
    table = contrast(PLAN, finals, scores)
    assert set(table.loc[table["problem"] == "up", "verdict"]) == {"not tested"}


def pair_of(first: list[float], second: list[float], margin: float = 0.02, **status: list[str]) -> PairedRuns:
    sides = [
        pd.DataFrame(
            {
                "optimizer": name,
                "run_id": [f"{name}.{i}" for i in range(len(values))],
                "higher_is_better": True,
                "status": status.get(name, ["finished"] * len(values)),
                "init_hash": "i",
                "split_hash": "s",
                "test_metric": values,
            }
        )
        for name, values in (("adam", first), ("sgd", second))
    ]
    return PairedRuns(sides[0], sides[1], {}, "somewhere", margin)


def test_a_divergence_of_the_other_side_does_not_turn_a_negligible_difference_against_the_first() -> None:
    adam, sgd = [0.9] * 10, [0.9001] * 10
    assert pair_of(adam, sgd).judge(1.0, 0.05)["verdict"] == "negligible"
    pair = pair_of(adam, sgd, sgd=["diverged"] + ["finished"] * 9)
    assert pair.judge(1.0, 0.05)["verdict"] == "inconclusive"  # nine wins by a hundredth of a margin are none
    assert pair.remarks == [
        {"code": "diverged", "name": "sgd", "n": 1, "seeds": 10},
        {"code": "wins, some within", "won": 1, "decided": 1, "level": 9},
    ]
    assert pair_of(adam, sgd, margin=0.0, sgd=["diverged"] + ["finished"] * 9).test.wins == (1, 10, 0)


def test_a_divergence_loses_to_what_finished_not_to_what_is_missing() -> None:
    pair = pair_of(
        [0.9] * 4, [0.8] * 4, adam=["diverged"] * 3 + ["finished"], sgd=["missing", "failed", "diverged", "finished"]
    )
    assert (pair.test.one_sided, pair.test.wins, pair.dropped, pair.remarks) == (False, (1, 1, 0), 3, [])


def test_a_diverged_run_must_be_a_pair_too() -> None:
    finals, scores = scored_runs(0)
    mine = (finals["optimizer"] == "adam") & (finals["problem"] == "up") & (finals["seed"] == 4)
    finals.loc[mine, ["status", "split_hash"]] = ["diverged", "other"]
    with pytest.raises(PairingError, match="seeds: 4$"):
        contrast(PLAN, finals, scores)


def test_an_inconclusive_row_says_what_would_settle_it() -> None:
    finals, scores = scored_runs(0)
    noise = np.random.default_rng(1).normal(0, 0.1, len(finals))
    finals["test_metric"] += noise
    table = contrast(PLAN, finals, {})
    inconclusive = table["verdict"] == "inconclusive"
    assert inconclusive.any()
    assert (table.loc[inconclusive, "seeds_needed"] > SEEDS).all()
    assert table.loc[~inconclusive, "seeds_needed"].isna().all()


def test_permuting_rows_changes_nothing() -> None:
    finals, scores = scored_runs(3)
    shuffled = finals.sample(frac=1, random_state=0)
    assert judged(contrast(PLAN, finals, scores)) == judged(contrast(PLAN, shuffled, scores))


def test_scaling_a_metric_with_its_margin_changes_no_verdict() -> None:
    finals, scores = scored_runs(3)
    larger = finals.assign(test_metric=finals["test_metric"] * 1000)
    plan = with_problems(PLAN, margin=1000 * PLAN.problems["up"].margin)
    before = contrast(PLAN, finals, scores)
    after = contrast(plan, larger, {run: values * 1000 for run, values in scores.items()})
    assert judged(before) == judged(after)
    np.testing.assert_allclose(after["low_corrected"], before["low_corrected"] * 1000)


def test_renaming_changes_no_verdict() -> None:
    finals, scores = scored_runs(3)
    names = {"sgd": "momentum", "momentum": "sgd"}
    renamed = finals.assign(optimizer=finals["optimizer"].replace(names))
    found, other = contrast(PLAN, finals, scores), contrast(PLAN, renamed, scores)
    for second, renamed_second in names.items():
        one = found[(found["first"] == "adam") & (found["second"] == second)]
        two = other[(other["first"] == "adam") & (other["second"] == renamed_second)]
        assert judged(one) == judged(two)


def test_the_same_optimizer_under_two_names_is_identical() -> None:
    finals, scores = scored_runs(3)
    mine = finals["optimizer"] == "adam"
    twin = finals[finals["optimizer"] == "sgd"].assign(optimizer="adam")
    table = contrast(PLAN, pd.concat([finals[~mine], twin]), scores)
    assert set(table.loc[(table["first"] == "adam") & (table["second"] == "sgd"), "verdict"]) == {"identical"}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_planted_differences_are_found_with_their_sign(problem: str) -> None:
    for optimizer, verdict in (("adam", "better"), ("sgd", "negligible"), ("rmsprop", "worse"), ("gd", "worse")):
        found = row(generated_comparison().contrasts, problem=problem, arm="tuned", first=optimizer, second="momentum")
        assert found["verdict"] == verdict
        assert found["n"] == GENERATED_SEEDS
        assert found["difference_mean"] == pytest.approx(ADVANTAGE[optimizer], abs=0.005)
        assert (
            found["low_corrected"]
            <= found["low"]
            <= found["difference_mean"]
            <= found["high"]
            <= found["high_corrected"]
        )


def test_primary_contrasts_are_adams() -> None:
    contrasts = generated_comparison().contrasts
    primary = contrasts[contrasts["declared"] == "primary"]
    assert {(a, b) for a, b in zip(primary["first"], primary["second"], strict=True)} == {
        ("adam", "sgd"),
        ("adam", "momentum"),
    }
    assert len(primary) == 2 * len(PROBLEMS) * 2


def generated_contrast(runs: pd.DataFrame, first: str = "adam", **where: str) -> dict[str, Any]:
    """An optimizer against momentum in the generated experiment, with these runs."""
    return row(contrast(generated_plan(), final(runs), {}), first=first, second="momentum", **where)


def test_a_side_that_diverged_is_not_averaged_away() -> None:
    runs = generated_runs(0)
    lost = (runs["optimizer"] == "adam") & (runs["phase"] == "final") & runs["seed"].isin([0, 1])
    runs.loc[lost, ["status", "test_metric"]] = ["diverged", 99.0]
    found = generated_contrast(runs, problem="up", arm="tuned")
    # Four wins of six say nothing; the mean of the four would have said "better".
    assert (found["verdict"], found["n"], found["n_dropped"]) == ("inconclusive", GENERATED_SEEDS - 2, 2)
    assert unpack_remarks(found["remarks"]) == [
        {"code": "diverged", "name": "adam", "n": 2, "seeds": 6},
        {"code": "wins", "won": 4, "decided": 6},
    ]
    assert found["p"] == pytest.approx(binomtest(4, 6).pvalue)
    assert found["difference_mean"] == pytest.approx(0.1, abs=0.01)


def test_one_seed_is_inconclusive() -> None:
    runs = generated_runs(0)
    found = generated_contrast(runs[runs["seed"] == 0], problem="up", arm="tuned")
    assert (found["verdict"], found["n"]) == ("inconclusive", 1)
    assert math.isnan(found["low"])


def test_identical_runs_are_identical() -> None:
    runs = generated_runs(0)
    finals = runs["phase"] == "final"
    of = {name: runs[finals & (runs["optimizer"] == name)].index for name in ("momentum", "sgd")}
    runs.loc[of["sgd"], "test_metric"] = runs.loc[of["momentum"], "test_metric"].to_numpy()
    found = generated_contrast(runs, "sgd", problem="down", arm="default")
    assert (found["verdict"], found["difference_mean"], found["p"]) == ("identical", 0.0, 1.0)


def test_equal_rounded_differences_are_no_certainty() -> None:
    """Two-decimal accuracies of two seeds that differ alike: their spread is 0, and two wins of two prove little."""
    pair = pair_of([0.95, 0.96], [0.94, 0.95], margin=0.005)
    judged = pair.judge(pair.test.p, 0.05)
    assert (pair.test.wins, pair.test.p, judged["verdict"]) == ((2, 2, 0), 0.5, "inconclusive")
    assert np.isnan([judged["low"], judged["high"], judged["low_corrected"], judged["high_corrected"]]).all()
    assert pair.remarks
    eight = pair_of([0.95] * 8, [0.94] * 8, margin=0.005)
    assert (eight.test.p, eight.judge(eight.test.p, 0.05)["verdict"]) == (2 / 2**8, "better")
    same = pair_of([0.95] * 3, [0.95] * 3)
    assert (same.test.p, same.judge(same.test.p, 0.05)["verdict"]) == (1.0, "identical")


@pytest.mark.parametrize(("seeds", "verdict"), [(2, "inconclusive"), (5, "inconclusive"), (6, "negligible")])
def test_equal_differences_within_the_margin_are_counted_too(seeds: int, verdict: str) -> None:
    """Of five pairs that all lie within the margin, 2 / 2⁵ would with even odds: not enough to say that most do."""
    pair = pair_of([0.95] * seeds, [0.94] * seeds, margin=0.02)
    # No rejection, which would loosen the levels of the family's other tests.
    assert (pair.test.p, pair.judge(pair.test.p, 0.05)["verdict"]) == (1.0, verdict)
    assert pair.remarks == [{"code": "wins, some within", "won": 0, "decided": 0, "level": seeds}]


@given(st.lists(st.integers(10, 99), min_size=2, max_size=5), st.integers(1, 9), st.sampled_from([100, 1000, 7]))
def test_whichever_numbers_differ_alike(hundredths: list[int], shift: int, scale: int) -> None:
    """0.92 − 0.89 and 0.71 − 0.68 are not the same number to the last digit."""
    first, second = ([(value + by) / scale for value in hundredths] for by in (shift, 0))
    pair = pair_of(first, second, margin=1e-9)
    judged = pair.judge(pair.test.p, 0.05)
    assert (judged["verdict"], pair.test.p) == ("inconclusive", 2 / 2 ** len(hundredths))
    assert np.isnan([judged["low"], judged["high_corrected"]]).all()


def test_an_optimizer_against_itself_is_rarely_told_apart_by_rounded_metrics() -> None:
    """Two seeds, accuracies of two decimals: the t test alone would tell 12.7 % apart."""
    generator = np.random.default_rng(0)
    draws = np.round(0.95 + 0.01 * generator.normal(size=(400, 2, 2)), 2)
    pairs = [pair_of(first.tolist(), second.tolist(), margin=0.005) for first, second in draws]
    directional = [pair.judge(pair.test.p, 0.05)["verdict"] in ("better", "worse") for pair in pairs]
    assert np.mean(directional) < 0.05


def test_remarks_say_at_which_look_a_contrast_was_judged_and_why_it_went_no_further() -> None:
    """Looks at 10, 20 and 40 seeds: the first extends two contrasts, the second leaves one and can't pay for the other."""
    plan = generated_plan(seeds={"final": 10, "most": 40, "tuning": 2})
    left, unpaid, other = (Contrast("up", "tuned", "adam", name) for name in ("sgd", "momentum", "rmsprop"))
    looks = [
        Look(number=1, contrasts=(left, unpaid)),
        Look(number=2, left=(left,), unpaid=(unpaid,)),
    ]
    second, first = Stage.at([10, 20, 40], 20), Stage.at([10, 20, 40])
    later = {"code": "settled later", "look": 2, "looks": 3}
    assert remarks_on_looks(looks, left, second, plan) == [later, {"code": "no seeds settle"}]
    assert remarks_on_looks(looks, unpaid, second, plan) == [later, {"code": "budget spent"}]
    assert remarks_on_looks(looks, other, first, plan) == []
    assert remarks_on_looks([], left, first, plan) == []
