"""The table of chosen learning rates."""

from __future__ import annotations

from dataclasses import replace

from descentlab.report.sections.choices import choices_table
from support.report_evidence import evidence_of


def test_every_choice_stands_with_its_cost_and_its_alarms() -> None:
    evidence = evidence_of()
    table = choices_table(evidence)
    assert len(table.rows) == len(evidence.selections)
    by_row = {(row[0], row[1]): row[2:] for row in table.rows}
    assert by_row["up", "adam"] == ["0.01", "0.01", "0.001 … 0.1", "3", "6", ""]  # 3 rates on 2 seeds
    assert by_row["up", "rmsprop"][-1] == "edge"


def test_an_optimizer_without_a_learning_rate_has_no_choice() -> None:
    evidence = evidence_of()
    first, *others = evidence.selections
    without = {**first, "learning_rate": None, "grid": [None], "plateau": [None, None]}
    table = choices_table(replace(evidence, selections=[without, *others]))
    assert len(table.rows) == len(others)
