"""What changed between two results: settings, verdicts, estimates with their intervals, learning rates, final runs.

Every row of either result is looked at, and one that a single result has is said to be only there. Which result is A and
which is B decides nothing but the side that a value stands on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descentlab.i18n.wording import message
from descentlab.report.diff.rows import KEYS, Estimated, Result, read_result
from descentlab.report.diff.settings import Key, member_of

SAME = message("same")
INTERVAL = message("same estimate, different interval")
WITHIN = message("moved within the intervals")
MOVED = message("moved")
APART = message("moved apart")
CHANGED = message("changed")
ONLY_A = message("only in A")
ONLY_B = message("only in B")
ONE_SIDED = (ONLY_A, ONLY_B)

ESTIMATES = ("pieces", "contrasts", "finals", "speed")
MOVES = (APART, MOVED, WITHIN, INTERVAL)  # the farthest first
NOTHING = Estimated(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class Compared:
    """Rows of one kind.

    Attributes:
        rows: those that are not the same: what identifies them, what A and B have (``…_a``, ``…_b``), and ``change``.
        both: how many rows both results have.
        estimates: of those, how many have an estimate on either side.
    """

    rows: list[dict[str, Any]]
    both: int
    estimates: int = 0

    def count(self, change: str) -> int:
        """Rows of that change."""
        return sum(row["change"] == change for row in self.rows)

    @property
    def stayed(self) -> int:
        """Rows that are the same on both sides."""
        return self.both - sum(row["change"] not in ONE_SIDED for row in self.rows)

    @property
    def verdicts_changed(self) -> int:
        """Rows of both sides whose verdicts differ."""
        return sum(is_judged_otherwise(row) for row in self.rows if row["change"] not in ONE_SIDED)


@dataclass(frozen=True)
class Differences:
    """Two results and what is not the same in them, by kind of ``rows.KEYS``."""

    a: Result
    b: Result
    kinds: Mapping[str, Compared]

    @property
    def verdicts(self) -> int:
        """Verdicts that both results have: on claims, on their pieces of evidence, on contrasts."""
        return sum(self.kinds[kind].both for kind in ("claims", "pieces", "contrasts"))

    @property
    def verdicts_changed(self) -> int:
        """Verdicts that both have and that differ."""
        judged = sum(self.kinds[kind].verdicts_changed for kind in ("pieces", "contrasts"))
        return self.kinds["claims"].count(CHANGED) + judged

    @property
    def estimates(self) -> int:
        """Estimates that both results have."""
        return sum(self.kinds[kind].estimates for kind in ESTIMATES)

    def moved(self, change: str) -> int:
        """Estimates of that change."""
        return sum(self.kinds[kind].count(change) for kind in ESTIMATES)

    def only(self, side: str) -> int:
        """Claims and estimates of that side alone."""
        return sum(self.kinds[kind].count(side) for kind in ("claims", *ESTIMATES))

    @property
    def changed(self) -> bool:
        """Whether a verdict that both have changed, or an estimate moved apart."""
        return self.verdicts_changed > 0 or self.moved(APART) > 0


def compare_two(before: Path, after: Path) -> Differences:
    """Compare two results folders.

    Args:
        before: A, a ``results/<experiment>``.
        after: B, another.

    Raises:
        ResultError: a folder is no results folder, or a file of it can't be read.
        TableError: a table lacks a column.
    """
    a, b = read_result(before), read_result(after)
    kinds: dict[str, Compared] = {}
    for kind, keys in KEYS.items():
        sides = a.tables[kind], b.tables[kind]
        if kind == "settings":
            alone: set[Key] = {(row["kind"], row["name"]) for row in kinds["members"].rows}
            sides = settings_of_both(sides[0], alone), settings_of_both(sides[1], alone)
        kinds[kind] = (compare_estimates if kind in ESTIMATES else compare_values)(keys, *sides)
    return Differences(a, b, kinds)


def settings_of_both(settings: Mapping[Key, Any], alone: set[Key]) -> dict[Key, Any]:
    """Settings by their path as one text, without those of problems and optimizers that one side ``alone`` has."""
    return {(".".join(path),): value for path, value in settings.items() if member_of(path) not in alone}


def classify(a: Estimated, b: Estimated) -> str:
    """How far an estimate moved, whichever side is called A.

    In this order: estimate, interval and bound are equal but for rounding: ``same``; the estimates are: ``same estimate,
    other interval``; the intervals do not meet, a bound's open side counted as endless: ``moved apart``; each estimate
    lies inside the other's interval: ``moved within the intervals``; else ``moved``, as where one side has no estimate or
    no interval.
    """
    if near(a.estimate, b.estimate):
        return SAME if near(a.low, b.low) and near(a.high, b.high) and a.bound == b.bound else INTERVAL
    (a_low, a_high), (b_low, b_high) = a.allowed, b.allowed
    if a_high < b_low or b_high < a_low:
        return APART
    if a_low <= b.estimate <= a_high and b_low <= a.estimate <= b_high:
        return WITHIN
    return MOVED


def near(a: float, b: float) -> bool:
    """Whether two numbers are equal but for rounding; NaN is equal to NaN."""
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def one_side(key: Key, a: Mapping[Key, Any], b: Mapping[Key, Any]) -> str:
    """``only in A``, ``only in B``, or empty for a row of both."""
    return ONLY_A if key not in b else ONLY_B if key not in a else ""


def compare_values(keys: Key, a: Mapping[Key, Any], b: Mapping[Key, Any]) -> Compared:
    """Rows whose values differ: ``value_a`` and ``value_b``, None where a side has no such row.

    Args:
        keys: names of the parts of what identifies a row.
    """
    rows = []
    for key in dict.fromkeys([*a, *b]):
        change = one_side(key, a, b) or (SAME if a[key] == b[key] else CHANGED)
        if change != SAME:
            identity = dict(zip(keys, key, strict=True))
            rows.append({**identity, "value_a": a.get(key), "value_b": b.get(key), "change": change})
    return Compared(rows, len(a.keys() & b.keys()))


def compare_estimates(keys: Key, a: Mapping[Key, Estimated], b: Mapping[Key, Estimated]) -> Compared:
    """Rows whose estimate, interval, verdict or n differ, and ``difference``, B minus A; NaN, n 0 where a side has no row.

    Changed verdicts come first, then what moved farthest.

    Args:
        keys: names of the parts of what identifies a row.
    """
    rows = []
    for key in dict.fromkeys([*a, *b]):
        of_a, of_b = a.get(key, NOTHING), b.get(key, NOTHING)
        change = one_side(key, a, b) or classify(of_a, of_b)
        if change == SAME and judged_by(of_a) == judged_by(of_b):
            continue
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        for name in ("verdict", "size", "estimate", "low", "high", "n", "bound", "remarks"):
            row |= {f"{name}_a": getattr(of_a, name), f"{name}_b": getattr(of_b, name)}
        if of_a.place or of_b.place:
            row["place"] = of_b.place or of_a.place
        rows.append({**row, "difference": of_b.estimate - of_a.estimate, "change": change})
    order = {change: i for i, change in enumerate((*MOVES, SAME, *ONE_SIDED))}
    rows.sort(key=lambda row: (row["change"] in ONE_SIDED or not is_judged_otherwise(row), order[row["change"]]))
    common = a.keys() & b.keys()
    known = sum(not (math.isnan(a[key].estimate) and math.isnan(b[key].estimate)) for key in common)
    return Compared(rows, len(common), known)


def judged_by(estimated: Estimated) -> tuple[str, str, int]:
    """The verdict on an estimate, and n."""
    return estimated.verdict, estimated.size, estimated.n


def is_judged_otherwise(row: Mapping[str, Any]) -> bool:
    """Whether the two sides' verdicts differ."""
    return any(row.get(f"{name}_a") != row.get(f"{name}_b") for name in ("verdict", "size"))


def as_json(differences: Differences) -> str:
    """Everything that the page says, as JSON: NaN as null, infinity as text."""
    sides = {
        side: {"experiment": result.experiment, "git_commit": result.commit}
        for side, result in (("a", differences.a), ("b", differences.b))
    }
    document = {
        **sides,
        "changed": differences.changed,
        "verdicts": {"both": differences.verdicts, "changed": differences.verdicts_changed},
        "estimates": {
            "both": differences.estimates,
            **{change: differences.moved(change) for change in MOVES},
        },
        **{side: differences.only(side) for side in (ONLY_A, ONLY_B)},
        "kinds": {
            kind: {"both": compared.both, "same": compared.stayed, "rows": compared.rows}
            for kind, compared in differences.kinds.items()
        },
    }
    return json.dumps(_plain(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
