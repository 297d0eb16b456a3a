"""AdaBelief: algorithm 2 of Zhuang et al. 2020, and what it does with a gradient that never changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from descentlab.optimizers.literature import AdaBelief
from support.literature_contract import LiteratureContract
from support.optimizer_trials import VECTOR_GRADIENTS

pytestmark = pytest.mark.usefixtures("device")


def adabelief(
    w: np.ndarray,
    gradients: Sequence[np.ndarray],
    rate: float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    eps: float = 1e-16,
) -> list[np.ndarray]:
    m, s, path = np.zeros(w.shape), np.zeros(w.shape), []
    for t, g in enumerate(gradients, 1):
        m = beta_1 * m + (1 - beta_1) * g
        s = beta_2 * s + (1 - beta_2) * (g - m) ** 2 + eps
        w = w - rate * (m / (1 - beta_1**t)) / (np.sqrt(s / (1 - beta_2**t)) + eps)
        path.append(w)
    return path


class TestAdaBelief(LiteratureContract):
    make = AdaBelief
    reference: ClassVar = staticmethod(adabelief)
    rate = 0.001
    fast_rate = 0.003

    def test_steps_grow_while_the_gradient_stays_the_same(self) -> None:
        """Then m̂ = g and g − m_t = β₁ᵗ g, so ŝ/g² is the weighted mean of β₁²ⁱ: every step is longer than Adam's α."""
        rate, beta_1, beta_2 = 0.001, 0.9, 0.999
        start = np.zeros(2)
        path = self.path([np.array([2.0, -0.5])] * 20, start, learning_rate=rate)
        moved = np.abs(np.diff([start, *path], axis=0))
        t = np.arange(1, 21)
        weights = [beta_2 ** (n - np.arange(1, n + 1)) for n in t]
        mean = [np.average(beta_1 ** (2.0 * np.arange(1, n + 1)), weights=w) for n, w in zip(t, weights, strict=True)]
        np.testing.assert_allclose(moved, rate / np.sqrt(mean)[:, None] * np.ones(2), rtol=1e-3)
        assert (np.diff(moved, axis=0) > 0).all()
        assert moved[0] == pytest.approx(rate / 0.9, rel=1e-3)

    def test_the_scale_of_the_loss_does_not_matter(self) -> None:
        """A power of two, so that rounding is the same too; without ε, which has a scale of its own."""
        scaled = [1024 * gradient for gradient in VECTOR_GRADIENTS]
        np.testing.assert_array_equal(self.path(VECTOR_GRADIENTS, epsilon=0.0), self.path(scaled, epsilon=0.0))

    def test_epsilon_is_added_at_every_update_and_to_the_root(self) -> None:
        for eps in (1e-3, 0.1):
            expected = adabelief(np.ones(3), VECTOR_GRADIENTS, 0.001, eps=eps)
            np.testing.assert_allclose(self.path(VECTOR_GRADIENTS, np.ones(3), epsilon=eps), expected, rtol=1e-6)
