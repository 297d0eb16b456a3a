"""Widths of the ranges of good learning rates: of mean curves, with their bounds and their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.claims.evidence import ClaimEvidence
from descentlab.analysis.claims.judgment import Claim, Piece, judge_piece
from descentlab.analysis.claims.width_estimands import adam_width
from descentlab.analysis.sensitivity import WIDTH_RESOLUTION, RateScores
from descentlab.analysis.statistics.resampling import estimate_resampled
from support.comparison_fixture import generated_plan

CLAIM = Claim("a-claim", "", "", "", margin=0.02, least_n=5)


def swept(scores: dict[str, list[list[float]]], phase: str = "sweep") -> pd.DataFrame:
    """Runs at rates 0.01, 0.1 and 1 on the problem "up", by optimizer and seed; NaN where one diverged, inf where it failed."""
    status = {True: "diverged", False: "finished"}
    return pd.DataFrame(
        [
            {
                "problem": "up",
                "optimizer": name,
                "arm": "tuned",
                "phase": phase,
                "seed": seed,
                "learning_rate": rate,
                "run_id": f"{name}.{seed}.{rate}",
                "val_metric": value,
                "status": "failed" if np.isinf(value) else status[bool(np.isnan(value))],
            }
            for name, seeds in scores.items()
            for seed, values in enumerate(seeds)
            for rate, value in zip((0.01, 0.1, 1.0), values, strict=True)
        ]
    )


# Falls by 1 a decade either way: 0.02 of a decade is within 0.02, so the width is 0.04.
NARROW, NEVER, FAILED = [0.0, 1.0, 0.0], [np.nan] * 3, [np.inf] * 3


def widths(runs: pd.DataFrame) -> Piece:
    (piece,), _ = adam_width(ClaimEvidence(generated_plan(), runs, runs, {}, runs), CLAIM)
    return piece


def test_a_rate_at_which_a_seed_diverged_is_no_good_rate_and_a_failed_seed_is_left_out() -> None:
    piece = widths(swept({"adam": [NARROW, NEVER, NARROW], "sgd": [NARROW] * 3}))
    assert piece.estimate.n == 3
    assert piece.estimate.mean == pytest.approx(-0.04)
    failed = widths(swept({"adam": [NARROW, FAILED, NARROW], "sgd": [NARROW] * 3}))
    assert (failed.estimate.n, failed.estimate.mean) == (2, 0.0)


def test_widths_of_the_sweep_are_not_compared_with_those_of_the_grid() -> None:
    tuning = swept({"adam": [NARROW] * 2, "sgd": [NARROW] * 2}, phase="tuning")
    both = swept({"adam": [[1.0, 1.0, 1.0]] * 2})
    piece = widths(pd.concat([tuning, both]))
    assert (piece.estimate.n, piece.estimate.mean, piece.bound) == (2, 0.0, "")
    assert all("adam" in run or "sgd" in run for run in piece.runs) and len(piece.runs) == 12
    assert widths(pd.concat([tuning, both, swept({"sgd": [NARROW] * 2})])).bound == "at least"


def test_a_problem_that_is_left_out_of_the_sweep_is_no_evidence() -> None:
    runs = swept({"adam": [NARROW] * 2, "sgd": [NARROW] * 2}, phase="tuning")
    left_out = generated_plan(problems=[{"problem": "mlp", "name": name, "sweep": False} for name in ("up", "down")])
    assert adam_width(ClaimEvidence(left_out, runs, runs, {}, runs), CLAIM)[0] == []
    assert widths(runs).estimate.n == 2


def test_a_wide_range_that_was_cut_off_is_a_bound_and_two_leave_it_open() -> None:
    wide = [1.0, 1.0, 1.0]  # both ends outside the rates
    assert widths(swept({"adam": [wide] * 2, "sgd": [NARROW] * 2})).bound == "at least"
    piece = widths(swept({"adam": [wide] * 5, "sgd": [wide] * 5}))
    assert piece.bound == "unknown"
    assert judge_piece(CLAIM, piece, 0.05).verdict == "inconclusive"


def test_equal_cliffs_in_all_seeds_are_no_certainty() -> None:
    """Where runs diverge is known to a quarter of a decade."""
    piece = widths(swept({"adam": [[1.0, 1.0, np.nan]] * 3, "sgd": [[np.nan, 1.0, np.nan]] * 3}))
    assert piece.estimate.variance == pytest.approx(0.25**2 / 12)


def test_the_mean_curve_keeps_the_width_that_the_noise_of_a_seed_takes() -> None:
    """A range 3.39 decades wide at a noise of 0.65 margins: seed by seed 1.6, of the mean curve of five seeds nearly all."""
    generator = np.random.default_rng(0)
    true, steps = 3.39, np.arange(-4, 4.5, 0.5)
    expected = -((steps / (true / 2)) ** 2)
    seed_widths, mean_widths, held = [], [], []
    for _ in range(100):
        goodness = expected[:, None] + 0.65 * generator.standard_normal((len(steps), 5))
        scores = RateScores(10**steps, goodness, list(range(5)), "sweep")
        seed_widths += [scores.width(1.0, np.array([seed])) for seed in range(5)]
        mean_widths.append(scores.width(1.0))
        low, high = estimate_resampled(
            lambda positions, one=scores: one.width(1.0, positions), 5, WIDTH_RESOLUTION
        ).interval()
        held.append(low <= true <= high)
    assert np.mean(seed_widths) < true / 2
    assert np.mean(mean_widths) > 0.8 * true
    assert np.mean(held) > 0.85
