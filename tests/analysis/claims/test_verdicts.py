"""The verdict rule on claims, by hand, and what it must not depend on."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from descentlab.analysis.claims.ledger import ESTIMANDS
from descentlab.analysis.claims.verdicts import (
    CLAIM_VERDICTS,
    Claim,
    Piece,
    judge_claim,
    judge_piece,
    read_claims,
    summarise_verdicts,
)
from descentlab.analysis.statistics.paired import Estimate, estimate_difference
from descentlab.i18n import wording
from descentlab.i18n.wording import spoken

CLAIM = Claim("a-claim", "a slide", "un reclamo", "a claim", unit="metric", margin=0.1, least_n=5)


def piece(mean: float, spread: float, n: int = 10, **others: object) -> Piece:
    """Differences with this mean and standard deviation."""
    z = np.linspace(-1, 1, n)
    return Piece("somewhere", estimate_difference(mean + spread * z / z.std(ddof=1)), 0.1, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (piece(0.5, 0.1), "supported"),
        (piece(-0.5, 0.1), "contradicted"),
        (piece(0.0, 0.05), "negligible"),
        (piece(0.05, 0.02), "negligible"),  # above 0, but inside the margin
        (piece(0.05, 1.0), "inconclusive"),
        (piece(0.0, 0.0), "negligible"),  # identical
        (piece(0.5, 0.1, n=4), "inconclusive"),  # fewer than least_n
        (piece(0.5, 0.1, bound="at least"), "supported"),
        (piece(0.5, 0.1, bound="at most"), "inconclusive"),
        (piece(-0.5, 0.1, bound="at most"), "contradicted"),
        (piece(-0.5, 0.1, bound="at least"), "inconclusive"),
        (piece(0.0, 0.05, bound="at least"), "inconclusive"),  # only a lower bound is negligible
        (piece(0.5, 0.1, bound="unknown"), "inconclusive"),
        (piece(0.0, 0.05, equivalence=True), "supported"),
        (piece(0.5, 0.1, equivalence=True), "contradicted"),
        (piece(-0.5, 0.1, equivalence=True), "contradicted"),
        (piece(0.5, 0.1, wins=(10, 10)), "supported"),
        (piece(0.5, 0.1, wins=(0, 10)), "contradicted"),
        (piece(0.5, 0.1, wins=(8, 10)), "inconclusive"),
        (piece(0.5, 0.1, wins=(4, 4)), "inconclusive"),
        (piece(0.5, 0.1, wins=(0, 0)), "inconclusive"),
        (piece(0.0, 0.05, wins=(10, 10), equivalence=True), "contradicted"),
        (piece(0.0, 0.05, wins=(0, 10), equivalence=True), "contradicted"),
        (piece(0.0, 0.05, wins=(5, 10), equivalence=True), "inconclusive"),
        (piece(0.0, 1.0, bound="unknown", wins=(10, 10)), "supported"),
        (Piece("nowhere", estimate_difference(np.empty(0)), 0.1), "not tested"),
    ],
)
def test_one_piece(evidence: Piece, expected: str) -> None:
    assert judge_piece(CLAIM, evidence, 0.05) == expected


def test_slightly_has_an_upper_end() -> None:
    claim = Claim("worse", "", "", "", margin=0.1, slight_margins=3, least_n=5)
    assert judge_piece(claim, piece(0.2, 0.05), 0.05) == "supported"
    assert judge_piece(claim, piece(0.5, 0.05), 0.05) == "supported, and not slightly"
    assert judge_piece(claim, piece(0.31, 0.05), 0.05) == "supported"  # the interval reaches below 0.3


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "not tested"),
        (["not tested"], "not tested"),
        (["supported", "not tested"], "supported"),
        (["supported", "supported", "inconclusive"], "supported"),
        (["supported", "inconclusive"], "supported"),
        (["supported", "inconclusive", "inconclusive"], "inconclusive"),
        (["supported", "contradicted"], "mixed"),
        (["supported", "negligible"], "mixed"),
        (["negligible", "contradicted", "inconclusive"], "mixed"),
        (["negligible", "negligible"], "negligible"),
        (["supported, and not slightly", "supported"], "supported"),
        (["supported, and not slightly"] * 2, "supported, and not slightly"),
        (["inconclusive"], "inconclusive"),
    ],
)
def test_the_summary_of_pieces(verdicts: list[str], expected: str) -> None:
    assert expected in CLAIM_VERDICTS
    for order in itertools.permutations(verdicts):
        assert summarise_verdicts(list(order)) == expected


def test_holms_family_is_the_claim() -> None:
    lone, many = judge_claim(CLAIM, [piece(0.2, 0.25)], ""), judge_claim(CLAIM, [piece(0.2, 0.25)] * 8, "")
    assert lone["verdict"] == "supported"  # p = 0.032
    assert many["verdict"] == "inconclusive"
    assert many["pieces"][0]["low"] < lone["pieces"][0]["low"]
    assert many["pieces"][0]["p_holm"] == pytest.approx(min(1, 8 * lone["pieces"][0]["p_holm"]))


def test_an_entry_has_what_a_reader_needs_and_is_json() -> None:
    entry = judge_claim(CLAIM, [piece(0.05, 0.3, runs=["a", "b"])], "")
    (shown,) = entry["pieces"]
    assert entry["verdict"] == shown["verdict"] == "inconclusive"
    assert shown["n"] == 10 and shown["runs"] == ["a", "b"]
    assert shown["n_needed"] > 10
    assert shown["low"] < shown["estimate"] < shown["high"]
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry
    settled = judge_claim(CLAIM, [piece(0.5, 0.1)], "")["pieces"][0]
    assert settled["n_needed"] is None


def test_ratios_are_shown_as_ratios() -> None:
    claim = Claim("faster", "", "", "", unit="ratio", margin=0.1, least_n=5)
    (shown,) = judge_claim(claim, [piece(math.log(2), 0.01)], "")["pieces"]
    assert shown["estimate"] == pytest.approx(2)
    assert shown["margin"] == pytest.approx(math.exp(0.1))


def test_no_evidence_says_why() -> None:
    entry = judge_claim(CLAIM, [], "nothing was run")
    assert (entry["verdict"], entry["reason"]) == ("not tested", "nothing was run")


def test_why_no_evidence_is_asked_for_is_said_in_the_readers_language(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = Claim("used", "", "", "the most used", contrast="a contrast", unit="lines", not_tested="about people")
    spanish = {
        "about people": "de gente",
        "the most used": "los más usados",
        "a contrast": "un contraste",
        "lines": "líneas",
        "not tested": "no evaluada",
    }
    monkeypatch.setattr(wording, "read_catalogue", lambda language: spanish)
    assert judge_claim(claim, [], "")["reason"] == "about people"
    with spoken("es"):
        entry = judge_claim(claim, [], "")
    assert entry["reason"] == "de gente"
    # The report translates these where it shows them.
    assert [entry[name] for name in ("english", "contrast", "unit", "verdict")] == [
        "the most used",
        "a contrast",
        "lines",
        "not tested",
    ]


def test_counted_quantities_have_no_variance() -> None:
    counted = Piece("a model", Estimate(8.0, 0.0, 9.0, 0.0, 0.0, 10), 1.0)
    assert judge_piece(CLAIM, counted, 0.05) == "supported"


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_unit_of_a_difference_changes_no_verdict(scale: float) -> None:
    values = [(0.5, 0.1), (0.0, 0.05), (0.05, 1.0), (-0.5, 0.1)]
    pieces = [piece(mean * scale, spread * scale) for mean, spread in values]
    scaled = [Piece(p.where, p.estimate, 0.1 * scale) for p in pieces]
    words = [entry["verdict"] for entry in judge_claim(CLAIM, scaled, "")["pieces"]]
    assert words == ["supported", "negligible", "inconclusive", "contradicted"]


def test_every_claim_of_the_slides_can_be_looked_up() -> None:
    claims = read_claims()
    assert len({claim.id for claim in claims}) == len(claims) > 0
    for claim in claims:
        assert claim.slide and claim.spanish and claim.english
        assert bool(claim.not_tested) != (claim.estimand in ESTIMANDS)
        assert claim.not_tested or (claim.contrast and claim.positive and claim.unit)
    assert {claim.estimand for claim in claims} - {""} == set(ESTIMANDS)
