"""The verdict rule on claims, by hand, and what it must not depend on."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from descentlab.analysis.claims.judgment import (
    Claim,
    ClaimVerdict,
    Judged,
    Piece,
    judge_claim,
    judge_piece,
    read_claims,
    summarize_verdicts,
)
from descentlab.analysis.claims.ledger import ESTIMANDS
from descentlab.analysis.remarks import remark
from descentlab.analysis.statistics.pair_test import Wins
from descentlab.analysis.statistics.paired import Estimate, estimate_difference

CLAIM = Claim("a-claim", "a slide", "un reclamo", "a claim", unit="metric", margin=0.1, least_n=5)


def piece(mean: float, spread: float, n: int = 10, **others: object) -> Piece:
    """Differences with this mean and standard deviation."""
    z = np.linspace(-1, 1, n)
    return Piece(remark("problem", problem="p"), estimate_difference(mean + spread * z / z.std(ddof=1)), 0.1, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("of_tuning", "of_examples", "share"), [(1.0, 0.0, 0.5), (0.0, 1.0, None), (1.0, 1.0, None), (0.0, 0.0, None)]
)
def test_an_open_piece_says_where_only_tuning_seeds_are_lacking(
    of_tuning: float, of_examples: float, share: float | None
) -> None:
    open_estimate = Estimate(0.05, 2.0, 9.0, 10 * (2.0 - of_tuning - of_examples), of_examples, 10, of_tuning)
    ((found,),) = [judge_claim(CLAIM, [Piece(remark("problem", problem="p"), open_estimate, 0.1)], None)["pieces"]]
    assert found["verdict"] == "inconclusive"
    assert found["remarks"] == ([{"code": "tuning seeds lacking", "share": share}] if share else [])


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
        (piece(0.5, 0.1, wins=Wins(10, 10)), "supported"),
        (piece(0.5, 0.1, wins=Wins(0, 10)), "contradicted"),
        (piece(0.5, 0.1, wins=Wins(8, 10)), "inconclusive"),
        (piece(0.5, 0.1, wins=Wins(4, 4)), "inconclusive"),
        (piece(0.5, 0.1, wins=Wins(0, 0)), "inconclusive"),
        (piece(0.0, 1.0, bound="unknown", wins=Wins(10, 10)), "supported"),
        (Piece(remark("problem", problem="p"), estimate_difference(np.empty(0)), 0.1), "not tested"),
    ],
)
def test_one_piece(evidence: Piece, expected: str) -> None:
    assert judge_piece(CLAIM, evidence, 0.05) == Judged(ClaimVerdict(expected))


def test_slightly_has_an_upper_end() -> None:
    claim = Claim("worse", "", "", "", margin=0.1, slight_margins=3, least_n=5)
    assert judge_piece(claim, piece(0.2, 0.05), 0.05) == Judged(ClaimVerdict.SUPPORTED)
    assert judge_piece(claim, piece(0.5, 0.05), 0.05) == Judged(ClaimVerdict.SUPPORTED, "large")
    assert judge_piece(claim, piece(0.31, 0.05), 0.05) == Judged(
        ClaimVerdict.SUPPORTED
    )  # the interval reaches below 0.3


def test_a_clear_difference_within_the_margin_is_small() -> None:
    """Its interval excludes 0 and reaches beyond the margin, its estimate doesn't."""
    claim = Claim("better", "", "", "", margin=0.1, least_n=5)
    assert judge_piece(claim, piece(0.08, 0.05), 0.05) == Judged(ClaimVerdict.SUPPORTED, "small")
    assert judge_piece(claim, piece(-0.08, 0.05), 0.05) == Judged(ClaimVerdict.CONTRADICTED, "small")
    assert judge_piece(claim, piece(0.12, 0.05), 0.05) == Judged(ClaimVerdict.SUPPORTED)


SUPPORTED, CONTRADICTED, NEGLIGIBLE, INCONCLUSIVE, NOT_TESTED = (
    Judged(ClaimVerdict(word)) for word in ("supported", "contradicted", "negligible", "inconclusive", "not tested")
)
FAR, MIXED = Judged(ClaimVerdict.SUPPORTED, "large"), Judged(ClaimVerdict.MIXED)
SMALL_ONE = Judged(ClaimVerdict.SUPPORTED, "small")


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], NOT_TESTED),
        ([NOT_TESTED], NOT_TESTED),
        ([SUPPORTED, NOT_TESTED], SUPPORTED),
        ([SUPPORTED, SUPPORTED, INCONCLUSIVE], SUPPORTED),
        ([SUPPORTED, INCONCLUSIVE], INCONCLUSIVE),
        ([SUPPORTED, INCONCLUSIVE, INCONCLUSIVE], INCONCLUSIVE),
        ([SUPPORTED, CONTRADICTED], MIXED),
        ([SUPPORTED, NEGLIGIBLE], MIXED),
        ([NEGLIGIBLE, CONTRADICTED, INCONCLUSIVE], MIXED),
        ([NEGLIGIBLE, NEGLIGIBLE], NEGLIGIBLE),
        ([FAR, SUPPORTED], SUPPORTED),
        ([FAR, FAR], FAR),
        ([FAR, FAR, INCONCLUSIVE], FAR),
        ([SMALL_ONE, SMALL_ONE], SMALL_ONE),
        ([SMALL_ONE, SUPPORTED], SUPPORTED),
        ([SMALL_ONE, FAR], SUPPORTED),
        ([INCONCLUSIVE], INCONCLUSIVE),
    ],
)
def test_the_summary_of_pieces(pieces: list[Judged], expected: Judged) -> None:
    for order in itertools.permutations(pieces):
        assert summarize_verdicts(list(order)) == expected


