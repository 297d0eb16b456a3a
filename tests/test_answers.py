"""Words around computed numbers: figures, intervals, plurals."""

from __future__ import annotations

import math

import pytest

from descentlab.answers import counted, interval, joined, number


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


def test_one_is_singular() -> None:
    noun = "rate on the edge"
    assert [counted(n, noun) for n in (0, 1, 2)] == ["0 rates on the edge", "1 rate on the edge", "2 rates on the edge"]
    assert counted(2, "problem") == "2 problems"


def test_lists_end_with_and() -> None:
    assert [joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
