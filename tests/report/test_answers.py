"""Words around computed numbers: figures, intervals, plurals."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from descentlab.report.answers import answer_claim, answer_contrast, answer_ranking, write_answers
from descentlab.report.formatting import interval, number
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


def piece(where: str, verdict: str, bound: str = "") -> dict[str, Any]:
    return {
        "place": {"code": "problem", "problem": where},
        "verdict": verdict,
        "not_slightly": False,
        "estimate": 2.0,
        "low": 1.5,
        "high": None,
        "n": 10,
        "bound": bound,
        "remarks": [{"code": "counted"}],
    }


def test_what_the_ledger_judged_is_what_the_first_page_says() -> None:
    entry = {"id": "fewer-steps", "reason": None, "pieces": [piece("a", "supported", "at least"), piece("b", "mixed")]}
    answer = answer_claim([{"id": "other"}, entry], "speed", "tuned")
    assert answer["head"] == (
        "Speed, tuned rates: on 1 of 2 problems Adam needs fewer updates than plain SGD to the medium target, on 0 it needs "
        "more; on 1 the result is inconclusive or negligible. Plain SGD's updates over Adam's; above 1, Adam is faster:"
    )
    (first, _) = answer["details"]
    assert (first["problem"], first["verdict"], first["not_slightly"]) == ("a", "supported", False)
    assert first["text"] == "≥ 2 [1.5, unknown], n = 10; counted, the same for every seed"
    entry = {"id": "fewer-steps", "reason": {"code": "lacks", "names": ["adam"]}, "pieces": []}
    assert answer_claim([entry], "speed", "tuned") == {
        "id": "speed",
        "head": "Speed, tuned rates is not tested: the experiment lacks Adam.",
        "details": [],
    }


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("supported", "Adam has a wider range of good rates than plain SGD"),
        ("contradicted", "Adam has a narrower range of good rates than plain SGD"),
        ("inconclusive", "the runs can't settle whether Adam has a wider range of good rates than plain SGD"),
        ("negligible", "Adam's range of good rates is as wide as plain SGD's, within the margin"),
    ],
)
def test_of_one_problem_it_is_said_without_counting(verdict: str, said: str) -> None:
    entry = {"id": "adam-rate", "reason": None, "pieces": [piece("a", verdict)]}
    assert answer_claim([entry], "sensitivity", "default")["head"] == (
        f"Learning rate, default rates: {said}. Difference of the ranges in decades; positive means Adam's is wider:"
    )


def test_one_contrast_and_one_ranking_are_not_counted() -> None:
    row = {
        "problem": "up",
        "arm": "tuned",
        "first": "adam",
        "second": "sgd",
        "verdict": "negligible",
        "remarks": "",
        "difference_mean": 0.001,
        "low_holm": -0.01,
        "high_holm": 0.012,
        "n": 6,
    }
    said = answer_contrast(generated_plan(), pd.DataFrame([row]), "tuned", "sgd")
    assert said["head"] == "Learning rates tuned equally: Adam against plain SGD: the difference is negligible."
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
    best = "The best mean is not always better than the next:"
    for names, found in ((["adam"], "one optimizer has"), (["adam", "sgd"], "2 optimizers share")):
        summary = pd.DataFrame([{**row, "optimizer": name} for name in names])
        said = answer_ranking(generated_plan(), summary, "tuned")
        assert said["head"] == f"Learning rates tuned equally: {found} the best mean test metric. {best}"


def test_the_first_page_says_what_the_contrasts_found() -> None:
    found = generated_comparison()
    answers = write_answers(generated_plan(), found.summary, found.contrasts, found.claims, found.alarms)
    (said,) = [answer for answer in answers if answer["id"] == "tuned-adam-momentum"]
    assert values_of(said["head"]) == ["adam", "momentum", 2, "adam", 2] and "better" in said["head"]
    assert [detail["verdict"] for detail in said["details"]] == ["better", "better"]
    rows = found.contrasts.query("arm == 'tuned' and first == 'adam' and second == 'momentum'")
    for detail, row in zip(said["details"], rows.to_dict("records"), strict=True):
        expected = [row["difference_mean"], row["low_holm"], row["high_holm"], SEEDS]
        assert values_of(detail["text"])[:4] == pytest.approx(expected, rel=5e-3)
