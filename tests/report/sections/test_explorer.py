"""The explorer's section: what it offers and says, and that it is the same every time."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest

from descentlab.analysis.comparison import TABLES
from descentlab.report.explorer_data import collect_curves
from descentlab.report.sections.explorer import chart_library, chart_specs, explorer
from descentlab.storage.tables import empty_table
from support.comparison_fixture import SEEDS
from support.explorer_block import block_of
from support.explorer_evidence import NAMES, collected, evidence_with_history
from support.report_evidence import changed, values_of


def test_without_a_history_there_are_means_alone() -> None:
    evidence = dataclasses.replace(evidence_with_history(), history=None)
    tables = collected(evidence)
    assert len(tables["means"]) and not len(tables["runs"]) and not len(tables["values"])
    block = block_of(evidence)
    assert not block.singles and block.caption != block_of(evidence_with_history()).caption


def test_many_single_runs_are_thinned_and_the_caption_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = evidence_with_history()
    few = collected(evidence, most_values=4 * 3 * len(evidence.comparison.scores))
    assert few["runs"]["evaluations"].max() == 4
    assert len(few["means"]) == len(evidence.comparison.curves)
    whole = block_of(evidence).caption
    # By sys.modules: the package's attribute of this name is the function.
    monkeypatch.setattr(
        sys.modules["descentlab.report.sections.explorer"],
        "collect_curves",
        functools.partial(collect_curves, most_values=1),
    )
    of_all, thinned = (values_of(caption) for caption in (whole, block_of(evidence).caption))
    assert (3.0, 6.0) in pairwise(thinned) and (3.0, 6.0) not in pairwise(of_all)  # 3 of 6 evaluations


def test_no_curves_no_explorer() -> None:
    assert explorer(changed(evidence_with_history(), curves=empty_table(TABLES["curves"]))) is None


def test_the_title_counts_what_can_be_chosen() -> None:
    runs = 2 * 2 * len(NAMES) * SEEDS
    assert values_of(block_of(evidence_with_history()).takeaway) == [runs, len(NAMES), 2]


def test_charts_and_library_are_the_same_every_time() -> None:
    assert chart_specs() == chart_specs()
    code = "from descentlab.report.sections.explorer import chart_library; print(chart_library(), end='')"
    other = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert other.stdout == chart_library()
    assert block_of(evidence_with_history()) == block_of(evidence_with_history())


def test_charts_name_no_address() -> None:
    assert "http" not in json.dumps(chart_specs())
