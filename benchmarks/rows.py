"""A line of the table that ``make bench`` prints and ``results/bench.json`` keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """A figure beside its goal.

    Attributes:
        name: what is measured, against what.
        values: one a repeat, shape (n,): ratios, or seconds or bytes where ``unit`` says so.
        goal: to reach, of the median.
        at_least: the goal is a least value; otherwise a greatest.
        unit: after the figure; ``×`` for a ratio of two times measured side by side.
        details: what the figure was made from, by name; ``n`` where it isn't the number of values.
        note: why the goal is not met, where that was found.
    """

    name: str
    values: Sequence[float]
    goal: float
    at_least: bool = True
    unit: str = "×"
    details: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def median(self) -> float:
        """What is held against the goal."""
        return float(np.median(self.values))

    @property
    def met(self) -> bool:
        """Whether the median reaches the goal."""
        return self.median >= self.goal if self.at_least else self.median <= self.goal

    def as_dict(self) -> dict[str, Any]:
        """For ``bench.json``; ``ratio`` is the median, whatever its unit."""
        return {
            "name": self.name,
            "ratio": self.median,
            "low": float(np.min(self.values)),
            "high": float(np.max(self.values)),
            "n": len(self.values),
            "unit": self.unit,
            "goal": self.goal,
            "at_least": self.at_least,
            "met": self.met,
            "note": self.note,
            **self.details,
        }


def as_table(rows: Sequence[Row]) -> str:
    """The rows as Markdown: name, median, least and greatest, n, goal, whether it is met."""
    lines = ["| what | median | min to max | n | goal | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        sign = "≥" if row.at_least else "≤"
        spread, n = f"{min(row.values):.3g} to {max(row.values):.3g}", row.as_dict()["n"]
        met = "yes" if row.met else f"no: {row.note}" if row.note else "no"
        lines.append(
            f"| {row.name} | {row.median:.3g} {row.unit} | {spread} | {n} | {sign} {row.goal:g} {row.unit} | {met} |"
        )
    return "\n".join(lines)
