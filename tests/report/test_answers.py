"""The first page's statements: the phrase that a verdict chooses, and computed numbers with intervals and n."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from descentlab.analysis.advantages import LEAST_PROBLEMS
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.experiment.traits import TRAITS
from descentlab.report.answers import (
    PHRASES,
    answer_contrast,
    answer_ranking,
    answer_when,
    write_answers,
)
from descentlab.report.formatting import interval, number
from descentlab.report.marks import Marks
from descentlab.report.phrases import ARM_WORDS
from descentlab.report.trait_phrases import TRAIT_WORDS
from support.comparison_fixture import SEEDS, generated_plan
from support.generated_comparisons import generated_comparison
from support.report_evidence import values_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01234, "0.0123"),
        (-0.5, "\N{MINUS SIGN}0.5"),
        (12345.0, "12,345"),
        (1e-9, "1e\N{MINUS SIGN}09"),
        (math.nan, "unknown"),
        (math.inf, "never"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_signed_number_says_so() -> None:
    assert (number(0.5, signed=True), number(-0.5, signed=True)) == ("+0.5", "\N{MINUS SIGN}0.5")


def test_an_interval_stands_with_its_n() -> None:
    assert interval(0.5, 0.4, 0.6, 10) == "0.5 [0.4, 0.6], n = 10"
    assert interval(0.5, math.nan, math.nan, 1) == "0.5 (no interval), n = 1"


def test_one_contrast_and_one_ranking_are_not_counted() -> None:
    row = {
        "problem": "up",
        "arm": "tuned",
        "first": "adam",
        "second": "sgd",
        "verdict": "negligible",
        "remarks": "",
        "difference_mean": 0.001,
        "low_corrected": -0.01,
        "high_corrected": 0.012,
        "n": 6,
        "fit_low": math.nan,
    }
    plan = generated_plan()
    alone = replace(plan, problems={"up": plan.problems["up"]})
    said = answer_contrast(alone, pd.DataFrame([row]), Marks(), "tuned", "sgd")
    assert said["head"].startswith(ARM_WORDS["tuned"].title)
    assert values_of(said["head"]) == ["adam", "sgd"] and PHRASES[Verdict.NEGLIGIBLE] in said["head"]
    row = {
        "problem": "up",
        "arm": "tuned",
        "optimizer": "adam",
        "rank": 1,
        "n_finished": 6,
        "test_metric_mean": 0.9,
        "test_metric_low": 0.8,
        "test_metric_high": 1.0,
    }
    for names, counted in ((["adam"], []), (["adam", "sgd"], [2])):
        summary = pd.DataFrame([{**row, "optimizer": name} for name in names])
        said = answer_ranking(alone, summary, Marks(), "tuned")
        assert said["head"].startswith(ARM_WORDS["tuned"].title) and values_of(said["head"]) == counted
        (best,) = said["details"]
        assert values_of(best["text"]) == [*names, 0.9, 0.8, 1, 6]


def test_a_problem_without_the_contrast_is_not_tested_and_counted() -> None:
    """Adam ends better "on 1 of 1" would hide that the other problem said nothing."""
    found = generated_comparison()
    rows = found.contrasts[found.contrasts["problem"] == "up"]
    said = answer_contrast(generated_plan(), rows, Marks(), "tuned", "momentum")
    assert values_of(said["head"]) == ["adam", "momentum", 2, "adam", 1, 1]
    assert PHRASES[Verdict.NOT_TESTED] in said["head"]
    assert [detail["verdict"] for detail in said["details"]] == ["better", "not tested"]


def test_a_problem_without_a_mean_is_named_and_not_counted_among_those_with_one() -> None:
    summary = generated_comparison().summary
    summary = summary[(summary["problem"] == "up") | (summary["arm"] == "default")]
    said = answer_ranking(generated_plan(), summary, Marks(), "tuned")
    assert [(line["problem"], line["verdict"]) for line in said["details"]] == [("up", ""), ("down", "not tested")]
    assert values_of(said["head"]) == []  # one optimizer on one problem


def test_the_first_page_says_what_the_contrasts_found() -> None:
    found = generated_comparison()
    answers = write_answers(generated_plan(), found, pd.DataFrame())
    (said,) = [answer for answer in answers if answer["id"] == "tuned-adam-momentum"]
    assert values_of(said["head"]) == ["adam", "momentum", 2, "adam", 2]
    assert PHRASES[Verdict.BETTER] in said["head"]
    assert [detail["verdict"] for detail in said["details"]] == ["better", "better"]
    rows = found.contrasts.query("arm == 'tuned' and first == 'adam' and second == 'momentum'")
    for detail, row in zip(said["details"], rows.to_dict("records"), strict=True):
        expected = [row["difference_mean"], row["low_corrected"], row["high_corrected"], SEEDS]
        assert values_of(detail["text"])[:4] == pytest.approx(expected, rel=5e-3)


def test_the_first_page_says_which_traits_go_with_adams_advantage_from_fifteen_problems_on() -> None:
    names = [f"p{i}" for i in range(LEAST_PROBLEMS)]
    traits = pd.DataFrame({"problem": names, **dict.fromkeys(TRAITS, 0.0)}).assign(noise_scale=range(LEAST_PROBLEMS))
    pair = {"arm": "tuned", "first": "adam", "second": "sgd", "margin": 1.0, "verdict": "better", "n": 3}
    rows = pd.DataFrame({"problem": names, "difference_mean": range(LEAST_PROBLEMS)})
    rows = rows.assign(low_corrected=0.0, high_corrected=1.0, **pair)
    (said,) = answer_when(generated_plan(), rows, traits, Marks())
    assert [name for name in TRAIT_WORDS.values() if name in said["head"]] == [TRAIT_WORDS["noise_scale"]]
    assert values_of(said["head"])[-3:] == [LEAST_PROBLEMS, 1, 1]  # n, and what is left without one problem
    assert not answer_when(generated_plan(), rows[1:], traits[1:], Marks())
    assert not answer_when(generated_plan(), rows, pd.DataFrame(), Marks())
