"""The tables of what changed between two results: a section for each kind of row, in the reader's language."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from descentlab.i18n.wording import counted, message, words
from descentlab.report.blocks import csv_text
from descentlab.report.diff.compared import (
    APART,
    ESTIMATES,
    INTERVAL,
    MOVED,
    ONLY_A,
    ONLY_B,
    SAME,
    WITHIN,
    Compared,
    Differences,
)
from descentlab.report.diff.rows import KEYS
from descentlab.report.diff.settings import MEMBERS
from descentlab.report.formatting import BOUND_SIGNS, interval, number, with_direction
from descentlab.report.phrases import arm_cell, place_words, remark_words, unit_words

MOST_OPEN = 30  # rows of a table that is shown unasked
ABSENT = "–"
JUDGED = ("pieces", "contrasts")  # estimates with a verdict
SIDES = ("a", ONLY_B), ("b", ONLY_A)  # each with what it lacks
ENDINGS = {
    "finished": message("{n} finished"),
    "diverged": message("{n} diverged"),
    "failed": message("{n} failed"),
    "missing": message("{n} missing"),
}
HOW_MANY = {
    APART: message("{n} moved apart"),
    MOVED: message("{n} moved"),
    WITHIN: message("{n} moved within the intervals"),
    INTERVAL: message("{n} the same with a different interval"),
}
HEADERS = {
    "kind": message("kind"),
    "name": message("name"),
    "setting": message("setting"),
    "claim": message("claim"),
    "where": message("on"),
    "unit": message("unit"),
    "problem": message("problem"),
    "arm": message("arm"),
    "contrast": message("contrast"),
    "metric": message("metric"),
    "optimizer": message("optimizer"),
    "target": message("target"),
}
SECTIONS = {
    "members": message("Problems and optimizers"),
    "settings": message("Settings and versions"),
    "claims": message("Claims"),
    "pieces": message("Evidence behind the claims"),
    "contrasts": message("Contrasts"),
    "finals": message("Final test metric"),
    "speed": message("Time to target"),
    "rates": message("What tuning chose"),
    "runs": message("How final runs ended"),
}
CAPTIONS = {
    "members": message("What only one of the two results has."),
    "settings": message(
        "From plan.json: the config with its defaults, problems, optimizers, versions. Entries of a problem or an optimizer "
        "that only one side has are left out here."
    ),
    "claims": message("A claim's verdict sums up those of its pieces of evidence."),
    "pieces": message(
        "A positive difference, or a ratio above 1, agrees with the claim. Intervals and verdicts are Holm-corrected over the "
        "claim's pieces."
    ),
    "contrasts": message(
        "Paired difference of the final test metric, positive where the first is better, with its 95 % interval over seeds and "
        "test examples. The interval is not corrected, so that it does not depend on how many problems a result has; verdicts "
        "are corrected for their number."
    ),
    "finals": message("Mean over the finished seeds, with its 95 % interval over seeds and test examples."),
    "speed": message(
        "Geometric mean of the paired ratios of updates to the target, relative to plain SGD, with its 95 % interval over "
        "seeds; below 1 is faster. A miss counts as the budget, so the ratio may be a bound. Each result has its own target, as"
        " it depends on what its reference reaches."
    ),
    "rates": message("edge: the end of the grid that the chosen rate lies on. extended: the arm of that name."),
    "runs": message("Final runs by how they ended."),
}


@dataclass(frozen=True)
class Cell:
    """A cell: a text, the class that it is shown with, and the verdict above it (``verdict``, ``size``)."""

    text: str = ""
    look: str = ""
    judged: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ChangeTable:
    """One kind's section: the rows that changed, and in words how many did not."""

    identity: str
    title: str
    takeaway: str
    headers: list[str]
    rows: list[list[Cell]]
    caption: str
    stayed: str
    csv: str
    matters: bool

    @property
    def foldable(self) -> bool:
        """Whether the reader can close the table; one without a changed verdict or an estimate that moved apart is closed."""
        return len(self.rows) > MOST_OPEN


def change_table(differences: Differences, kind: str) -> ChangeTable:
    """The section of one kind of ``rows.KEYS``."""
    compared = differences.kinds[kind]
    keys = [key for key in KEYS[kind] if key not in {"first", "second"}]
    if kind == "contrasts":
        keys.insert(2, "contrast")
    headers = [words(HEADERS[key]) for key in keys]
    if kind in ESTIMATES:
        headers += [words("estimate"), "A", "B", words("B − A")]
    else:
        headers += [words("change"), *(("A", "B") if kind in VALUES else ())]
    cells_of = estimate_cells if kind in ESTIMATES else value_cells
    rows = [[*identity(differences, row, keys), *cells_of(kind, row)] for row in compared.rows]
    if kind in JUDGED and any(row["remarks_a"] or row["remarks_b"] for row in compared.rows):
        headers.append(words("note"))
        rows = [[*cells, note_cell(row)] for cells, row in zip(rows, compared.rows, strict=True)]
    return ChangeTable(
        kind,
        words(SECTIONS[kind]),
        takeaway(kind, compared),
        headers,
        rows,
        words(CAPTIONS[kind]),
        stayed(compared),
        csv_link(compared.rows),
        kind in ESTIMATES and compared.verdicts_changed + compared.count(APART) > 0,
    )


