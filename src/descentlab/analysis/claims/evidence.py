"""The data that claims are tested on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from descentlab.analysis.choice_noise import NOT_TUNED, ChoiceNoise
from descentlab.analysis.claims.judgment import Claim, Piece
from descentlab.analysis.pairing import Row
from descentlab.analysis.remarks import Remark, remark
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
        noise: of tuning.
        undertuned: rows whose grid of learning rates was too narrow.
        fit_noise: of tuning, in decades of the training objective.
    """

    plan: Plan
    runs: pd.DataFrame
    history: pd.DataFrame
    scores: Mapping[str, np.ndarray]
    reached: pd.DataFrame
    measured: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    noise: ChoiceNoise = NOT_TUNED
    undertuned: Collection[Row] = ()
    fit_noise: ChoiceNoise = NOT_TUNED

    @property
    def arm(self) -> str:
        """The plan's main arm."""
        return self.plan.main_arm

    def finals(self, problem: str, optimizer: str, arm: str) -> pd.DataFrame:
        """Final runs of one row of the experiment, by seed."""
        runs = self.runs
        row = (runs["problem"] == problem) & (runs["optimizer"] == optimizer) & (runs["arm"] == arm)
        return runs[row & (runs["phase"] == "final")].set_index("seed").sort_index()

    def margin(self, claim: Claim, problem: str) -> float:
        """The claim's margin, or the problem's own."""
        return float(self.plan.problems[problem].margin if claim.margin == "problem" else claim.margin)


def missing(*names: str) -> Remark:
    """Why a claim has no evidence: the experiment lacks at least one of ``names``."""
    return remark("lacks", names=list(names))
