"""The best of k rates: every sentence follows hand-made curves."""

from __future__ import annotations

import base64
import gzip
import io
from types import SimpleNamespace
from typing import cast

import pandas as pd

from descentlab.analysis.best_of_k import BEST_OF_K_COLUMNS, measure_best_of_k
from descentlab.analysis.rank_stability import FLIP_COLUMNS
from descentlab.analysis.tables import Comparison
from descentlab.report.blocks import Figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.rank_stability import flips
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan, generated_runs, generated_selections
from support.report_evidence import found


def best_of_k_rows(**curves: list[float]) -> pd.DataFrame:
    """Rows of BEST_OF_K_COLUMNS on the problem "up"."""
    rows = [
        {
            "problem": "up",
            "optimizer": name,
            "k": k,
            "val_metric": value,
            "low": value - 0.01,
            "high": value + 0.01,
            "n_points": len(values),
            "n_out": 0,
            "n_seeds": 3,
        }
        for name, values in curves.items()
        for k, value in enumerate(values, 1)
    ]
    return check_table(pd.DataFrame(rows), BEST_OF_K_COLUMNS, "hand-made")


def figure(table: pd.DataFrame) -> Figure:
    """The figure of a best-of-k table, as it stands in its section."""
    tables = SimpleNamespace(flips=empty_table(FLIP_COLUMNS), best_of_k=table)
    (block,) = found(flips(Evidence(generated_plan(), cast(Comparison, tables), []))).blocks
    assert isinstance(block, Figure)
    return block


def test_the_best_changes_hands_or_not() -> None:
    crossing = best_of_k_rows(adam=[0.9, 0.92], sgd=[0.5, 0.95])
    parallel = best_of_k_rows(adam=[0.9, 0.95], sgd=[0.5, 0.92])
    head = "From one rate tried to the whole grid, the best expected validation metric changes hands on "
    assert figure(crossing).takeaway == (
        f"{head}1 of 1 problem: from Adam to plain SGD on up; Adam is ahead of plain SGD on 1 of 1 with one rate, on 0 with "
        "the whole grid"
    )
    assert figure(parallel).takeaway == (
        f"{head}0 of 1 problem; Adam is ahead of plain SGD on 1 of 1 with one rate, on 1 with the whole grid"
    )


def test_the_figure_says_what_it_shows() -> None:
    table = measure_best_of_k(generated_plan(), generated_runs(0), generated_selections())
    shown = figure(table)
    assert "n = 2 tuning seeds" in shown.caption and "95 % t interval" in shown.caption
    assert "0 of 30 points of the grids had" in shown.caption
    assert "Better is: up upwards and down downwards." in shown.caption
    assert f'aria-label="{shown.takeaway}. Expected mean' in shown.svg
    assert shown.svg.count(">adam</text>") == 1
    assert list(pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(shown.csv))))) == list(BEST_OF_K_COLUMNS)


def test_points_that_did_not_finish_are_counted() -> None:
    table = best_of_k_rows(adam=[0.9, 0.92], sgd=[0.5, 0.95])
    table.loc[table["optimizer"] == "sgd", "n_out"] = 1
    assert "1 of 4 points of the grids had a seed that didn't finish and counts as" in figure(table).caption
