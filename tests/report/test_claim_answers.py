"""The first page's sentences on claims: what the ledger judged, each problem counted once for each kind of rates."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from descentlab.analysis.remarks import remark
from descentlab.experiment.plan import TrainingPlan
from descentlab.optimizers.arms import SPEED_ARM
from descentlab.report.claim_answers import BY_CLAIM, answer_claim
from descentlab.report.formatting import BOUND_SIGNS, interval, optimizer_title
from descentlab.report.marks import Marks
from descentlab.report.phrases import ARM_WORDS, reason_words, remark_words
from support.comparison_fixture import PROBLEMS, generated_plan
from support.generated_comparisons import generated_comparison
from support.report_evidence import values_of


def piece(where: str, verdict: str, bound: str = "", code: str = "problem") -> dict[str, Any]:
    return {
        "place": {"code": code, "problem": where},
        "verdict": verdict,
        "size": "",
        "estimate": 2.0,
        "low": 1.5,
        "high": None,
        "n": 10,
        "bound": bound,
        "remarks": [{"code": "counted"}],
    }


NAMED = {"adam": optimizer_title("adam"), "sgd": optimizer_title("sgd")}


def of_one_problem(plan: TrainingPlan) -> TrainingPlan:
    return replace(plan, problems={"up": plan.problems["up"]})


def test_what_the_ledger_judged_is_what_the_first_page_says() -> None:
    pieces = [piece("up", "supported", "at least"), piece("down", "negligible")]
    entry = {"id": "fewer-steps", "reason": None, "pieces": pieces}
    (answer,) = answer_claim(generated_plan(), [{"id": "other"}, entry], Marks(), "speed")
    # On 1 of 2 problems Adam beats plain SGD, on 0 it is the other way round, on 1 neither.
    assert answer["head"].startswith(BY_CLAIM["speed"].subject.format(rates=ARM_WORDS["tuned"].rates))
    assert values_of(answer["head"])[:6] == [1, 2, "adam", "sgd", 0, 1]
    (first, _) = answer["details"]
    assert (first["problem"], first["verdict"], first["size"]) == ("up", "supported", "")
    estimate = f"{BOUND_SIGNS['at least']}{interval(2.0, 1.5, math.nan, 10)}"
    assert first["text"] == f"{estimate}; {remark_words([remark('counted')])}"


def test_a_problem_counts_once_for_each_kind_of_rates() -> None:
    claims = generated_comparison().claims
    pieces = next(entry["pieces"] for entry in claims if entry["id"] == "fewer-steps")
    assert len(pieces) == 2 * len(PROBLEMS)
    answers = answer_claim(generated_plan(), claims, Marks(), "speed")
    assert len({answer["id"] for answer in answers}) == 2
    for answer, arm in zip(answers, ("tuned", SPEED_ARM), strict=True):
        assert answer["head"].startswith(BY_CLAIM["speed"].subject.format(rates=ARM_WORDS[arm].rates))
        assert values_of(answer["head"])[1] == len(PROBLEMS)
        assert [line["problem"] for line in answer["details"]] == list(PROBLEMS)


@pytest.mark.parametrize(
    "pieces", [[piece("up", "supported")], [piece("up", "supported"), piece("down", "not tested")]]
)
def test_a_problem_without_evidence_is_counted_as_not_tested(pieces: list[dict[str, Any]]) -> None:
    """Adam needs fewer updates "on 1 of 1" would hide that the other problem said nothing."""
    entry = {"id": "fewer-steps", "reason": None, "pieces": pieces}
    (answer,) = answer_claim(generated_plan(), [entry], Marks(), "speed")
    assert values_of(answer["head"])[:7] == [1, 2, "adam", "sgd", 0, 0, 1]
    assert [(line["problem"], line["verdict"]) for line in answer["details"]] == [
        ("up", "supported"),
        ("down", "not tested"),
    ]


def test_a_claim_that_is_not_tested_has_its_reason_and_no_details() -> None:
    reason = remark("lacks", names=["adam"])
    (answer,) = answer_claim(
        generated_plan(), [{"id": "fewer-steps", "reason": reason, "pieces": []}], Marks(), "speed"
    )
    assert (answer["id"], answer["details"]) == ("speed", [])
    assert reason_words(reason) in answer["head"] and BY_CLAIM["speed"].scale not in answer["head"]


@pytest.mark.parametrize(
    ("verdict", "phrase"),
    [("supported", "supported"), ("contradicted", "contradicted"), ("inconclusive", ""), ("negligible", "negligible")],
)
def test_of_one_problem_it_is_said_without_counting(verdict: str, phrase: str) -> None:
    entry = {"id": "adam-rate", "reason": None, "pieces": [piece("up", verdict)]}
    said = BY_CLAIM["sensitivity"]
    (answer,) = answer_claim(of_one_problem(generated_plan(arms=["default"])), [entry], Marks(), "sensitivity")
    subject = said.subject.format(rates=ARM_WORDS["default"].rates)
    assert answer["head"] == f"{subject}: {said.alone[phrase].format(**NAMED)}. {said.scale}"
    assert not any(isinstance(value, float) for value in values_of(answer["head"]))
