"""The best of k rates: every sentence follows hand-made curves."""

from __future__ import annotations

import base64
import gzip
import io
import re

import pandas as pd
import pytest

from descentlab.analysis.best_of_k import BEST_OF_K_COLUMNS, measure_best_of_k
from descentlab.analysis.rank_stability import RANK_STABILITY_COLUMNS
from descentlab.report.blocks import Figure
from descentlab.report.sections import Evidence, best_of_k
from descentlab.report.sections.rank_stability import rank_stability
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan, generated_runs, generated_selections
from support.report_evidence import found, hand_made, values_of


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
    tables = hand_made(rank_stability=empty_table(RANK_STABILITY_COLUMNS), best_of_k=table)
    (block,) = found(rank_stability(Evidence(generated_plan(), tables, []))).blocks
    assert isinstance(block, Figure)
    return block


def test_the_best_changes_hands_or_not() -> None:
    crossing = best_of_k_rows(adam=[0.9, 0.92], sgd=[0.5, 0.95])
    parallel = best_of_k_rows(adam=[0.9, 0.95], sgd=[0.5, 0.92])
    hands = [1, 1, "adam", "sgd", "up"]
    assert values_of(figure(crossing).takeaway) == [*hands, "adam", "sgd", 1, 1, 0]
    assert values_of(figure(parallel).takeaway) == [0, 1, "adam", "sgd", 1, 1, 1]


def test_the_figure_says_what_it_shows() -> None:
    table = measure_best_of_k(generated_plan(), generated_runs(0), generated_selections())
    shown = figure(table)
    # The year of the method; problems with the direction of better; interval and seeds; lost points and all.
    assert values_of(shown.caption) == [2019, "up", "down", 95, 2, 0, 30]
    assert re.findall(r"(\w+) (up|down)ward", shown.caption) == [("up", "up"), ("down", "down")]
    assert f'aria-label="{shown.takeaway}. ' in shown.svg
    assert shown.svg.count(">adam</text>") == 1
    assert list(pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(shown.csv))))) == list(BEST_OF_K_COLUMNS)


def test_points_that_did_not_finish_are_counted() -> None:
    table = best_of_k_rows(adam=[0.9, 0.92], sgd=[0.5, 0.95])
    table.loc[table["optimizer"] == "sgd", "n_out"] = 1
    whole = best_of_k_rows(adam=[0.9, 0.92], sgd=[0.5, 0.95])
    counted = [values_of(figure(one).caption) for one in (whole, table)]
    (changed,) = [i for i, (before, after) in enumerate(zip(*counted, strict=True)) if before != after]
    assert (counted[0][changed : changed + 2], counted[1][changed : changed + 2]) == ([0, 4], [1, 4])


def test_an_optimizer_that_finished_at_no_rate_leads_nobody() -> None:
    table = best_of_k_rows(adam=[0.5, 0.9], sgd=[0.7, 0.7])
    before = figure(table).takeaway
    table.loc[table["optimizer"] == "sgd", "n_out"] = 2
    assert "sgd" in values_of(before) and "sgd" not in values_of(figure(table).takeaway)


@pytest.mark.parametrize("higher", [True, False])
def test_who_finished_at_no_rate_has_its_name_at_the_worse_end_of_a_tie(
    higher: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One optimizer finished at one rate: the other, all of whose rates are out, has the same expected value."""
    runs = generated_runs(0)
    runs = runs[(runs["problem"] == ("up" if higher else "down")) & runs["optimizer"].isin(["sgd", "adam"])]
    tuning = runs["phase"] == "tuning"
    for finisher in ("sgd", "adam"):
        lost = tuning & ((runs["optimizer"] != finisher) | (runs["learning_rate"] != 0.01))
        some = runs.assign(status=runs["status"].mask(lost, "diverged"))
        ordered: list[str] = []
        monkeypatch.setattr(best_of_k, "label_ends", lambda _, ends, into=ordered: into.extend(ends))
        figure(measure_best_of_k(generated_plan(), some, generated_selections()))
        assert ordered[-1 if higher else 0] == finisher  # names at one height are stacked upward
