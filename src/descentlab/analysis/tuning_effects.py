"""What tuning does to every result of the tuned arm: noise from its own seeds, and rows that it left undertuned."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from descentlab.analysis.choice_noise import ChoiceNoise, measure_choice_noise
from descentlab.analysis.fit import log_objective
from descentlab.analysis.pairing import Row
from descentlab.analysis.remarks import Remark, remark
from descentlab.experiment.plan import Plan
from descentlab.optimizers.arms import Arm


@dataclass(frozen=True)
class TuningEffects:
    """What tuning does to the results.

    Attributes:
        noise: of tuning, in the test metric.
        fit_noise: of tuning, in decades of the training objective.
        undertuned: rows whose grid of learning rates was too narrow.
    """

    noise: ChoiceNoise = ChoiceNoise()
    fit_noise: ChoiceNoise = ChoiceNoise()
    undertuned: Collection[Row] = ()

    def mark(self, rows: Iterable[Row]) -> list[Remark]:
        """A remark for each row that may be undertuned; whatever is said of it carries the remark."""
        return [remark("undertuned", name=row[-1]) for row in rows if row in self.undertuned]


NO_EFFECTS = TuningEffects()


def measure_tuning_effects(plan: Plan, runs: pd.DataFrame, selections: list[dict[str, Any]]) -> TuningEffects:
    """What tuning did, from all runs and the choices that were made."""
    return TuningEffects(
        measure_choice_noise(plan, runs, selections),
        measure_choice_noise(plan, runs.assign(fit=log_objective(runs)), selections, "fit"),
        {(entry["problem"], str(Arm.TUNED), entry["optimizer"]) for entry in selections if entry["edge"]},
    )
