"""The residual network: its shape, its shortcuts, and images that are moved only in training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from descentlab.problems.builtin.resnet import PROBLEM, build_model

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(1)
    return build_model()


def test_parameters_as_counted(model: Any) -> None:
    """Each normalization keeps as many averages as it has weights, and they are not trained."""
    sizes = {layer.name: sum(weight.size for weight in layer.get_weights()) for layer in model.layers}
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    norms = sum(size for name, size in sizes.items() if name.endswith("_norm"))
    assert (trainable, model.count_params()) == (19_810, 19_810 + norms // 2)
    assert PROBLEM.count.endswith("= 19,810") and "19,810 parameters" in PROBLEM.title


def test_stages_halve_the_image_and_double_the_filters(model: Any) -> None:
    shapes = [model.get_layer(f"relu{filters}").output.shape[1:] for filters in (8, 16, 32)]
    assert shapes == [(14, 14, 8), (7, 7, 16), (4, 4, 32)]
    assert (model.input_shape, model.output_shape) == ((None, 28, 28, 1), (None, 10))


def test_a_block_whose_branch_is_zero_passes_its_input_on() -> None:
    """What residual means: with the last scale at 0, the first block is the identity on its nonnegative input."""
    model = build_model()
    gamma, beta, mean, variance = model.get_layer("second8_norm").get_weights()
    model.get_layer("second8_norm").set_weights([0 * gamma, 0 * beta, mean, variance])
    ends = keras.Model(model.input, [model.get_layer("stem_relu").output, model.get_layer("relu8").output])
    before, after = ends(np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32), training=False)
    assert np.max(before) > 0
    np.testing.assert_array_equal(before, after)


def test_images_are_moved_in_training_only() -> None:
    """By other random numbers at each call, which the global seed decides."""
    images = PROBLEM.load_data(None).x[:4]

    def moved(seed: int, training: bool = True) -> list[Any]:
        keras.utils.set_random_seed(seed)
        model = build_model()
        half = keras.Model(model.input, model.get_layer("half").output)
        return [np.asarray(half(images, training=training)) for _ in range(2)]

    first, second = moved(0)
    again, _ = moved(0)
    other, _ = moved(1)
    evaluated, _ = moved(0, training=False)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(evaluated, images.reshape(4, 14, 2, 14, 2, 1).mean((2, 4)), atol=1e-6)
    for different in (second, other, evaluated):
        assert np.abs(first - different).max() > 0.1
    assert np.abs(first.sum((1, 2, 3)) / evaluated.sum((1, 2, 3)) - 1).max() < 0.2  # little leaves the image
