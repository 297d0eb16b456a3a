"""The vision transformer: its shape, and that only the learned positions tell its tokens' places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from descentlab.problems.builtin.vit import PROBLEM, build_model

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(1)
    return build_model()


def shuffled_patches(images: Any, order: Any) -> Any:
    """The same images with their 16 patches of 7×7 pixels in another order."""
    patches = images.reshape(-1, 4, 7, 4, 7).swapaxes(2, 3).reshape(-1, 16, 7, 7)
    return patches[:, order].reshape(-1, 4, 4, 7, 7).swapaxes(2, 3).reshape(images.shape)


def test_parameters_as_counted(model: Any) -> None:
    assert model.count_params() == sum(int(np.prod(variable.shape)) for variable in model.trainable_variables) == 19_594
    assert PROBLEM.count.endswith("= 19,594") and "19,594 parameters" in PROBLEM.title


def test_tokens_are_patches(model: Any) -> None:
    """A pixel changes the token of its own patch, counted row by row, and no other."""
    tokens = keras.Model(model.input, model.get_layer("tokens").output)
    images = np.zeros((2, 28, 28, 1), np.float32)
    images[1, 8, 20] = 1  # the second row of patches, the third of its four
    black, lit = np.asarray(tokens(images))
    assert black.shape == (16, 32)
    assert np.flatnonzero(np.abs(lit - black).max(axis=1)).tolist() == [6]


def test_without_positions_the_order_of_the_patches_does_not_matter(model: Any) -> None:
    images = PROBLEM.load_data(None).x[:8]
    order = np.random.default_rng(0).permutation(16)
    shuffled = shuffled_patches(images, order)
    np.testing.assert_array_equal(shuffled_patches(shuffled, np.argsort(order)), images)
    assert np.abs(model(images) - model(shuffled)).max() > 1e-3
    positions = model.get_layer("positions")
    learned = positions.get_weights()
    positions.set_weights([np.zeros_like(learned[0])])
    np.testing.assert_allclose(model(images), model(shuffled), atol=1e-5)
    positions.set_weights(learned)


def test_a_saved_model_is_read_as_it_was(tmp_path: Path) -> None:
    images, model = PROBLEM.load_data(None).x[:6], build_model()
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(images), model(images))
