"""The ledger of the slides' claims: each with its pieces of evidence, judged by one rule.

``claims.yaml`` says what each claim asserts and what would settle it; :mod:`descentlab.analysis.claims.ledger` finds the
evidence. No verdict is written by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from descentlab.analysis.statistics.paired import Estimate, judge_wins, seeds_to_settle, sign_test_p
from descentlab.analysis.statistics.verdicts import holm, holm_levels, verdict
from descentlab.i18n.wording import words

WORDS = {"better": "supported", "worse": "contradicted", "identical": "negligible"}
CLAIM_VERDICTS = (
    "supported",
    "supported, and not slightly",
    "contradicted",
    "mixed",
    "negligible",
    "inconclusive",
    "not tested",
)


@dataclass(frozen=True)
class Claim:
    """One line of the slides.

    Attributes:
        id, slide, spanish, english: what it is and where it stands.
        estimand: name of the function, in ``ledger.ESTIMANDS``, that finds its evidence.
        contrast, positive, unit: what is compared, what a positive difference means, and its unit; ``ratio``: differences
            are of logarithms, shown as ratios.
        margin: smaller differences are negligible; ``problem`` for each problem's own.
        slight_margins: more margins than this are not "slightly"; None where the claim says nothing of the kind.
        least_n: fewer pairs settle nothing.
        not_tested: why no evidence is asked for.
    """

    id: str
    slide: str
    spanish: str
    english: str
    estimand: str = ""
    contrast: str = ""
    positive: str = ""
    unit: str = ""
    margin: float | str = 0.0
    slight_margins: float | None = None
    least_n: int = 2
    not_tested: str = ""


@dataclass(frozen=True)
class Piece:
    """Evidence from one problem, model or landscape: a difference that is positive where it is as the claim says.

    Attributes:
        where: what it was measured on.
        estimate: the difference.
        margin: in its unit.
        bound: ``at least`` where the true difference can only be larger (the other side was cut off by its budget), ``at
            most`` where it can only be smaller, ``unknown`` where both sides were cut off.
        wins: (pairs as the claim says, pairs that differ), both by more than the margin, where a divergence or a budget on
            both sides leaves no mean; None otherwise.
        equivalence: the claim says that there is no difference.
        unit: where it isn't the claim's.
        note: what a reader must know of it.
        runs: ids of the runs behind it.
    """

    where: str
    estimate: Estimate
    margin: float
    bound: str = ""
    wins: tuple[int, int] | None = None
    equivalence: bool = False
    unit: str = ""
    note: str = ""
    runs: list[str] = field(default_factory=list)

    @property
    def p(self) -> float:
        """Two-sided p of no difference."""
        return sign_test_p(self.wins) if self.wins is not None else self.estimate.p


def read_claims() -> list[Claim]:
    """Every claim of claims.yaml, in its order."""
    text = files("descentlab.analysis.claims").joinpath("claims.yaml").read_text(encoding="utf-8")
    return [Claim(**entry) for entry in yaml.safe_load(text)]


def judge_piece(claim: Claim, piece: Piece, level: float) -> str:
    """The verdict on one piece, at Holm's ``level`` (docs/protocol.md, "Verdicts").

    In this order: fewer than ``least_n`` pairs: ``inconclusive``; whole interval inside the margin: ``negligible``; above
    0: ``supported`` (``…, and not slightly`` above the claim's second margin); below 0: ``contradicted``; else
    ``inconclusive``. Wins are judged by the sign test, without a mean. A bound speaks for its own side only. Where a claim
    says that there is no difference, ``negligible`` supports it and a difference contradicts it.
    """
    found = piece.estimate
    if piece.wins is not None:
        judged = judge_wins(piece.wins, level) if piece.wins[1] >= claim.least_n else "inconclusive"
        if piece.equivalence and judged != "inconclusive":
            return "contradicted"
        return WORDS.get(judged, judged)
    if found.n == 0:
        return "not tested"
    if found.n < claim.least_n or piece.bound == "unknown":
        return "inconclusive"
    low, high = found.interval(level)
    judged = verdict(low, high, found.mean, found.n, piece.margin)
    word = WORDS.get(judged, judged)
    if piece.bound:
        stands = {"at least": "supported", "at most": "contradicted"}[piece.bound]
        word = word if word == stands else "inconclusive"
    if piece.equivalence:
        return {"negligible": "supported", "supported": "contradicted"}.get(word, word)
    if word == "supported" and claim.slight_margins is not None and low > claim.slight_margins * piece.margin:
        return "supported, and not slightly"
    return word


def summarise_verdicts(verdicts: list[str]) -> str:
    """One verdict from those of the pieces.

    Pieces that aren't tested don't count; none left: ``not tested``. Pieces that settle on different sides: ``mixed``.
    Pieces that settle on one side, at least as many as are inconclusive: that side (``supported, and not slightly`` only
    where all of them say so). Otherwise ``inconclusive``.
    """
    tested = [word for word in verdicts if word != "not tested"]
    if not tested:
        return "not tested"
    settled = [word for word in tested if word != "inconclusive"]
    sides = {word.partition(",")[0] for word in settled}
    if len(sides) > 1:
        return "mixed"
    if settled and len(settled) >= len(tested) - len(settled):
        return settled[0] if len(set(settled)) == 1 else sides.pop()
    return "inconclusive"


def judge_claim(claim: Claim, pieces: list[Piece], reason: str) -> dict[str, Any]:
    """A claim's entry of ``claims.json``; Holm's family is the claim's pieces.

    Args:
        reason: why there are no pieces, where there are none.
    """
    p = np.array([piece.p for piece in pieces])
    entries = []
    for piece, adjusted, level in zip(pieces, holm(p), holm_levels(p), strict=True):
        found = piece.estimate
        low, high = found.interval(level)
        judged = judge_piece(claim, piece, level)
        settle = judged == "inconclusive" and piece.wins is None and not piece.bound
        needed = seeds_to_settle(found, piece.margin, level) if settle else math.nan
        if settle and found.n < claim.least_n:
            needed = max(needed, claim.least_n)
        shown = np.exp if claim.unit == "ratio" and not piece.unit else float
        entries.append(
            {
                "where": piece.where,
                "verdict": judged,
                "estimate": _plain(shown(found.mean)),
                "low": _plain(shown(low)),
                "high": _plain(shown(high)),
                "n": found.n,
                "p_holm": _plain(adjusted),
                "unit": piece.unit or claim.unit,
                "margin": _plain(shown(piece.margin)),
                "bound": piece.bound,
                "n_needed": _plain(needed),
                "note": piece.note,
                "runs": piece.runs,
            }
        )
    judged = summarise_verdicts([str(entry["verdict"]) for entry in entries])
    return {
        **{
            name: getattr(claim, name) for name in ("id", "slide", "spanish", "english", "contrast", "positive", "unit")
        },
        "verdict": judged,
        "sides": sides_of(entries),
        "reason": words(claim.not_tested) or (reason if judged == "not tested" else ""),
        "pieces": entries,
    }


def sides_of(entries: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Where each verdict stands, in the order of CLAIM_VERDICTS."""
    found = {word: [str(entry["where"]) for entry in entries if entry["verdict"] == word] for word in CLAIM_VERDICTS}
    return {word: places for word, places in found.items() if places}


def _plain(value: Any) -> float | str | None:
    """A number as JSON has it: None for NaN, ``inf`` as text."""
    number = float(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else ("inf" if number > 0 else "-inf")
