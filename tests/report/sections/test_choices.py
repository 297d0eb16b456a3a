"""The table of chosen learning rates."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from descentlab.experiment.operations import OPERATIONS_COLUMNS
from descentlab.report.sections.choices import choices_table, effective_rates_table
from descentlab.storage.tables import check_table
from support.report_evidence import evidence_of


def test_every_choice_stands_with_its_cost_and_its_alarms() -> None:
    evidence = evidence_of()
    table = choices_table(evidence)
    assert len(table.rows) == len(evidence.selections)
    by_row = {(row[0], row[1]): row[2:] for row in table.rows}
    assert by_row["up", "adam"] == ["0.01", "0.01", "0.001 … 0.1", "3", "6", ""]  # 3 rates on 2 seeds
    assert by_row["up", "rmsprop †"][-1] == "edge"


def test_effective_rates_are_those_of_both_arms() -> None:
    counts = {
        "parameters": 1,
        "batch_size": 8,
        "gradient_operations": 1.0,
        "update_operations": 1.0,
        "update_bytes": 12.0,
    }
    rows = [
        {**counts, "model": model, "optimizer": name, "update_size": size}
        for model in ("up", "a standard model")
        for name, size in (("sgd", 0.02), ("adam", 1.0))
    ]
    evidence = evidence_of()
    sizes = check_table(pd.DataFrame(rows), OPERATIONS_COLUMNS, "hand-made")
    table = effective_rates_table(replace(evidence, measured={"operations": sizes}))
    assert table is not None
    assert table.rows == [["up", "sgd", "0.02", "0.0002", "0.0002"], ["up", "adam", "1", "0.01", "0.01"]]
    assert effective_rates_table(evidence) is None


def test_an_optimizer_without_a_learning_rate_has_no_choice() -> None:
    evidence = evidence_of()
    first, *others = evidence.selections
    without = {**first, "learning_rate": None, "grid": [None], "plateau": [None, None]}
    table = choices_table(replace(evidence, selections=[without, *others]))
    assert len(table.rows) == len(others)
