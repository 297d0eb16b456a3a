"""Signum: algorithm 2 of Bernstein et al. 2018, and that every weight moves by the rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from descentlab.optimizers.literature import Signum
from support.literature_contract import LiteratureContract
from support.optimizer_trials import VECTOR_GRADIENTS

pytestmark = pytest.mark.usefixtures("device")


def signum(w: np.ndarray, gradients: Sequence[np.ndarray], rate: float, beta: float = 0.9) -> list[np.ndarray]:
    m, path = np.zeros(w.shape), []
    for g in gradients:
        m = beta * m + (1 - beta) * g
        w = w - rate * np.sign(m)
        path.append(w)
    return path


class TestSignum(LiteratureContract):
    make = Signum
    reference: ClassVar = staticmethod(signum)
    rate = 1e-4
    fast_rate = 0.003
    formula: ClassVar = {}

    def test_every_weight_moves_by_the_rate(self) -> None:
        """Whatever the gradient's size; 2⁻¹⁰ and its sums are exact in single precision."""
        start, rate = np.array([0.5, -1.0, 2.0]), 2.0**-10
        gradients = [scale * g for scale, g in zip((1e-6, 1.0, 1e6), VECTOR_GRADIENTS, strict=True)]
        path = self.path(gradients, start, learning_rate=rate)
        np.testing.assert_array_equal(np.abs(np.diff([start, *path], axis=0)), rate)

    def test_an_average_of_zero_moves_nothing(self) -> None:
        np.testing.assert_array_equal(self.path([np.zeros(3)], np.array([0.5, -1.0, 2.0])), [[0.5, -1.0, 2.0]])

    def test_without_momentum_the_gradient_itself_decides(self) -> None:
        gradients = [np.array([5.0]), np.array([-0.1])]
        start = np.zeros(1)
        np.testing.assert_allclose(self.path(gradients, start, momentum=0.0, learning_rate=0.5), [[-0.5], [0.0]])
        np.testing.assert_allclose(self.path(gradients, start, momentum=0.9, learning_rate=0.5), [[-0.5], [-1.0]])
