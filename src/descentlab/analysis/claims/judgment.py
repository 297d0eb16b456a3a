"""Judging the slides' claims: each from its pieces of evidence, all by one rule.

``claims.yaml`` says what each claim asserts and what would settle it; :mod:`descentlab.analysis.claims.ledger` gathers the
evidence. No verdict is written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import yaml

from descentlab.analysis.remarks import Remark, remark
from descentlab.analysis.settling import lacks_tuning_seeds
from descentlab.analysis.statistics.pair_test import Wins, judge_wins, sign_test_p
from descentlab.analysis.statistics.paired import Estimate, seeds_to_settle
from descentlab.analysis.statistics.stages import ONE_LOOK, Stage
from descentlab.analysis.statistics.verdicts import Verdict, holm, holm_levels, verdict


class ClaimVerdict(StrEnum):
    """What the evidence says about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    MIXED = "mixed"
    NEGLIGIBLE = "negligible"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTED = "not tested"


# A positive difference agrees with the claim.
CLAIM_VERDICTS = {
    Verdict.BETTER: ClaimVerdict.SUPPORTED,
    Verdict.WORSE: ClaimVerdict.CONTRADICTED,
    Verdict.IDENTICAL: ClaimVerdict.NEGLIGIBLE,
    Verdict.NEGLIGIBLE: ClaimVerdict.NEGLIGIBLE,
    Verdict.INCONCLUSIVE: ClaimVerdict.INCONCLUSIVE,
    Verdict.NOT_TESTED: ClaimVerdict.NOT_TESTED,
}


DIRECTED = (ClaimVerdict.SUPPORTED, ClaimVerdict.CONTRADICTED)
SMALL, LARGE = "small", "large"


class Judged(NamedTuple):
    """A verdict on a claim or on a piece of its evidence.

    Attributes:
        verdict: what it is.
        size: ``small`` where the estimate lies within the margin, though its interval excludes 0; ``large`` where the whole
            interval lies beyond what the claim calls "slightly"; else empty.
    """

    verdict: ClaimVerdict
    size: str = ""


@dataclass(frozen=True)
class Claim:
    """One line of the slides.

    Attributes:
        id, slide, spanish, english: its key, the slide that makes it, and its words.
        estimand: name of the function in ``ledger.ESTIMANDS`` that gathers its evidence.
        contrast, positive, unit: what is compared, what a positive difference means, and its unit; ``ratio``: differences
            are of logarithms, shown as ratios.
        margin: smaller differences are negligible; ``problem`` means each problem's own margin.
        slight_margins: a difference of more margins than this is not "slightly"; None unless the claim says "slightly".
        least_n: fewer pairs settle nothing.
        not_tested: why no evidence is gathered.
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
    """Evidence from one problem, model or landscape: a difference that is positive if it agrees with the claim.

    Attributes:
        place: what it was measured on.
        estimate: the difference.
        margin: in the unit of the difference.
        bound: ``at least`` if the true difference can only be larger (the other side was cut off by its budget), ``at
            most`` if it can only be smaller, ``unknown`` if both sides were cut off.
        wins: of the pairs that agree with the claim, if a divergence or cut-offs on both sides leave no mean, or equal
            differences no spread; None otherwise.
        unit: unit of the difference, if it is not the claim's.
        remarks: what a reader must know about it.
        runs: ids of the runs behind it.
        stage: the look that judges it, where it is a primary contrast.
    """

    place: Remark
    estimate: Estimate
    margin: float
    bound: str = ""
    wins: Wins | None = None
    unit: str = ""
    remarks: Sequence[Remark] = ()
    runs: list[str] = field(default_factory=list)
    stage: Stage = ONE_LOOK

    @property
    def p(self) -> float:
        """Two-sided p value of no difference, over all looks."""
        p = sign_test_p(self.wins) if self.wins is not None else self.estimate.p
        return float(np.minimum(1.0, p / self.stage.share))  # NaN stays NaN

    def interval(self, level: float) -> tuple[float, float]:
        """The ends of the estimate's interval; NaN where pairs that differ by the same amount are judged by wins."""
        without_spread = self.wins is not None and self.estimate.variance == 0
        return (math.nan, math.nan) if without_spread else self.estimate.interval(level)


def read_claims() -> list[Claim]:
    """Every claim of claims.yaml, in its order."""
    text = files("descentlab.analysis.claims").joinpath("claims.yaml").read_text(encoding="utf-8")
    return [Claim(**entry) for entry in yaml.safe_load(text)]


