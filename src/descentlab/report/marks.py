"""Marks beside the name of an optimizer, wherever a row of the experiment is named: in sentences, tables and legends.

† in the tuned arm, where the grid of learning rates was too narrow; ‡ in the default arm, with settings of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from descentlab.analysis.pairing import ROW, Row
from descentlab.experiment.plan import Plan
from descentlab.i18n.wording import message, words
from descentlab.optimizers.arms import SPEED_ARM, Arm
from descentlab.report.formatting import optimizer_title

UNDERTUNED, OWN_SETTINGS = "†", "‡"
MEANINGS = {
    UNDERTUNED: message("†: may be undertuned, as its grid of learning rates was too narrow."),
    OWN_SETTINGS: message("‡: with settings that are not its class's defaults, though in the default arm."),
}


@dataclass(frozen=True)
class Marks:
    """Which rows have a mark.

    Attributes:
        undertuned: rows whose grid of learning rates was too narrow.
        own_settings: optimizers that have settings of their own in the default arm.
    """

    undertuned: Collection[Row] = ()
    own_settings: Collection[str] = ()

    @classmethod
    def of(cls, plan: Plan, summary: pd.DataFrame) -> Self:
        """The marks of an experiment.

        Args:
            plan: its plan.
            summary: of the comparison.
        """
        rows = summary.loc[summary["undertuned"].astype(bool), ROW].itertuples(index=False, name=None)
        return cls(frozenset(rows), frozenset(name for name, info in plan.optimizers.items() if info.own_settings))

    def title(self, name: str, arm: str, problems: Collection[str]) -> str:
        """An optimizer's name in a sentence, with the marks that it has in an arm on any of the problems.

        Example:
            >>> Marks({("mlp", "tuned", "sgd")}).title("sgd", "tuned", ["mlp", "vit"])
            'plain SGD †'
        """
        return optimizer_title(name) + self._of(name, arm, problems)

    def label(self, name: str, arm: str, problems: Collection[str]) -> str:
        """The same in a table or beside a row of a figure, by the name that the config has.

        Example:
            >>> Marks(own_settings={"sgd"}).label("sgd", "default", ["mlp"])
            'sgd ‡'
        """
        return name + self._of(name, arm, problems)

    def cell(self, row: Mapping[Hashable, Any]) -> str:
        """The label of a row of a table that has the columns of ROW."""
        return self.label(str(row["optimizer"]), str(row["arm"]), [str(row["problem"])])

    def _of(self, name: str, arm: str, problems: Collection[str]) -> str:
        tuned = Arm.TUNED if arm == SPEED_ARM else arm  # one grid for both
        if any((problem, tuned, name) in self.undertuned for problem in problems):
            return f" {UNDERTUNED}"
        return f" {OWN_SETTINGS}" if arm == Arm.DEFAULT and name in self.own_settings else ""


def legend(*texts: str) -> str:
    """What the marks in some texts mean, as sentences; empty where there are none.

    Example:
        >>> legend("Adam † on mlp")
        '†: may be undertuned, as its grid of learning rates was too narrow.'
    """
    return " ".join(words(meaning) for mark, meaning in MEANINGS.items() if any(mark in text for text in texts))
