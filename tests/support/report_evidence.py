"""The generated experiment as the report sees it, and what to look for in a section."""

from __future__ import annotations

import dataclasses
import math
import re
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd

from descentlab.analysis.comparison import TABLES, Comparison
from descentlab.report.blocks import Figure, Section, Table
from descentlab.report.sections import Evidence
from descentlab.report.sections.landscape_words import TITLES as LANDSCAPE_TITLES
from descentlab.storage.tables import empty_table
from support.comparison_fixture import (
    OPTIMIZERS,
    PROBLEMS,
    generated_plan,
    generated_selections,
)
from support.generated_comparisons import compared, generated_comparison


def evidence_of(runs: pd.DataFrame | None = None, **config: Any) -> Evidence:
    plan, selections = generated_plan(**config), generated_selections()
    if runs is None and not config:
        return Evidence(plan, generated_comparison(), selections)
    return Evidence(plan, compared(plan, runs), selections)


def changed(evidence: Evidence, **tables: pd.DataFrame) -> Evidence:
    return dataclasses.replace(evidence, comparison=dataclasses.replace(evidence.comparison, **tables))


def hand_made(**tables: pd.DataFrame) -> Comparison:
    """A comparison of these tables alone, and of an empty summary: no row has a mark."""
    return cast(Comparison, SimpleNamespace(**{"summary": empty_table(TABLES["summary"]), **tables}))


def found(section: Section | None) -> Section:
    assert section is not None
    return section


# What an English sentence calls an optimizer that it doesn't call by its name.
TITLES = {
    "plain SGD": "sgd",
    "Plain SGD": "sgd",
    "plain descent": "sgd",
    "SGD with momentum": "momentum",
    "Adam": "adam",
}
OTHERS = ("adagrad", "mlp", "logistic_regression", "slides_mlp", "slides_cnn", *LANDSCAPE_TITLES)
NAMES = {**TITLES, **{name: name for name in (*PROBLEMS, *OPTIMIZERS, *OTHERS)}}
VALUE = re.compile(  # "up" is a problem; to make up for something is none
    rf"\b(?<!make )(?:{'|'.join(sorted(map(re.escape, NAMES), key=len, reverse=True))}|never)\b"
    r"|(?<![\w.])[+−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+−-]?\d+)?"
)


def values_of(sentence: str) -> list[str | float]:
    """The optimizers, problems and landscapes that a sentence names and its numbers, in their order: what it says, not how.

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
