"""The ledger: every claim of the slides with its verdict, from all available evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from descentlab.analysis.claims import measured_estimands, run_estimands, width_estimands
from descentlab.analysis.claims.evidence import ClaimEvidence, Pieces
from descentlab.analysis.claims.judgment import Claim, Piece, judge_claim, read_claims
from descentlab.analysis.pairing import ROW
from descentlab.analysis.remarks import remark
from descentlab.optimizers.arms import Arm

ESTIMANDS: dict[str, Callable[[ClaimEvidence, Claim], Pieces]] = {
    function.__name__: function
    for function in (
        run_estimands.updates_to_target,
        run_estimands.state_bytes,
        width_estimands.adam_width,
        width_estimands.adaptive_width,
        run_estimands.default_anytime,
        run_estimands.final_difference,
        run_estimands.optimum_reached,
        run_estimands.own_optimizer,
        measured_estimands.operations,
        measured_estimands.gaps_at_matched_losses,
        measured_estimands.escapes,
        measured_estimands.barrier_between_minima,
        measured_estimands.batch_memory,
        measured_estimands.composition,
        measured_estimands.normalized_magnitude,
    )
}


def make_ledger(evidence: ClaimEvidence) -> list[dict[str, Any]]:
    """Every claim's entry of ``claims.json``, in the order of claims.yaml."""
    entries = []
    for claim in read_claims():
        pieces, reason = ESTIMANDS[claim.estimand](evidence, claim) if claim.estimand else ([], None)
        entries.append(judge_claim(claim, [mark_rows(evidence, piece) for piece in pieces], reason))
    return entries


def mark_rows(evidence: ClaimEvidence, piece: Piece) -> Piece:
    """The piece, with a remark for each row behind it that is not what the name of its arm says.

    In the tuned arm, where the grid of learning rates was too narrow; in the default arm, where settings aren't the class's
    defaults.
    """
    runs, optimizers = evidence.runs, evidence.plan.optimizers
    behind = runs.loc[runs["run_id"].isin(piece.runs), ROW].drop_duplicates()
    rows = list(behind.itertuples(index=False, name=None))
    own = [name for _, arm, name in rows if arm == Arm.DEFAULT and optimizers[name].own_settings]
    marks = [*evidence.tuning.mark(rows), *(remark("own settings", name=name) for name in own)]
    return replace(piece, remarks=[*piece.remarks, *marks]) if marks else piece
