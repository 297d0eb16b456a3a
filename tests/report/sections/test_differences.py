"""Differences to the reference, on a generated experiment: adam is best, gd and rmsprop worst, sgd equals momentum."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from descentlab.analysis.remarks import remark
from descentlab.report.blocks import Figure
from descentlab.report.phrases import ARM_WORDS, CELLS, NOT_RUN, VERDICTS, remark_words
from descentlab.report.sections import Evidence
from descentlab.report.sections.differences import NO_PAIR, paired_differences
from support.comparison_fixture import ADVANTAGE, SEEDS, generated_runs
from support.report_evidence import changed, evidence_of, found, table_named, titles, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def with_adam_changed(by: float) -> pd.DataFrame:
    """Adam's final test goodness moved; positive is better."""
    runs = generated_runs(0)
    mine = (runs["optimizer"] == "adam") & (runs["phase"] == "final")
    runs.loc[mine, "test_metric"] += by * runs.loc[mine, "higher_is_better"].map({True: 1, False: -1})
    return runs


def verdict_counts(title: str) -> list[str | float]:
    """How many differences a title calls better, worse, negligible and inconclusive."""
    words = ("better", "worse", "negligib", "inconclusive")
    places = [title.index(word) for word in words]
    assert places == sorted(places)
    return values_of(title)[-len(words) :]


def test_differences_count_the_verdicts_of_each_arm(evidence: Evidence) -> None:
    for title, arm in zip(titles(paired_differences(evidence)), ("Tuned", "Default"), strict=True):
        assert title.startswith(arm) and verdict_counts(title) == [2, 4, 2, 0]
        assert values_of(title)[:2] == [8, "momentum"]


def test_differences_follow_the_data() -> None:
    assert verdict_counts(titles(paired_differences(evidence_of(with_adam_changed(-0.4))))[0]) == [0, 6, 2, 0]


def test_what_a_title_counts_adds_up(evidence: Evidence) -> None:
    contrasts = evidence.comparison.contrasts.copy()
    tuned = contrasts.index[(contrasts["second"] == "momentum") & (contrasts["arm"] == "tuned")]
    contrasts.loc[tuned[:3], "verdict"] = ["identical", "identical", "not tested"]
    *_, title = titles(paired_differences(changed(evidence, contrasts=contrasts)))[:1]
    n, _, *tallies = values_of(title)
    assert tallies[-2:] == [2, 1] and sum(map(float, tallies)) == n == 8


def test_differences_name_divergences() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "sgd") & (runs["phase"] == "final"), "status"] = "diverged"
    section = paired_differences(evidence_of(runs))
    # Lost on all six seeds of both problems: p = 2 / 2^6. All exploratory contrasts are rejected, so 0.05 is their level.
    assert verdict_counts(titles(section)[0]) == [2, 6, 0, 0]
    lost = remark_words([remark("diverged", name="sgd", n=6, seeds=6), remark("wins", won=0, decided=6)])
    assert lost in str(table_named(section, "contrasts").rows)
    figure = found(section).blocks[0]
    assert isinstance(figure, Figure)
    assert NO_PAIR in figure.svg and NOT_RUN not in figure.svg


def test_an_optimizer_that_a_problem_has_not_is_told_from_one_without_pairs() -> None:
    runs = generated_runs(0)
    runs = runs[~((runs["optimizer"] == "gd") & (runs["problem"] == "up"))]
    figure = found(paired_differences(evidence_of(runs))).blocks[0]
    assert isinstance(figure, Figure)
    assert NOT_RUN in figure.svg and NO_PAIR not in figure.svg


def test_all_contrasts_stand_in_the_table_with_interval_and_n(evidence: Evidence) -> None:
    table = table_named(paired_differences(evidence), "contrasts")
    assert len(table.rows) == len(evidence.comparison.contrasts) == 2 * 2 * 6
    row = next(row for row in table.rows if row[:3] == ["up", "tuned", "adam − momentum"])
    assert row[3:5] == ["primary", "better"]
    mean, low, high, n = re.findall(r"[+\d.]+", row[5])
    assert float(low) < float(mean) < float(high) and int(n) == SEEDS
    assert float(mean) == pytest.approx(ADVANTAGE["adam"], abs=0.01)


@pytest.mark.parametrize(("negligible", "false"), [(0, 0.8), (4, 0.8), (16, 0)])
def test_at_most_a_twentieth_of_what_was_rejected_is_expected_to_be_wrong(
    evidence: Evidence, negligible: int, false: float
) -> None:
    """The rate bounds the wrong ones among all rejected differences; those that are negligible may all be right."""
    contrasts = evidence.comparison.contrasts.copy()
    exploratory = contrasts.index[contrasts["declared"] == "exploratory"]
    contrasts.loc[exploratory, ["p_corrected", "verdict"]] = [0.01, "better"]
    contrasts.loc[exploratory[:negligible], "verdict"] = "negligible"
    caption = table_named(paired_differences(changed(evidence, contrasts=contrasts)), "contrasts").caption
    primary = len(contrasts) - len(exploratory)
    assert values_of(caption)[:5] == [primary, len(exploratory), 5, len(exploratory) - negligible, false]
    assert "at most" in caption


def test_cells_that_are_words_are_among_those_to_be_translated(evidence: Evidence) -> None:
    rows = evidence.comparison.contrasts
    assert set(ARM_WORDS) >= set(rows["arm"])
    assert set(CELLS) >= set(rows["declared"])
    assert set(VERDICTS) >= set(rows["verdict"])


def test_no_reference_no_differences() -> None:
    runs = generated_runs(0)
    plan_without = evidence_of(runs[runs["optimizer"] != "momentum"])
    assert paired_differences(plan_without) is None
