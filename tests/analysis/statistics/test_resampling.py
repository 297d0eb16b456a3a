"""Resampled seeds: the variance of a mean, and of what is no mean."""

from __future__ import annotations

import numpy as np
import pytest

from descentlab.analysis.statistics.resampling import estimate_resampled, resample_seeds


def test_resampling_gives_the_variance_of_a_mean() -> None:
    """Not a share 1 − 1/n of it: of five values the mean has a fifth of their variance."""
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    positions, weights = resample_seeds(5)
    means = values[positions].mean(axis=1)
    variance = weights @ (means - weights @ means) ** 2
    assert weights.sum() == pytest.approx(1)
    assert variance == pytest.approx(values.var(ddof=1) / 5, rel=0.1)


def test_a_number_known_in_steps_has_the_variance_of_a_step() -> None:
    estimate = estimate_resampled(lambda positions: 1.0, 5, resolution=0.25)
    assert (estimate.mean, estimate.variance, estimate.n) == (1.0, pytest.approx(0.25**2 / 12), 5)


def test_one_seed_has_no_interval() -> None:
    estimate = estimate_resampled(lambda positions: 1.0, 1)
    assert (estimate.mean, estimate.n) == (1.0, 1)
    assert np.isnan(estimate.interval()).all()
