"""AdEMAMix: algorithm 1 of Pagliardini et al. 2024 with its schedulers, and the rules that it contains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from descentlab.optimizers.literature import AdEMAMix
from support import optimizer_references as rules
from support.literature_contract import LiteratureContract
from support.optimizer_trials import MATRIX, MATRIX_GRADIENTS, TOLERANCE, VECTOR, VECTOR_GRADIENTS, distance

pytestmark = pytest.mark.usefixtures("device")


def half_life(beta: float) -> float:
    """Updates after which an average has forgotten half of what it held."""
    return float(np.log(0.5) / np.log(beta))


def ademamix(
    w: np.ndarray,
    gradients: Sequence[np.ndarray],
    rate: float,
    alpha: float = 8.0,
    beta_3: float = 0.9999,
    warmup: int = 0,
) -> list[np.ndarray]:
    """β₁ = 0.9, β₂ = 0.999; during the warm-up the half-life of the slow average grows linearly from that of the fast."""
    fast, slow, v, path = np.zeros(w.shape), np.zeros(w.shape), np.zeros(w.shape), []
    for t, g in enumerate(gradients, 1):
        share = min(t / warmup, 1.0) if warmup else 1.0
        beta = 0.5 ** (1 / ((1 - share) * half_life(0.9) + share * half_life(beta_3)))
        fast = 0.9 * fast + 0.1 * g
        slow = beta * slow + (1 - beta) * g
        v = 0.999 * v + 0.001 * g**2
        w = w - rate * (fast / (1 - 0.9**t) + share * alpha * slow) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        path.append(w)
    return path


class TestAdEMAMix(LiteratureContract):
    make = AdEMAMix
    reference: ClassVar = staticmethod(ademamix)
    rate = 0.001
    fast_rate = 0.01

    @pytest.mark.parametrize("warmup", [2, 3, 10])
    def test_updates_equal_the_formula_during_the_warm_up(self, warmup: int) -> None:
        """Of two updates the third is after it, of ten every one is inside."""
        expected = ademamix(MATRIX, MATRIX_GRADIENTS, 0.001, beta_3=0.99, warmup=warmup)
        optimizer = self.new(beta_3=0.99, alpha_warmup_steps=warmup, beta_3_warmup_steps=warmup)
        assert distance(optimizer, expected, MATRIX, MATRIX_GRADIENTS) < TOLERANCE
        constant = ademamix(MATRIX, MATRIX_GRADIENTS, 0.001, beta_3=0.99)
        assert np.abs(np.subtract(expected, constant)).max() > 1e-5

    def test_the_schedulers_of_the_paper(self) -> None:
        """α is linear from 0; β₃ begins at β₁, and its half-life, 6.6 and 6,931 updates, grows linearly."""
        optimizer = self.new(alpha_warmup_steps=100, beta_3_warmup_steps=100)
        assert [float(optimizer.alpha_at(t)) for t in (0, 25, 100, 200)] == pytest.approx([0, 2, 8, 8])
        assert [float(optimizer.beta_3_at(t)) for t in (0, 100, 200)] == pytest.approx([0.9, 0.9999, 0.9999])
        quarter = half_life(float(optimizer.beta_3_at(np.float64(25))))
        assert quarter == pytest.approx(0.75 * half_life(0.9) + 0.25 * half_life(0.9999), rel=1e-3)

    def test_without_the_slow_average_it_is_adam(self) -> None:
        adam = rules.adam(VECTOR, VECTOR_GRADIENTS, 0.001, 0.9, 0.999, 1e-8, hat=False)
        assert distance(self.new(alpha=0.0), adam, VECTOR, VECTOR_GRADIENTS) < TOLERANCE

    def test_the_slow_average_remembers(self) -> None:
        """After one gradient and many zeros the weights still move the old way, by m₂'s share of that gradient."""
        gradients = [np.ones(1), *[np.zeros(1)] * 200]
        with_slow, without = (self.path(gradients, np.zeros(1), alpha=alpha)[-20:, 0] for alpha in (8.0, 0.0))
        assert (np.diff(with_slow) < 0).all()
        assert (np.diff(without) == 0).all()

    def test_a_warm_up_needs_half_lives(self) -> None:
        with pytest.raises(ValueError, match=r"between 0 and 1; received beta_1=0\.0, beta_3=0\.9999"):
            AdEMAMix(beta_1=0.0, beta_3_warmup_steps=10)
        assert AdEMAMix(beta_1=0.0).beta_1 == 0.0