def takeaway(kind: str, compared: Compared) -> str:
    """What became of one kind's rows."""
    only = [(compared.count(ONLY_A), message("{n} only in A")), (compared.count(ONLY_B), message("{n} only in B"))]
    parts = [words(text, n=count) for count, text in only if count]
    changed = len(compared.rows) - sum(count for count, _ in only)
    if compared.estimates:
        parts = [words(text, n=compared.count(move)) for move, text in HOW_MANY.items() if compared.count(move)] + parts
        if kind in JUDGED:
            verdicts = words("{n} of {total} verdicts changed", n=compared.verdicts_changed, total=compared.both)
            parts = [verdicts, *parts]
        elif compared.count(SAME):
            parts = [words("{n} the same with a different n", n=compared.count(SAME)), *parts]
    elif changed:
        parts = [words("{n} of {total} changed", n=changed, total=compared.both), *parts]
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def stayed(compared: Compared) -> str:
    """How many rows are the same on both sides."""
    if not compared.both and not compared.rows:
        return words("Neither result has any.")
    if not compared.rows:
        return counted(compared.both, "The only row is the same in both.", "All {n} are the same in both.")
    return words("{n} of the {total} that both have are the same.", n=compared.stayed, total=compared.both)


def identity(differences: Differences, row: dict[str, Any], keys: list[str]) -> list[Cell]:
    """The cells that say which row it is."""
    cells = []
    for key in keys:
        if key == "contrast":
            text = f"{row['first']} \N{MINUS SIGN} {row['second']}"
        elif key == "kind":
            text = words(MEMBERS[row[key]])
        elif key == "claim":
            text = differences.b.statements.get(row[key]) or differences.a.statements[row[key]]
        elif key == "where":
            text = place_words(row["place"])
        elif key == "unit":
            text = unit_words(row[key])
        elif key == "arm":
            text = arm_cell(row[key])
        elif key == "metric":
            text = metric_words(differences, row)
        else:
            text = words(row[key]) if key == "target" else row[key]
        cells.append(Cell(text, "wide" if key == "where" or (key == "metric" and "first" not in row) else ""))
    return cells


def metric_words(differences: Differences, row: dict[str, Any]) -> str:
    """A metric, with its direction where the metric itself is shown and no difference that is positive where better."""
    metric = words(row["metric"])
    if "first" in row:
        return metric
    sides = (differences.a, differences.b) if row["change"] == ONLY_A else (differences.b, differences.a)
    higher = next(side.higher_is_better[row["problem"]] for side in sides if row["problem"] in side.higher_is_better)
    return with_direction(metric, higher)


def estimate_cells(kind: str, row: dict[str, Any]) -> list[Cell]:
    """How far the estimate moved, and what both sides have: the estimates with their intervals and verdicts."""
    cells = [Cell(words(row["change"]), "apart" if row["change"] == APART else "")]
    for side, absent in SIDES:
        if row["change"] == absent:
            cells.append(Cell(ABSENT))
            continue
        estimate, low, high, n, bound = (row[f"{name}_{side}"] for name in ("estimate", "low", "high", "n", "bound"))
        ends = unbroken(interval(estimate, low, high, n, signed=kind == "contrasts"))
        cells.append(Cell(f"{words(BOUND_SIGNS[bound])}{ends}", "wide", judged_on(row, side)))
    shown = not math.isnan(row["difference"]) and row["change"] not in {SAME, INTERVAL}
    return [*cells, Cell(number(row["difference"], signed=True) if shown else "", "n")]


def unbroken(text: str) -> str:
    """An estimate that breaks into lines before its interval and before its n, and nowhere else."""
    return (
        text.replace(", ", ",\N{NO-BREAK SPACE}")
        .replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
        .replace(",\N{NO-BREAK SPACE}n", ", n")
    )


def note_cell(row: dict[str, Any]) -> Cell:
    """What a reader must know of either side's estimate."""
    sides = dict.fromkeys(remark_words(row[f"remarks_{side}"]) for side in ("a", "b"))
    return Cell("; ".join(filter(None, sides)), "note")


def value_cells(kind: str, row: dict[str, Any]) -> list[Cell]:
    """What changed, and what both sides have."""
    cells = [Cell(words(row["change"]))]
    for side, absent in SIDES if kind in VALUES else ():
        cells.append(Cell(ABSENT) if row["change"] == absent else VALUES[kind](row[f"value_{side}"]))
    return cells


def setting_text(value: Any) -> str:
    """A setting as a reader of the config knows it: text as it is, all else as JSON."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, sort_keys=True)


def runs_cell(endings: dict[str, int]) -> Cell:
    """``8 finished, 2 diverged``."""
    return Cell(", ".join(words(ENDINGS[ending], n=count) for ending, count in endings.items()))


def setting_cell(value: Any) -> Cell:
    """A setting's value."""
    return Cell(setting_text(value))


def verdict_cell(judged: Mapping[str, Any]) -> Cell:
    """A verdict alone."""
    return Cell(judged=judged)


def judged_on(row: Mapping[str, Any], side: str) -> Mapping[str, Any] | None:
    """The verdict of one side; None where nothing is judged."""
    names = ("verdict", "size")
    return {name: row[f"{name}_{side}"] for name in names} if row[f"verdict_{side}"] else None


# How the values of a kind are shown; that a problem or an optimizer is there has no value.
VALUES: dict[str, Callable[[Any], Cell]] = {
    "settings": setting_cell,
    "claims": verdict_cell,
    "rates": setting_cell,
    "runs": runs_cell,
}


def csv_link(rows: list[dict[str, Any]]) -> str:
    """A data: URI of the rows as CSV, which needs no script; what is no number or text is JSON."""
    plain = [
        {name: setting_text(value) if isinstance(value, dict | list | tuple) else value for name, value in row.items()}
        for row in rows
    ]
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(csv_text(pd.DataFrame(plain)).encode()).decode()