def judge_piece(claim: Claim, piece: Piece, level: float) -> Judged:
    """The verdict on one piece, at Holm's ``level`` over all looks (docs/protocol.md, "Verdicts").

    In this order: fewer than ``least_n`` pairs: inconclusive; whole interval inside the margin: negligible; above 0:
    supported; below 0: contradicted; else inconclusive. Wins are judged by the sign test, without a mean. A bound decides only
    its own side.
    """
    estimate, level = piece.estimate, level * piece.stage.share
    if piece.wins is not None:
        enough = piece.wins.decided + piece.wins.level >= claim.least_n
        return Judged(CLAIM_VERDICTS[judge_wins(piece.wins, level) if enough else Verdict.INCONCLUSIVE])
    if estimate.n == 0:
        return Judged(ClaimVerdict.NOT_TESTED)
    if estimate.n < claim.least_n or piece.bound == "unknown":
        return Judged(ClaimVerdict.INCONCLUSIVE)
    low, high = estimate.interval(level)
    judged = CLAIM_VERDICTS[verdict(low, high, estimate.mean, estimate.n, piece.margin)]
    if piece.bound:
        possible = {"at least": ClaimVerdict.SUPPORTED, "at most": ClaimVerdict.CONTRADICTED}[piece.bound]
        judged = judged if judged is possible else ClaimVerdict.INCONCLUSIVE
    if judged in DIRECTED and abs(estimate.mean) <= piece.margin:
        return Judged(judged, SMALL)
    slight = claim.slight_margins
    far = judged is ClaimVerdict.SUPPORTED and slight is not None and low > slight * piece.margin
    return Judged(judged, LARGE if far else "")


def summarize_verdicts(pieces: Sequence[Judged]) -> Judged:
    """One verdict from those of the pieces.

    Pieces that were not tested don't count; if none is left: not tested. If pieces settle on different sides: mixed. If
    they settle on one side, and are more than the inconclusive ones: that side, and its size if all of them agree on it.
    Otherwise inconclusive.
    """
    tested = [piece for piece in pieces if piece.verdict is not ClaimVerdict.NOT_TESTED]
    if not tested:
        return Judged(ClaimVerdict.NOT_TESTED)
    settled = [piece for piece in tested if piece.verdict is not ClaimVerdict.INCONCLUSIVE]
    sides = {piece.verdict for piece in settled}
    if len(sides) > 1:
        return Judged(ClaimVerdict.MIXED)
    if len(settled) > len(tested) - len(settled):
        sizes = {piece.size for piece in settled}
        return Judged(sides.pop(), sizes.pop() if len(sizes) == 1 else "")
    return Judged(ClaimVerdict.INCONCLUSIVE)


def judge_claim(claim: Claim, pieces: list[Piece], reason: Remark | None) -> dict[str, Any]:
    """A claim's entry of ``claims.json``; its Holm family is the claim's pieces.

    Args:
        claim: the claim.
        pieces: its evidence.
        reason: why there are no pieces, if there are none.
    """
    p = np.array([piece.p for piece in pieces])
    entries, verdicts = [], []
    for piece, adjusted, level in zip(pieces, holm(p), holm_levels(p), strict=True):
        estimate = piece.estimate
        low, high = piece.interval(level * piece.stage.share)
        judged = judge_piece(claim, piece, level)
        verdicts.append(judged)
        open_question = judged.verdict is ClaimVerdict.INCONCLUSIVE and piece.wins is None and not piece.bound
        needed = math.nan
        if open_question:
            at_looks = level * piece.stage.share, piece.stage.later_levels(level)
            needed = seeds_to_settle(estimate, piece.margin, *at_looks)
        if open_question and estimate.n < claim.least_n:
            needed = max(needed, claim.least_n)
        remarks = [*piece.remarks, *remarks_on_tuning(piece, level)] if open_question else list(piece.remarks)
        to_unit = np.exp if claim.unit == "ratio" and not piece.unit else float
        entries.append(
            {
                "place": piece.place,
                **judged._asdict(),
                "estimate": _plain(to_unit(estimate.mean)),
                "low": _plain(to_unit(low)),
                "high": _plain(to_unit(high)),
                "n": estimate.n,
                "p_corrected": _plain(adjusted),
                "unit": piece.unit or claim.unit,
                "margin": _plain(to_unit(piece.margin)),
                "bound": piece.bound,
                "n_needed": _plain(needed),
                "remarks": remarks,
                "runs": piece.runs,
            }
        )
    judged = summarize_verdicts(verdicts)
    if claim.not_tested:
        reason = remark("claim", text=claim.not_tested)
    elif judged.verdict is not ClaimVerdict.NOT_TESTED:
        reason = None
    texts = ("id", "slide", "spanish", "english", "contrast", "positive", "unit")
    return {
        **{name: getattr(claim, name) for name in texts},
        **judged._asdict(),
        "reason": reason,
        "pieces": entries,
    }


def remarks_on_tuning(piece: Piece, level: float) -> list[Remark]:
    """What to say of an open piece that more tuning seeds could settle and no final seeds can, at its level over all looks."""
    estimate, later = piece.estimate, piece.stage.later_levels(level)
    if not estimate.variance > 0:
        return []
    floor = estimate.floor(later[-1][1] if later else level * piece.stage.share)
    shares = estimate.example_variance / estimate.variance, estimate.choice_variance / estimate.variance
    lacking = lacks_tuning_seeds(estimate.mean, piece.margin, floor, *shares)
    return [remark("tuning seeds lacking", share=shares[1])] if lacking else []


def _plain(value: Any) -> float | str | None:
    """A number as JSON can hold it: None for NaN, infinities as text."""
    number = float(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else ("inf" if number > 0 else "-inf")


def value_of(stored: float | str | None) -> float:
    """The number that :func:`judge_claim` stored in claims.json."""
    return float("nan") if stored is None else float(stored)
