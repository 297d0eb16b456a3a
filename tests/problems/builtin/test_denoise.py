"""Patches of two photographs: where they come from, what is between training and test, and the metric in decibels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from descentlab.problems.builtin.denoise import (
    NOISE,
    PROBLEM,
    SIDE,
    build_model,
    grid_of_patches,
    signal_to_noise,
)

pytestmark = pytest.mark.usefixtures("device")


def test_parameters_as_counted() -> None:
    model = build_model()
    assert model.count_params() == sum(int(np.prod(variable.shape)) for variable in model.trainable_variables) == 13_265
    assert PROBLEM.count.endswith("= 13,265") and "13,265 parameters" in PROBLEM.title
    assert model.input_shape == model.output_shape == (None, SIDE, SIDE, 1)


def test_patches_are_those_of_the_photograph_in_their_places() -> None:
    photograph = np.arange(35 * 50.0).reshape(35, 50)
    grid = grid_of_patches(photograph)
    assert grid.shape == (2, 3, SIDE, SIDE)
    np.testing.assert_array_equal(grid[1, 2], photograph[16:32, 32:48])


def test_the_test_patches_are_a_region_of_each_photograph_with_a_gap_beside_it() -> None:
    """The last 160 pixels of each; the 16 before them are in no patch at all."""
    data = PROBLEM.load_data(None)
    data.check("denoise")
    assert data.test is not None
    np.testing.assert_array_equal(data.test, np.arange(1508, 1508 + 520))
    assert len(data) == 1508 + 520
    for number, image in enumerate(load_sample_images().images):
        grey = image[:416] @ np.array([0.299, 0.587, 0.114]) / 255
        for first, columns, left, right in ((0, 29, 0, 464), (1508, 10, 480, 640)):
            start = first + number * 26 * columns
            patches = data.y[start : start + 26 * columns].reshape(26, columns, SIDE, SIDE)
            np.testing.assert_allclose(patches.swapaxes(1, 2).reshape(416, -1), grey[:, left:right], atol=1e-6)


def test_noise_is_normal_and_the_same_at_every_call() -> None:
    data = PROBLEM.load_data(None)
    noise = (data.x - data.y).ravel()
    assert noise.mean() == pytest.approx(0, abs=5 * NOISE / len(noise) ** 0.5)
    assert noise.std() == pytest.approx(NOISE, rel=0.005)
    assert np.mean(np.abs(noise) < NOISE) == pytest.approx(0.6827, abs=0.005)
    assert data.hash() == PROBLEM.load_data(None).hash()
    assert (data.x.dtype, data.y.dtype, data.y.min() >= 0, data.y.max() <= 1) == (np.float32, np.float32, True, True)


def test_decibels() -> None:
    """An error of 0.1 everywhere is 20 dB, a tenth of it 20 more; noise of 0.1 is 20 dB but for the logarithm of its spread."""
    clean = np.full((3, SIDE, SIDE, 1), 0.5, np.float32)
    restored = clean + np.array([0.1, -0.01, 0.0], np.float32)[:, None, None, None]
    np.testing.assert_allclose(signal_to_noise(clean, restored), [20, 40, 100], atol=1e-3)
    data = PROBLEM.load_data(None)
    found = np.asarray(signal_to_noise(data.y, data.x))
    assert found.shape == (len(data),)
    squares = np.mean((data.y - data.x).astype(np.float64) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(found, -10 * np.log10(squares), atol=1e-4)
    assert found.mean() == pytest.approx(20, abs=0.05)
