"""Sensitivity to the learning rate, and alarms."""

from __future__ import annotations

import pandas as pd
import pytest

from descentlab.analysis.comparison import TABLES
from descentlab.report.answers import ALARMS
from descentlab.report.blocks import Paragraph
from descentlab.report.drawing import value_range
from descentlab.report.marks import Marks
from descentlab.report.phrases import CELLS
from descentlab.report.sections import Evidence
from descentlab.report.sections.tuning import alarms, compare_widths, range_words, sensitivity, width_words
from descentlab.storage.tables import empty_table
from support.comparison_fixture import generated_runs
from support.report_evidence import changed, evidence_of, table_named, titles, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def widths_table(*rows: tuple[str, float, bool]) -> pd.DataFrame:
    return pd.DataFrame([{"problem": "up", "optimizer": o, "width": w, "censored": c, "n": 2} for o, w, c in rows])


def sensitivity_table(**best: float) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "problem": "up",
                "optimizer": o,
                "learning_rate": 0.1,
                "n": 2,
                "n_diverged": 0,
                "val_metric_mean": v,
                "val_metric_low": v,
                "val_metric_high": v,
                "chosen": True,
                "edge": "",
            }
            for o, v in best.items()
        ]
    )


def test_the_widest_and_the_narrowest_range_of_good_rates(evidence: Evidence) -> None:
    tables = changed(
        evidence,
        widths=widths_table(("adam", 2.5, True), ("sgd", 0.5, False), ("rmsprop", 1.0, False)),
        sensitivity=sensitivity_table(adam=0.9, sgd=0.9, rmsprop=0.9),
    )
    widths = compare_widths(tables, "up")
    assert values_of(width_words(Marks(), widths)) == ["adam", 2.5, "sgd", 0.5]
    widest, narrowest, _ = (range_words(Marks(), row) for _, row in widths.iterrows())
    assert widest in width_words(Marks(), widths) and narrowest in width_words(Marks(), widths)


def test_a_range_that_the_grid_cut_off_is_a_bound() -> None:
    (cut, whole) = (
        range_words(Marks(), row) for _, row in widths_table(("adam", 1.0, True), ("adam", 1.0, False)).iterrows()
    )
    assert values_of(cut) == values_of(whole) == ["adam", 1]
    assert "(1 " in whole and "(1 " not in cut  # a word before the number says so


def test_who_is_bad_at_every_rate_is_not_called_robust(evidence: Evidence) -> None:
    tables = changed(
        evidence,
        widths=widths_table(("adam", 1.0, False), ("gd", 6.0, True)),
        sensitivity=sensitivity_table(adam=0.9, gd=0.1),  # the margin is 0.02
    )
    assert list(compare_widths(tables, "up")["optimizer"]) == ["adam"]
    assert values_of(width_words(Marks(), compare_widths(tables, "up"))) == ["adam", 1]


def test_no_rate_finished() -> None:
    """As it comes from the runs: one seed of every rate of every optimizer diverged on one of two problems."""
    runs = generated_runs(0)
    tuning = (runs["phase"] == "tuning") & (runs["problem"] == "up")
    runs.loc[tuning & (runs["seed"] == runs.loc[tuning, "seed"].min()), "status"] = "diverged"
    evidence = evidence_of(runs)
    assert compare_widths(evidence, "up").empty and not compare_widths(evidence, "down").empty
    up, down = titles(sensitivity(evidence))[:2]
    assert values_of(up) == ["up"] and len(values_of(down)) > 1  # no optimizer and no number, or some


@pytest.mark.parametrize(
    ("means", "higher", "limits"),
    [([], True, (0.0, 1.0)), ([0.2, 0.9], True, (0.2, 0.9)), ([0.5, 0.6, 0.7, 1e6], False, (0.5, 1.5))],
)
def test_the_axis_of_sensitivity_shows_the_better_end(
    means: list[float], higher: bool, limits: tuple[float, float]
) -> None:
    assert value_range(pd.Series(means, dtype=float), higher) == pytest.approx(limits)


def test_no_tuning_no_sensitivity() -> None:
    runs = generated_runs(0)
    assert sensitivity(evidence_of(runs[runs["phase"] == "final"])) is None


def test_alarms_are_counted_and_listed(evidence: Evidence) -> None:
    table = table_named(alarms(evidence), "alarm-table")
    assert values_of(table.title) == [2, 2] and "edge" in table.title and "unscored" in table.title
    assert [row[3] for row in table.rows] == ["rmsprop", "rmsprop", "", ""]


def test_every_kind_of_alarm_has_a_name_to_be_translated() -> None:
    assert set(CELLS) >= set(ALARMS)


def test_no_alarm_is_said(evidence: Evidence) -> None:
    (block,) = alarms(changed(evidence, alarms=empty_table(TABLES["alarms"]))).blocks
    assert isinstance(block, Paragraph) and block.text and values_of(block.text) == []