def test_holms_family_is_the_claim() -> None:
    lone, many = judge_claim(CLAIM, [piece(0.2, 0.25)], None), judge_claim(CLAIM, [piece(0.2, 0.25)] * 8, None)
    assert lone["verdict"] == "supported"  # p = 0.032
    assert many["verdict"] == "inconclusive"
    assert many["pieces"][0]["low"] < lone["pieces"][0]["low"]
    assert many["pieces"][0]["p_corrected"] == pytest.approx(min(1, 8 * lone["pieces"][0]["p_corrected"]))


def test_an_entry_has_what_a_reader_needs_and_is_json() -> None:
    entry = judge_claim(CLAIM, [piece(0.05, 0.3, runs=["a", "b"])], None)
    (shown,) = entry["pieces"]
    assert entry["verdict"] == shown["verdict"] == "inconclusive"
    assert shown["n"] == 10 and shown["runs"] == ["a", "b"]
    assert shown["n_needed"] > 10
    assert shown["low"] < shown["estimate"] < shown["high"]
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry
    settled = judge_claim(CLAIM, [piece(0.5, 0.1)], None)["pieces"][0]
    assert settled["n_needed"] is None


def test_ratios_are_shown_as_ratios() -> None:
    claim = Claim("faster", "", "", "", unit="ratio", margin=0.1, least_n=5)
    (shown,) = judge_claim(claim, [piece(math.log(2), 0.01)], None)["pieces"]
    assert shown["estimate"] == pytest.approx(2)
    assert shown["margin"] == pytest.approx(math.exp(0.1))


def test_no_evidence_says_why() -> None:
    entry = judge_claim(CLAIM, [], remark("no minima"))
    assert (entry["verdict"], entry["reason"]) == ("not tested", {"code": "no minima"})
    assert judge_claim(CLAIM, [piece(0.5, 0.1)], remark("no minima"))["reason"] is None


def test_why_no_evidence_is_asked_for_is_the_claims_own_text() -> None:
    claim = Claim("used", "", "", "the most used", contrast="a contrast", unit="lines", not_tested="about people")
    assert judge_claim(claim, [], None)["reason"] == {"code": "claim", "text": "about people"}


def test_counted_quantities_have_no_variance() -> None:
    counted = Piece(remark("problem", problem="p"), Estimate(8.0, 0.0, 9.0, 0.0, 0.0, 10), 1.0)
    assert judge_piece(CLAIM, counted, 0.05).verdict == "supported"


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_unit_of_a_difference_changes_no_verdict(scale: float) -> None:
    values = [(0.5, 0.1), (0.0, 0.05), (0.05, 1.0), (-0.5, 0.1)]
    pieces = [piece(mean * scale, spread * scale) for mean, spread in values]
    scaled = [Piece(p.place, p.estimate, 0.1 * scale) for p in pieces]
    words = [entry["verdict"] for entry in judge_claim(CLAIM, scaled, None)["pieces"]]
    assert words == ["supported", "negligible", "inconclusive", "contradicted"]


def test_every_claim_of_the_slides_can_be_looked_up() -> None:
    claims = read_claims()
    assert len({claim.id for claim in claims}) == len(claims) > 0
    for claim in claims:
        assert claim.slide and claim.spanish and claim.english
        assert bool(claim.not_tested) != (claim.estimand in ESTIMANDS)
        assert claim.not_tested or (claim.contrast and claim.positive and claim.unit)
    assert {claim.estimand for claim in claims} - {""} == set(ESTIMANDS)


def test_equal_differences_that_are_judged_by_wins_have_no_interval() -> None:
    """A ratio of 4.43 [4.43, 4.43] would promise certainty."""
    equal = Piece(remark("problem", problem="p"), estimate_difference(np.full(6, 0.5)), 0.1, wins=Wins(6, 6))
    (entry,) = judge_claim(CLAIM, [equal], None)["pieces"]
    assert (entry["verdict"], entry["estimate"], entry["low"], entry["high"]) == ("supported", 0.5, None, None)


@pytest.mark.parametrize(("n", "verdict"), [(5, "inconclusive"), (6, "negligible")])
def test_equal_differences_within_the_margin_are_counted(n: int, verdict: str) -> None:
    level = Piece(remark("problem", problem="p"), estimate_difference(np.full(n, 0.05)), 0.1, wins=Wins(0, 0, n))
    assert judge_piece(CLAIM, level, 0.05).verdict == verdict
