"""Final test metrics and differences, on a generated experiment: adam is best, gd and rmsprop worst, sgd equals momentum."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.remarks import remark
from descentlab.report.blocks import Figure
from descentlab.report.phrases import ARM_WORDS, CELLS, VERDICTS, remark_words
from descentlab.report.sections import Evidence
from descentlab.report.sections.outcome import (
    NO_PAIR,
    NOT_RUN,
    final_metric,
    leader,
    paired_differences,
    shown_range,
)
from support.comparison_fixture import ADVANTAGE, SEEDS, generated_runs
from support.report_evidence import evidence_of, found, table_named, titles, values_of


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


def test_differences_name_divergences() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "sgd") & (runs["phase"] == "final"), "status"] = "diverged"
    section = paired_differences(evidence_of(runs))
    # Lost on all six seeds of both problems: p = 2 / 2^6, not below 0.05 / 2.
    assert verdict_counts(titles(section)[0]) == [2, 4, 0, 2]
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


def test_cells_that_are_words_are_among_those_to_be_translated(evidence: Evidence) -> None:
    rows = evidence.comparison.contrasts
    assert set(ARM_WORDS) >= set(rows["arm"])
    assert set(CELLS) >= set(rows["declared"])
    assert set(VERDICTS) >= set(rows["verdict"])


def test_no_reference_no_differences() -> None:
    runs = generated_runs(0)
    plan_without = evidence_of(runs[runs["optimizer"] != "momentum"])
    assert paired_differences(plan_without) is None


def test_the_best_mean_is_named_with_interval_and_distance(evidence: Evidence) -> None:
    summary = evidence.comparison.summary[evidence.comparison.summary["problem"] == "up"]
    text = leader(summary, "tuned")
    name, mean, low, high, n, _, distance = values_of(text)
    assert (name, n) == ("adam", SEEDS) and "behind" in text
    assert float(low) < float(mean) < float(high) and float(distance) == pytest.approx(0.1, abs=0.01)


MEAN = [0.5, 0.4, 0.6, 10]


def summary_rows(*rows: tuple[str, float, int, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "arm": "tuned",
                "optimizer": name,
                "test_metric_mean": mean,
                "test_metric_low": mean - 0.1,
                "test_metric_high": mean + 0.1,
                "n_finished": finished,
                "n_planned": 10,
                "rank": rank,
            }
            for name, mean, finished, rank in rows
        ]
    )


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        (
            [("adam", 0.5, 10, 1.0), ("sgd", 0.5, 10, 1.0), ("gd", 0.25, 10, 3.0)],
            ["adam", "sgd", *MEAN, "gd", 0.25],
        ),
        (
            [("adam", 0.5 + 1e-16, 10, 1.0), ("sgd", 0.5, 10, 2.0)],
            ["adam", *MEAN, "sgd"],  # tied: no distance
        ),
        ([("adam", 0.5, 10, 1.0)], ["adam", *MEAN]),
        # Means of what is left after divergences are no distance.
        (
            [("adam", 0.5, 10, 1.0), ("sgd", 0.9, 4, 2.0)],
            ["adam", *MEAN],
        ),
        ([("adam", np.nan, 0, np.nan)], []),
    ],
)
def test_who_has_the_best_mean(rows: list[tuple[str, float, int, float]], values: list[str | float]) -> None:
    text = leader(summary_rows(*rows), "tuned")
    assert values_of(text) == values
    assert ("best" in text) == bool(values)


def test_diverged_seeds_are_written_beside_their_row() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "sgd") & (runs["seed"] == 0) & (runs["phase"] == "final"), "status"] = "diverged"
    figure = found(final_metric(evidence_of(runs))).blocks[0]
    assert isinstance(figure, Figure)
    assert figure.svg.count(f"1/{SEEDS} diverged") == 2  # one an arm


@pytest.mark.parametrize(
    ("values", "higher", "limits"),
    [
        ([], True, (0.0, 1.0)),
        ([0.5, 0.5], True, (0.0, 1.0)),
        (list(np.linspace(0, 1, 101)), True, (0.12, 1.0)),
        (list(np.linspace(0, 1, 101)), False, (0.0, 0.88)),
        ([-100.0, *np.linspace(0.9, 1, 11)], True, (0.9, 1.0)),  # what is far off is drawn at the end
    ],
)
def test_the_axis_of_final_metrics_shows_the_better_end(
    values: list[float], higher: bool, limits: tuple[float, float]
) -> None:
    shown = shown_range(np.array(values), higher)
    assert shown == pytest.approx(limits, abs=0.05)
