"""ADOPT: the rule of Taniguchi et al. 2024, clipped and not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from descentlab.optimizers.literature import ADOPT
from support.literature_contract import LiteratureContract
from support.optimizer_trials import MATRIX, MATRIX_GRADIENTS, TOLERANCE, VECTOR, VECTOR_GRADIENTS, distance, trained

pytestmark = pytest.mark.usefixtures("device")


def adopt(w: np.ndarray, gradients: Sequence[np.ndarray], rate: float, clip: bool = True) -> list[np.ndarray]:
    """β₁ = 0.9, β₂ = 0.9999, ε = 1e-6; the first gradient only begins v."""
    m, v, path = np.zeros(w.shape), gradients[0] ** 2, [w]
    for t, g in enumerate(gradients[1:], 1):
        quotient = g / np.maximum(np.sqrt(v), 1e-6)
        m = 0.9 * m + 0.1 * (np.clip(quotient, -(t**0.25), t**0.25) if clip else quotient)
        w = w - rate * m
        v = 0.9999 * v + 0.0001 * g**2
        path.append(w)
    return path


class TestADOPT(LiteratureContract):
    make = ADOPT
    reference: ClassVar = staticmethod(adopt)
    rate = 0.001
    fast_rate = 0.01

    def test_the_first_update_moves_nothing(self) -> None:
        path = self.path(VECTOR_GRADIENTS)
        np.testing.assert_array_equal(path[0], VECTOR.astype(np.float32))
        assert (path[1] != path[0]).all()

    def test_without_clipping_it_is_the_first_version(self) -> None:
        expected = adopt(MATRIX, MATRIX_GRADIENTS, 0.001, clip=False)
        assert distance(self.new(clip=False), expected, MATRIX, MATRIX_GRADIENTS) < TOLERANCE
        assert distance(self.new(), expected, MATRIX, MATRIX_GRADIENTS) > 0.1

    @pytest.mark.parametrize("clip", [True, False])
    def test_a_first_gradient_of_zero_does_harm_only_without_clipping(self, clip: bool) -> None:
        """The next quotient is 1/ε: clipped to 1, or a million."""
        path = self.path([np.zeros(1), np.ones(1)], np.zeros(1), clip=clip)
        np.testing.assert_allclose(path[:, 0], [0.0, -1e-4 if clip else -100.0], rtol=1e-5)

    def test_a_gradient_does_not_divide_itself(self) -> None:
        """The divisor holds earlier squares only, so a gradient ten times the first moves ten times as far (unclipped)."""
        moved = [self.path([np.ones(1), np.array([g])], np.zeros(1), clip=False)[1, 0] for g in (1.0, 10.0)]
        assert moved[1] == pytest.approx(10 * moved[0], rel=1e-5)

    def test_quotients_may_grow_with_the_fourth_root_of_the_updates(self) -> None:
        """A gradient of a thousand times the first: quotients are 1, 2¼, 3¼."""
        optimizer = self.new(beta_1=0.0, learning_rate=1.0)
        path = np.ravel(trained(optimizer, np.zeros(1), [np.ones(1), *[np.full(1, 1000.0)] * 3])[0])
        # v grows too: by 1e-4 · 1000² = 100, and then the quotients are about 100, 71 and so on, all above the bounds.
        np.testing.assert_allclose(-np.diff(path), [1.0, 2**0.25, 3**0.25], rtol=1e-6)
