"""The data that claims are tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from descentlab.analysis.claims.judgment import Claim, Piece
from descentlab.analysis.contrasts import on_seeds
from descentlab.analysis.remarks import Remark, remark
from descentlab.analysis.tuning_effects import NO_EFFECTS, TuningEffects
from descentlab.experiment.looks import FINAL_PHASES, Contrast, Look, seeds_of_contrasts
from descentlab.experiment.plan import Plan

Pieces = tuple[list[Piece], Remark | None]  # evidence and, if there is none, the reason


@dataclass(frozen=True)
class ClaimEvidence:
    """The data that claims are tested on.

    Attributes:
        plan: the experiment's plan.
        runs: all runs.
        history: evaluations of final runs, with ``problem``, ``arm``, ``optimizer`` and ``seed``.
        scores: metric of each test example at the end, by run id.
        reached: when each final run reached each target.
        measured: tables of step cost and mechanisms by name; absent where they were not measured.
        tuning: what it does to the results.
        looks: what each look at the primary contrasts decided.
    """

    plan: Plan
    runs: pd.DataFrame
    history: pd.DataFrame
    scores: Mapping[str, np.ndarray]
    reached: pd.DataFrame
    measured: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tuning: TuningEffects = NO_EFFECTS
    looks: Sequence[Look] = ()

    @property
    def arm(self) -> str:
        """The plan's main arm."""
        return self.plan.main_arm

    def finals(self, problem: str, optimizer: str, arm: str, seeds: int | None = None) -> pd.DataFrame:
        """Final runs of one row of the experiment, by seed; with ``seeds``, also those that looks added up to there."""
        runs = self.runs
        row = (runs["problem"] == problem) & (runs["optimizer"] == optimizer) & (runs["arm"] == arm)
        finals = runs[row & runs["phase"].isin(FINAL_PHASES)].set_index("seed").sort_index()
        return on_seeds(finals, seeds)

    def seeds(self, problem: str, arm: str, first: str, second: str) -> int | None:
        """The seeds of a primary contrast's last look; None if that was the first."""
        return seeds_of_contrasts(self.plan, self.looks).get(Contrast(problem, arm, first, second))

    def margin(self, claim: Claim, problem: str) -> float:
        """The claim's margin, or the problem's own."""
        return float(self.plan.problems[problem].margin if claim.margin == "problem" else claim.margin)


def missing(*names: str) -> Remark:
    """Why a claim has no evidence: the experiment lacks at least one of ``names``."""
    return remark("lacks", names=list(names))
