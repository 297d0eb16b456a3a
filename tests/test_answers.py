"""Words around computed numbers: figures, intervals, plurals."""

from __future__ import annotations

import math
from typing import Any

import pytest

from descentlab.answers import answer_claim, interval, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01234, "0.0123"), (-0.5, "\N{MINUS SIGN}0.5"), (12345.0, "12,345"), (1e-9, "1e\N{MINUS SIGN}09"),
        (math.nan, "unknown"), (math.inf, "never"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_signed_number_says_so() -> None:
    assert (number(0.5, signed=True), number(-0.5, signed=True)) == ("+0.5", "\N{MINUS SIGN}0.5")


def test_an_interval_stands_with_its_n() -> None:
    assert interval(0.5, 0.4, 0.6, 10) == "0.5 [0.4, 0.6], n = 10"
    assert interval(0.5, math.nan, math.nan, 1) == "0.5 (no interval), n = 1"


def piece(where: str, verdict: str, bound: str = "") -> dict[str, Any]:
    return {
        "where": where,
        "verdict": verdict,
        "estimate": 2.0,
        "low": 1.5,
        "high": None,
        "n": 10,
        "bound": bound,
        "note": "so",
    }


def test_what_the_ledger_judged_is_what_the_first_page_says() -> None:
    head = "{subject}: faster on {yes} of {problems}, slower on {no}, {rest} open:"
    entry = {"id": "c", "reason": "", "pieces": [piece("a", "supported", "at least"), piece("b", "inconclusive")]}
    answer = answer_claim([{"id": "other"}, entry], "speed", "c", "Speed", head)
    assert answer["head"] == "Speed: faster on 1 of 2 problems, slower on 0, 1 open:"
    assert answer["details"][0] == {"problem": "a", "verdict": "supported", "text": "≥ 2 [1.5, unknown], n = 10; so"}
    none = answer_claim([{"id": "c", "reason": "the experiment lacks Adam", "pieces": []}], "speed", "c", "Speed", head)
    assert none == {"id": "speed", "head": "Speed is not tested: the experiment lacks Adam.", "details": []}
