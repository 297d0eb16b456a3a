"""Prodigy: the rule of Mishchenko & Defazio 2023, and that it finds its rate whatever the scale of the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from descentlab.optimizers.literature import Prodigy
from support.literature_contract import LiteratureContract
from support.optimizer_trials import MATRIX, MATRIX_GRADIENTS, VECTOR, VECTOR_GRADIENTS

pytestmark = pytest.mark.usefixtures("device")


def prodigy(
    w: list[np.ndarray], gradients: Sequence[list[np.ndarray]], rate: float, d: float
) -> tuple[list[list[np.ndarray]], list[float]]:
    """Weights of all variables and d after each update: β₁ = 0.9, β₂ = 0.999, ε = 1e-8."""
    start, m, v, s = w, *([np.zeros(part.shape) for part in w] for _ in range(3))
    r, root, path, estimates = 0.0, 0.999**0.5, [], []
    for g in gradients:
        inner = sum(float(np.sum(gi * (ai - wi))) for gi, ai, wi in zip(g, start, w, strict=True))
        m = [0.9 * mi + 0.1 * d * gi for mi, gi in zip(m, g, strict=True)]
        v = [0.999 * vi + 0.001 * d**2 * gi**2 for vi, gi in zip(v, g, strict=True)]
        r = root * r + (1 - root) * rate * d**2 * inner
        s = [root * si + (1 - root) * rate * d**2 * gi for si, gi in zip(s, g, strict=True)]
        w = [wi - rate * d * mi / (np.sqrt(vi) + d * 1e-8) for wi, mi, vi in zip(w, m, v, strict=True)]
        d = max(d, r / sum(float(np.abs(si).sum()) for si in s))
        path.append(w)
        estimates.append(d)
    return path, estimates


def of_one(w: np.ndarray, gradients: Sequence[np.ndarray], rate: float) -> list[np.ndarray]:
    """With one variable and a first estimate that single precision can follow."""
    return [weights for (weights,) in prodigy([w], [[g] for g in gradients], rate, 0.01)[0]]


class TestProdigy(LiteratureContract):
    make = Prodigy
    reference: ClassVar = staticmethod(of_one)
    rate = 1.0
    fast_rate = 0.2  # at 1 it begins with steps that are too long for 30 updates
    formula: ClassVar = {"initial_d": 0.01}
    decay_rate = 0.01

    def test_d_is_of_all_variables_together(self) -> None:
        """A matrix goes on in one direction and a vector back and forth: r and s are sums over both."""
        import keras

        gradients = [[MATRIX_GRADIENTS[0], (-1) ** t * VECTOR_GRADIENTS[0]] for t in range(6)]
        path, estimates = prodigy([MATRIX, VECTOR], gradients, 1.0, 0.01)
        optimizer = self.new()
        variables = [keras.Variable(part.astype(np.float32)) for part in (MATRIX, VECTOR)]
        optimizer.build(variables)
        found = []
        for parts in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(part.astype(np.float32)) for part in parts], variables)
            found.append(float(optimizer.d))
        np.testing.assert_allclose(found, estimates, rtol=1e-4)
        for variable, expected in zip(variables, path[-1], strict=True):
            np.testing.assert_allclose(variable, expected, atol=1e-4)
        ends = [prodigy([w], [[g[i]] for g in gradients], 1.0, 0.01)[1][-1] for i, w in enumerate((MATRIX, VECTOR))]
        assert ends[1] < 0.9 * found[-1] < 0.81 * ends[0]

    def descent(self, scale: float = 1.0, initial_d: float = 1e-6) -> tuple[np.ndarray, list[float]]:
        """Weights and d along 150 updates on ½ scale ‖w − 1‖² from zero, without ε."""
        import keras

        variable = keras.Variable(np.zeros(4, np.float32))
        optimizer = Prodigy(epsilon=0.0, initial_d=initial_d)
        optimizer.build([variable])
        path, estimates = [], []
        for _ in range(150):
            optimizer.apply([scale * (keras.ops.convert_to_tensor(variable) - 1)], [variable])
            path.append(np.asarray(variable).copy())
            estimates.append(float(optimizer.d))
        return np.array(path), estimates

    def test_d_never_falls_and_stays_below_the_distance(self) -> None:
        """The paper's bound: d is at most the largest distance of a weight from its solution, which is 1 here."""
        _, estimates = self.descent()
        assert (np.diff(estimates) >= 0).all()
        assert 0.05 < estimates[-1] <= 1.0

    def test_the_scale_of_the_loss_does_not_matter(self) -> None:
        """A power of two, so that rounding is the same too."""
        (path, estimates), (scaled, scaled_estimates) = self.descent(), self.descent(2.0**-12)
        np.testing.assert_array_equal(path, scaled)
        assert estimates == scaled_estimates

    def test_the_first_estimate_hardly_matters(self) -> None:
        """Too small by four or by eight orders of magnitude: d ends within a half of the same, near the distance."""
        ends = [self.descent(initial_d=initial_d)[1][-1] for initial_d in (1e-8, 1e-6, 1e-4)]
        assert max(ends) < 1.5 * min(ends)
