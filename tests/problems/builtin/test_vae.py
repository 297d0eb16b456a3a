"""The variational autoencoder: its bound against sums by hand, its divergence against an integral, its random draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy import integrate, stats

from descentlab.problems.builtin.vae import (
    CODE,
    PIXELS,
    PROBLEM,
    build_model,
    divergence,
    evidence_bound,
    reconstruction,
)
from descentlab.problems.datasets.mnist import load_mnist_5k

pytestmark = pytest.mark.usefixtures("device")


def test_parameters_as_counted() -> None:
    model = build_model()
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert trainable == 204_832
    assert PROBLEM.count.endswith("= 204,832") and "204,832 parameters" in PROBLEM.title
    assert (model.input_shape, model.output_shape) == ((None, PIXELS), (None, PIXELS + 2 * CODE))


def test_images_are_their_own_targets_and_black_or_white() -> None:
    data, mnist = PROBLEM.load_data(None), load_mnist_5k()
    data.check("vae")
    assert data.test is not None and mnist.test is not None
    np.testing.assert_array_equal(data.x, data.y)
    np.testing.assert_array_equal(data.x, np.rint(mnist.x.reshape(5000, -1)))  # no byte is half of 255
    np.testing.assert_array_equal(data.test, mnist.test)
    assert data.hash() == PROBLEM.load_data(None).hash()


def test_divergence_is_the_integral_that_defines_it() -> None:
    mean, log_variance = np.array([0.7, -1.5]), np.array([0.4, -1.0])

    def integral(center: float, spread: float) -> float:
        code, prior = stats.norm(center, spread), stats.norm()
        return integrate.quad(lambda z: code.pdf(z) * (code.logpdf(z) - prior.logpdf(z)), -12, 12)[0]

    by_hand = [integral(center, spread) for center, spread in zip(mean, np.exp(log_variance / 2), strict=True)]
    found = divergence(mean[:, None], log_variance[:, None])
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    np.testing.assert_allclose(divergence(mean[None], log_variance[None]), [sum(by_hand)], rtol=1e-5)
    np.testing.assert_array_equal(divergence(np.zeros((3, CODE)), np.zeros((3, CODE))), np.zeros(3))


def test_the_bound_of_a_model_that_ignores_the_code_is_the_pixels_entropy() -> None:
    """With the code at the prior, and each pixel's share of white images as its probability."""
    images = PROBLEM.load_data(None).x
    share = np.clip(images.mean(0, dtype=np.float64), 1e-6, 1 - 1e-6)
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share)).sum()
    output = np.concatenate([np.log(share / (1 - share)), np.zeros(2 * CODE)])
    bound = evidence_bound(images, np.tile(output.astype(np.float32), (len(images), 1)))
    assert tuple(bound.shape) == (5000,)
    assert np.mean(bound) == pytest.approx(-entropy, rel=1e-3)


def test_the_bound_is_minus_all_that_training_lowers() -> None:
    """The loss of the output plus what the layer adds: its mean over images, the same in training and out of it."""
    model = build_model()
    images = PROBLEM.load_data(None).x[:6]
    for training in (False, True):
        output = model(images, training=training)
        (added,) = model.losses
        total = np.mean(reconstruction(images, output)) + float(added)
        assert total == pytest.approx(-np.mean(evidence_bound(images, output)), rel=1e-5)


def test_a_code_is_drawn_in_training_and_its_mean_otherwise() -> None:
    images = PROBLEM.load_data(None).x[:6]

    def outputs(seed: int, training: bool) -> list[Any]:
        keras.utils.set_random_seed(seed)
        model = build_model()
        keras.utils.set_random_seed(0)  # the layer has a state of its own
        return [np.asarray(model(images, training=training))[:, :PIXELS] for _ in range(2)]

    first, second = outputs(1, training=True)
    again, _ = outputs(1, training=True)
    still, same = outputs(1, training=False)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(still, same)
    assert np.abs(first - second).max() > 1e-3
    assert np.abs(first - still).max() > 1e-3
    keras.utils.set_random_seed(1)
    ours = build_model().get_layer("code").seed_generator.state
    keras.utils.set_random_seed(2)
    assert not np.array_equal(ours, build_model().get_layer("code").seed_generator.state)


def test_a_saved_model_is_read_as_it_was(tmp_path: Path) -> None:
    images, model = PROBLEM.load_data(None).x[:6], build_model()
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(images), model(images))
