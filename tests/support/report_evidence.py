"""The generated experiment as the report sees it, and what to look for in a section."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from typing import Any

import pandas as pd

from descentlab.analysis.compare import compare_runs
from descentlab.analysis.tables import Comparison
from descentlab.report.blocks import Figure, Section, Table
from descentlab.report.sections import Evidence
from support.comparison_fixture import (
    NO_EXAMPLES,
    OPTIMIZERS,
    PROBLEMS,
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
)


@functools.cache
def generated_comparison() -> Comparison:
    """Of the generated experiment as it is; tests read it, and change copies of its tables."""
    runs = generated_runs(0)
    return compare_runs(generated_plan(), runs, generated_history(runs), generated_selections(), NO_EXAMPLES)


def evidence_of(runs: pd.DataFrame | None = None, **config: Any) -> Evidence:
    plan, selections = generated_plan(**config), generated_selections()
    if runs is None and not config:
        return Evidence(plan, generated_comparison(), selections)
    runs = generated_runs(0) if runs is None else runs
    return Evidence(plan, compare_runs(plan, runs, generated_history(runs), selections, NO_EXAMPLES), selections)


def changed(evidence: Evidence, **tables: pd.DataFrame) -> Evidence:
    return dataclasses.replace(evidence, comparison=dataclasses.replace(evidence.comparison, **tables))


def found(section: Section | None) -> Section:
    assert section is not None
    return section


# What an English sentence calls an optimizer that it doesn't call by its name.
TITLES = {"plain SGD": "sgd", "SGD with momentum": "momentum", "Adam": "adam"}
NAMES = {**TITLES, **{name: name for name in (*PROBLEMS, *OPTIMIZERS, "adagrad")}}
VALUE = re.compile(
    rf"\b(?:{'|'.join(sorted(map(re.escape, NAMES), key=len, reverse=True))}|never)\b"
    r"|(?<![\w.])[+−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+−]?\d+)?"
)


def values_of(sentence: str) -> list[str | float]:
    """The optimizers and problems that a sentence names and its numbers, in their order: what it says, not how.

    ``never`` is inf; the 95 of "95 %" and digits inside a word are no exception.
    """
    return [
        NAMES[value]
        if value in NAMES
        else math.inf
        if value == "never"
        else float(value.replace(",", "").replace("−", "-"))
        for value in VALUE.findall(sentence)
    ]


def titles(section: Section | None) -> list[str]:
    return [block.takeaway for block in found(section).blocks if isinstance(block, Figure)]


def table_named(section: Section | None, identity: str) -> Table:
    (table,) = [b for b in found(section).blocks if isinstance(b, Table) and b.identity == identity]
    return table
