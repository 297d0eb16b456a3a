"""Evidence for claims about the learning rate: how wide the ranges of good rates are (docs/protocol.md, "Robustness").

A positive difference agrees with the claim.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.claims.evidence import ClaimEvidence, Pieces
from descentlab.analysis.claims.judgment import Claim, Piece
from descentlab.analysis.remarks import remark
from descentlab.analysis.sensitivity import WIDTH_RESOLUTION, RateScores, scores_by_rate, width_in_decades
from descentlab.analysis.statistics.resampling import estimate_resampled
from descentlab.analysis.statistics.survival import BOUNDS
from descentlab.experiment.plan import Plan, TrainingPlan
from descentlab.optimizers.roles import ADAM, ADVANCED, NOT_ADAPTIVE, PLAIN


def adam_width(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Adam's width against plain SGD's."""
    return width_pieces(evidence, claim, (ADAM,), (PLAIN,))


def adaptive_width(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """The adaptive methods' mean width against that of plain SGD and momentum."""
    return width_pieces(evidence, claim, ADVANCED, NOT_ADAPTIVE)


def width_pieces(evidence: ClaimEvidence, claim: Claim, wide: tuple[str, ...], narrow: tuple[str, ...]) -> Pieces:
    """Mean width of the optimizers ``wide`` minus that of ``narrow``, problem by problem.

    From the robustness sweep if all of them were swept, else from the tuning grid for all, as the two use different seeds. A
    problem that the config leaves out of the sweep (``sweep: false``) is left out here: its grid is the shorter for it.
    """
    plan, runs = evidence.plan, evidence.runs
    pieces = []
    for problem in plan.problems:
        if isinstance(plan, TrainingPlan) and not plan.config.problem(problem).sweep:
            continue
        found = scores_of_rates(plan, runs, problem, (*wide, *narrow))
        if len({scores.phase for scores in found.values()}) > 1:
            runs_of_grid = runs[runs["phase"] != "sweep"]
            found = scores_of_rates(plan, runs_of_grid, problem, (*wide, *narrow))
        seeds = sorted(set.intersection(*(set(scores.seeds) for scores in found.values()))) if found else []
        sides = [[found[name].on(seeds) for name in names if name in found] for names in (wide, narrow)]
        if all(sides) and seeds:
            pieces.append(
                width_piece(plan, problem, claim, sides[0], sides[1], compared_runs(runs, problem, found, seeds))
            )
    return pieces, remark("untuned")


def width_piece(
    plan: Plan, problem: str, claim: Claim, wide: list[RateScores], narrow: list[RateScores], runs: list[str]
) -> Piece:
    """The evidence of one problem.

    Args:
        plan: the experiment's plan.
        problem: its name.
        claim: the claim.
        wide, narrow: the scores of the optimizers on each side, all on the same seeds.
        runs: ids of the runs behind it.
    """
    margin, seeds = plan.problems[problem].margin, len(wide[0].seeds)

    def mean_width(side: list[RateScores], positions: np.ndarray | None = None) -> float:
        return float(np.mean([scores.width(margin, positions) for scores in side]))

    at_least, at_most = (
        any(width_in_decades(scores.rates, scores.mean(), margin)[1] for scores in side) for side in (wide, narrow)
    )
    widths = remark("mean widths", wide=mean_width(wide), narrow=mean_width(narrow))
    return Piece(
        remark("problem", problem=problem),
        estimate_resampled(
            lambda positions: mean_width(wide, positions) - mean_width(narrow, positions), seeds, WIDTH_RESOLUTION
        ),
        float(claim.margin),
        BOUNDS[at_least, at_most],
        remarks=[widths, remark("end outside")] if at_least or at_most else [widths],
        runs=runs,
    )


def scores_of_rates(plan: Plan, runs: pd.DataFrame, problem: str, names: tuple[str, ...]) -> dict[str, RateScores]:
    """The scores by learning rate of those of the optimizers that have any."""
    found = {name: scores_by_rate(plan, runs, problem, name) for name in names}
    return {name: scores for name, scores in found.items() if scores is not None}


def compared_runs(runs: pd.DataFrame, problem: str, found: dict[str, RateScores], seeds: list[int]) -> list[str]:
    """The ids of the runs whose scores are compared."""
    phase = next(iter(found.values())).phase
    compared = (runs["problem"] == problem) & (runs["phase"] == phase) & runs["seed"].isin(seeds)
    return list(runs.loc[compared & runs["optimizer"].isin(list(found)), "run_id"])
