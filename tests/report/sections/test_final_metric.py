"""Final test metrics, on a generated experiment: adam is best, gd and rmsprop worst, sgd equals momentum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descentlab.report.blocks import Figure
from descentlab.report.marks import Marks
from descentlab.report.sections import Evidence
from descentlab.report.sections.final_metric import final_metric, leader, shown_range
from support.comparison_fixture import SEEDS, generated_runs
from support.report_evidence import evidence_of, found, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def test_the_best_mean_is_named_with_interval_and_distance(evidence: Evidence) -> None:
    summary = evidence.comparison.summary[evidence.comparison.summary["problem"] == "up"]
    text = leader(Marks(), summary, "tuned")
    name, mean, low, high, n, _, distance = values_of(text)
    assert (name, n) == ("adam", SEEDS) and "behind" in text
    assert float(low) < float(mean) < float(high) and float(distance) == pytest.approx(0.1, abs=0.01)


MEAN = [0.5, 0.4, 0.6, 10]


def summary_rows(*rows: tuple[str, float, int, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "problem": "up",
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
    text = leader(Marks(), summary_rows(*rows), "tuned")
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
