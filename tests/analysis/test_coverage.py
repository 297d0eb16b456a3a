"""The simulation of coverage: its own seed, its shape, and that it sees what it should."""

from __future__ import annotations

import numpy as np

from descentlab.analysis.coverage import COVERAGE_COLUMNS, correlated_scores, simulate_coverage


def test_same_seed_same_table_other_seed_other() -> None:
    first, again, other = (simulate_coverage(5, 30, 60, seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first["coverage"].equals(other["coverage"])
    assert list(first.columns) == list(COVERAGE_COLUMNS)


def test_skew_costs_coverage() -> None:
    # A large test set: in a small one the examples' own noise, which is symmetric, hides the seeds' skew.
    table = simulate_coverage(5, 3600, 1000, 0).set_index("differences")["coverage"]
    assert table["lognormal"] < table["normal"] - 0.02


def test_scores_are_right_or_wrong_and_centered() -> None:
    generator = np.random.default_rng(0)
    means = [correlated_scores(generator, 10, 200, np.zeros(10)).mean() for _ in range(200)]
    assert set(np.unique(correlated_scores(generator, 10, 50, np.zeros(10)))) <= {-1.0, 0.0, 1.0}
    assert abs(np.mean(means)) < 4 * np.std(means) / np.sqrt(200)
