"""Muon's updates are nearly orthogonal, within what its polynomial does to singular values.

Jordan et al. 2024, *Muon: An optimizer for hidden layers in neural networks*: the update is the gradient over its Frobenius
norm, then five times p(X) = aX + b(XXᵀ)X + c(XXᵀ)²X. That leaves the singular vectors alone and turns each singular value s
into p(p(p(p(p(s))))) with p(s) = as + bs³ + cs⁵; coefficients and number are read from Keras' optimizer. Liu et al. 2025, *Muon
is Scalable for LLM Training*, equation 4: the update times 0.2 √max(rows, columns), so that its root mean square is about 0.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from support.optimizer_trials import trained

pytestmark = pytest.mark.usefixtures("device")

RATE = 2.0**-6
SHAPES = [(4, 7), (7, 4), (1, 6), (6, 1), (32, 32), (20, 90), (90, 20), (3, 300)]


def muon(**hyperparameters: Any) -> Any:
    return build(OPTIMIZERS["muon"], "default", RATE, {"weight_decay": 0.0, **hyperparameters})


def polynomial(optimizer: Any, s: np.ndarray) -> np.ndarray:
    """p(s)."""
    return optimizer.muon_a * s + optimizer.muon_b * s**3 + optimizer.muon_c * s**5


def iterated(optimizer: Any, s: np.ndarray) -> np.ndarray:
    """The polynomial p applied as often as the optimizer does."""
    for _ in range(optimizer.ns_steps):
        s = polynomial(optimizer, s)
    return s


def random_gradient(shape: tuple[int, int]) -> np.ndarray:
    """Singular values over two decades, in random directions."""
    generator = np.random.default_rng(shape)
    u, _, vt = np.linalg.svd(generator.normal(size=shape), full_matrices=False)
    return np.asarray((u * np.geomspace(1, 0.01, min(shape))) @ vt)


def unscaled_update(optimizer: Any, shape: tuple[int, int], gradients: list[np.ndarray]) -> np.ndarray:
    """What the last update subtracts, over the rate and Liu's scale."""
    path, _ = trained(optimizer, np.zeros(shape), gradients)
    before, after = [np.zeros(shape), *path][-2:]
    return (before - after).astype(np.float64) / (RATE * optimizer.rms_rate * np.sqrt(max(shape)))


def test_the_polynomials_range_follows_from_its_extrema() -> None:
    """On (0, 1] p is greatest where its slope is first zero: 1.2024 at 0.5545. It is again at 1.0501, where p is 0.6818.

    And p maps [0.6818, 1.2024] into itself, so what once is there stays there.
    """
    optimizer = muon()
    a, b, c = optimizer.muon_a, optimizer.muon_b, optimizer.muon_c
    extrema = np.sqrt(np.sort(np.roots([5 * c, 3 * b, a]).real))
    most, least = polynomial(optimizer, extrema)
    np.testing.assert_allclose([*extrema, most, least], [0.5545, 1.0501, 1.2024, 0.6818], atol=1e-4)
    inside = polynomial(optimizer, np.linspace(least, most, 100_001))
    assert least <= inside.min() < inside.max() < most
    assert polynomial(optimizer, np.linspace(0, 1, 100_001)).max() <= most


@pytest.mark.parametrize(
    ("smallest", "least"),
    [
        (0.00151, 0.6818),  # the polynomial's own range, from the smallest value on for which five steps are enough
        (0.0012, 0.5572),  # by hand: 0.0012, 0.00413, 0.01424, 0.04903, 0.1683, 0.5572
        (0.0001, 0.0485),  # nearly a⁵ = 485 times the value: too few steps
    ],
)
def test_five_steps_take_singular_values_near_one(smallest: float, least: float) -> None:
    """Jordan's page has 0.7 to 1.2; a range that begins at 0.56 is that of values from 0.0012 on."""
    optimizer = muon()
    assert optimizer.ns_steps == 5
    values = iterated(optimizer, np.geomspace(smallest, 1, 200_001))
    assert values.max() == pytest.approx(1.2024, abs=1e-4)
    assert values.min() == pytest.approx(least, abs=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.95])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_update_is_the_polynomial_of_the_gradients_singular_values(
    shape: tuple[int, int], momentum: float
) -> None:
    """The same with and without momentum: the first average is a multiple of the gradient."""
    gradient = random_gradient(shape)
    optimizer = muon(momentum=momentum)
    update = unscaled_update(optimizer, shape, [gradient])
    u, s, vt = np.linalg.svd(gradient, full_matrices=False)
    expected = iterated(optimizer, s / np.linalg.norm(s))
    np.testing.assert_allclose(u.T @ update @ vt.T, np.diag(expected), atol=1e-5)
    np.testing.assert_allclose(update, (u * expected) @ vt, atol=1e-5)
    assert 0.6818 - 1e-4 < expected.min() <= expected.max() < 1.2024 + 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_the_root_mean_square_is_about_a_fifth_whatever_the_shape(shape: tuple[int, int]) -> None:
    """Lemma 1 of Liu et al. 2025: of an orthogonal matrix it is 1 / √max(rows, columns), so here 0.2 times what p leaves."""
    optimizer = muon()
    path, _ = trained(optimizer, np.zeros(shape), [random_gradient(shape)])
    assert 0.2 * 0.6818 < np.sqrt(np.mean((path[0] / RATE) ** 2)) < 0.2 * 1.2024


def test_without_momentum_only_the_last_gradient_counts() -> None:
    shape = (5, 8)
    first, second = np.random.default_rng(0).normal(size=(2, *shape))
    alone, after = (unscaled_update(muon(momentum=0.0), shape, gradients) for gradients in ([second], [first, second]))
    np.testing.assert_allclose(after, alone, atol=1e-5)
    with_momentum = unscaled_update(muon(), shape, [first, second])
    assert np.abs(with_momentum - alone).max() > 0.1
