"""What a section is made of: figures, tables and paragraphs, each with the data behind it."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from descentlab.analysis.comparison import Comparison
from descentlab.analysis.statistics.intervals import Interval
from descentlab.experiment.plan import Plan
from descentlab.i18n.wording import joined, words
from descentlab.optimizers.arms import LOGGED_ARM, Arm
from descentlab.report.formatting import interval, number, optimizer_title, with_direction
from descentlab.report.marks import Marks, legend
from descentlab.report.phrases import ARM_WORDS

__all__ = [
    "ARM_WORDS",
    "Evidence",
    "Explorer",
    "Figure",
    "Paragraph",
    "Section",
    "Table",
    "interval",
    "joined",
    "number",
    "optimizer_title",
]


@dataclass(frozen=True)
class Evidence:
    """Everything that a section may draw on.

    Attributes:
        measured: tables of the measurements that were made, by name.
        history: every evaluation of every run, if available.
    """

    plan: Plan
    comparison: Comparison
    selections: list[dict[str, Any]]
    measured: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    history: pd.DataFrame | None = None

    @cached_property
    def marks(self) -> Marks:
        """The marks beside names of optimizers."""
        return Marks.of(self.plan, self.comparison.summary)

    @property
    def arms(self) -> list[str]:
        """The experiment's arms, the tuned one first."""
        return [arm for arm in (Arm.TUNED, Arm.EXTENDED, Arm.DEFAULT, LOGGED_ARM) if arm in self.plan.config.arms]

    @property
    def optimizers(self) -> list[str]:
        """All optimizers, in the order of the plan."""
        return list(self.plan.optimizers)

    @property
    def reference(self) -> str:
        """The optimizer that the others are compared with."""
        return self.plan.reference

    def arms_in(self, table: pd.DataFrame) -> list[str]:
        """The arms that ``table`` has rows of, the tuned one first."""
        return present(table["arm"], self.arms)

    def problems_in(self, table: pd.DataFrame) -> list[str]:
        """The problems that ``table`` has rows of, in the order of the plan."""
        return present(table["problem"], list(self.plan.problems))

    def optimizers_in(self, table: pd.DataFrame) -> list[str]:
        """The optimizers that ``table`` has rows of, in the order of the plan."""
        return present(table["optimizer"], self.optimizers)

    def measurement(self, name: str) -> pd.DataFrame:
        """The table of a measurement; empty if it was not made."""
        return self.measured.get(name, pd.DataFrame())

    def complete(self, problem: str, arm: str) -> list[str]:
        """The optimizers of which every final run finished; only they may lead (docs/protocol.md, "Run status")."""
        rows = self.comparison.summary
        rows = rows[(rows["problem"] == problem) & (rows["arm"] == arm) & (rows["n_finished"] == rows["n_planned"])]
        return self.optimizers_in(rows)

    def metric(self, problem: str) -> str:
        """The name of the problem's metric, with its direction."""
        planned = self.plan.problems[problem]
        return with_direction(words(planned.metric), planned.higher_is_better)


def reference_title(evidence: Evidence, arm: str) -> str:
    """The reference's name in a sentence on all problems of an arm."""
    return evidence.marks.title(evidence.reference, arm, evidence.plan.problems)


def csv_text(table: pd.DataFrame) -> str:
    """The table as CSV with five significant digits."""
    return table.to_csv(index=False, float_format="%.5g", lineterminator="\n")


def packed(text: str) -> str:
    """``text`` gzipped, in base64; the same text gives the same result."""
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def packed_csv(table: pd.DataFrame) -> str:
    """The table as gzipped CSV in base64, a fifth of the size; the page's script unpacks it."""
    return packed(csv_text(table))


@dataclass(frozen=True)
class Figure:
    """A drawing, titled by its takeaway, which is computed from the data offered for download."""

    identity: str
    takeaway: str
    svg: str
    caption: str
    data: pd.DataFrame

    kind: str = field(default="figure", init=False)

    @property
    def legend(self) -> str:
        """What the marks in its title and beside its rows mean."""
        return legend(self.takeaway, self.svg)

    @property
    def csv(self) -> str:
        """The data to download."""
        return packed_csv(self.data)


@dataclass(frozen=True)
class Table:
    """Rows of text. ``numeric`` columns are right-aligned; a ``folded`` table opens when the reader asks for it."""

    identity: str
    title: str
    headers: list[str]
    rows: list[list[str]]
    caption: str = ""
    data: pd.DataFrame | None = None
    numeric: frozenset[int] = frozenset()
    folded: bool = False

    kind: str = field(default="table", init=False)

    @property
    def legend(self) -> str:
        """What the marks in its title and cells mean."""
        return legend(self.title, *self.headers, *(cell for row in self.rows for cell in row))

    @property
    def csv(self) -> str:
        """The data to download, or what is shown."""
        return packed_csv(self.data if self.data is not None else pd.DataFrame(self.rows, columns=self.headers))


@dataclass(frozen=True)
class Paragraph:
    """Running text; ``preformatted`` keeps its line breaks."""

    text: str
    preformatted: bool = False
    identity: str = ""

    kind: str = field(default="paragraph", init=False)


@dataclass(frozen=True)
class Explorer:
    """A chart that the page draws from the reader's choices.

    Attributes:
        problems, arms, optimizers, measures, axes: the choices, as shown.
        chosen: indices of the optimizers that are drawn at first.
        first_measure: index of the measure that is drawn at first.
        singles: whether the data has single runs.
        setup: what the script needs to start, as JSON that is safe inside HTML.
        data: the curves, gzipped, in base64.
        library: Vega, Vega-Lite and Vega-Embed, packed in the same way.
    """

    identity: str
    takeaway: str
    caption: str
    problems: list[str]
    arms: list[str]
    optimizers: list[tuple[str, str]]
    measures: list[str]
    axes: list[str]
    chosen: frozenset[int]
    first_measure: int
    singles: bool
    setup: str
    data: str
    library: str

    kind: str = field(default="explorer", init=False)


@dataclass(frozen=True)
class Section:
    """One section of the report."""

    identity: str
    title: str
    blocks: Sequence[Figure | Table | Paragraph | Explorer]


def interval_text(estimate: Interval, signed: bool = False) -> str:
    """An estimate as the reader sees it: ``0.012 [0.003, 0.021], n = 10``."""
    return interval(estimate.mean, estimate.low, estimate.high, estimate.n, signed)


def distinct(names: Iterable[str]) -> list[str]:
    """``names`` without duplicates, in order of first appearance."""
    return list(dict.fromkeys(names))


def present(names: Iterable[str], order: list[str]) -> list[str]:
    """``names`` without duplicates, in the given order.

    Example:
        >>> present(["sgd", "adam", "sgd"], order=["adam", "lion", "sgd"])
        ['adam', 'sgd']
    """
    wanted = set(names)
    return [name for name in order if name in wanted]
