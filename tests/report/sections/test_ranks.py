"""The critical-difference diagram: every sentence follows hand-made tables."""

from __future__ import annotations

import base64
import gzip
import io
import re
from typing import cast

import pandas as pd

from descentlab.analysis.ranks import RANK_COLUMNS, measure_ranks
from descentlab.analysis.summary import summarize
from descentlab.report.blocks import Figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.ranks import ranks
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan, generated_runs
from support.report_evidence import found, hand_made, values_of

CLEAR = {"adam": 1.2, "momentum": 2.1, "rmsprop": 2.9, "sgd": 3.8}


def rank_rows(means: dict[str, float], p: float, least: float, arm: str = "tuned") -> pd.DataFrame:
    """Leaving out a problem moves a mean by a tenth, and the best stays best without nine of the problems."""
    table = pd.DataFrame({"optimizer": list(means), "mean_rank": list(means.values())})
    table = table.assign(
        least=table["mean_rank"] - 0.1, most=table["mean_rank"] + 0.1, n_first=[9, *[1] * (len(table) - 1)]
    )
    about = {"arm": arm, "n": 12, "n_optimizers": len(means), "friedman": 20.0, "p": p, "critical_difference": least}
    return check_table(table.assign(**about), RANK_COLUMNS, "hand-made")


def evidence(table: pd.DataFrame) -> Evidence:
    return Evidence(generated_plan(), hand_made(ranks=table), [])


def figures(table: pd.DataFrame) -> list[Figure]:
    blocks = found(ranks(evidence(table))).blocks
    assert all(isinstance(block, Figure) for block in blocks)
    return cast(list[Figure], blocks)


def test_without_ranks_there_is_no_section() -> None:
    assert ranks(evidence(empty_table(RANK_COLUMNS))) is None


def test_the_best_is_said_to_be_told_apart_from_those_beyond_the_critical_difference() -> None:
    for least, beaten in ((0.5, 3), (1.0, 2), (2.0, 1), (3.0, 0)):
        (figure,) = figures(rank_rows(CLEAR, 0.001, least))
        assert values_of(figure.takeaway) == [4, 0.001, 12, "adam", 1.2, beaten, 3, least, 9, 12]


def test_a_shared_best_is_shared() -> None:
    (figure,) = figures(rank_rows({"adam": 1.5, "sgd": 1.5, "momentum": 3.0}, 0.001, 1.0))
    assert values_of(figure.takeaway) == [3, 0.001, 12, "adam", "sgd", 1.5, 1, 1, 1, 9, 12]


def test_where_friedman_finds_nothing_nobody_is_named() -> None:
    (figure,) = figures(rank_rows(CLEAR, 0.2, 0.5))
    assert values_of(figure.takeaway) == [4, 0.2, 12]


def test_an_arm_a_figure_the_tuned_one_first() -> None:
    both = pd.concat([rank_rows(CLEAR, 0.001, 1.0, "default"), rank_rows(CLEAR, 0.001, 1.0)])
    assert [figure.identity for figure in figures(both)] == ["ranks-tuned", "ranks-default"]


def test_the_figure_says_who_is_left_out_and_what_ranks_do_not_say() -> None:
    (figure,) = figures(rank_rows(CLEAR, 0.001, 1.0))
    assert values_of(figure.caption)[-1] == "gd"
    assert 12 in values_of(figure.caption)
    assert f'aria-label="{figure.takeaway}'.replace("'", "&#x27;") in figure.svg
    assert all(figure.svg.count(f">{name}</text>") == 1 for name in CLEAR)
    (difference,) = re.findall(r">([^<]*difference[^<]*)<", figure.svg)
    assert values_of(difference) == [1]
    data = pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(figure.csv))))
    assert list(data) == list(RANK_COLUMNS)


def test_a_bar_for_each_group() -> None:
    # Bars are the only lines of their width: 0.9 apart, so within 1 three pairs, within 2 two groups of three.
    for least, bars in ((0.5, 0), (1.0, 3), (2.0, 2), (3.0, 1)):
        (figure,) = figures(rank_rows(CLEAR, 0.001, least))
        assert figure.svg.count("stroke-width: 2.2") == bars


def test_who_failed_on_one_problem_is_not_ranked_and_is_named() -> None:
    runs = pd.concat(
        [generated_runs(i).query("problem == 'up' and phase == 'final'").assign(problem=f"p{i}") for i in range(10)]
    )
    runs.loc[(runs["problem"] == "p0") & (runs["optimizer"] == "gd"), "status"] = "failed"
    table = measure_ranks(summarize(runs, runs[runs["status"] == "finished"], {}), "tuned")
    (figure,) = figures(table)
    assert "gd" not in set(table["optimizer"]) and values_of(figure.caption)[-1] == "gd"
