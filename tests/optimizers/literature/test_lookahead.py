"""Lookahead: algorithm 1 of Zhang et al. 2019 around several optimizers, and the cases in which it is nothing new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from descentlab.optimizers.evaluation_weights import evaluation_weights
from descentlab.optimizers.literature import Lookahead, Prodigy
from descentlab.optimizers.literature.lookahead import lookahead_momentum
from support.literature_contract import LiteratureContract
from support.optimizer_trials import VECTOR, VECTOR_GRADIENTS, trained

pytestmark = pytest.mark.usefixtures("device")


def around_momentum(w: np.ndarray, gradients: Sequence[np.ndarray], rate: float) -> list[np.ndarray]:
    """Fast weights of SGD with momentum 0.9, which goes on; every second update the slow ones go half of the way."""
    slow, v, path = w, np.zeros(w.shape), []
    for t, g in enumerate(gradients, 1):
        v = 0.9 * v - rate * g
        w = w + v
        if t % 2 == 0:
            w = slow = slow + 0.5 * (w - slow)
        path.append(w)
    return path


class TestLookahead(LiteratureContract):
    make: ClassVar = staticmethod(lookahead_momentum)
    reference: ClassVar = staticmethod(around_momentum)
    rate = 0.1
    fast_rate = 0.1
    formula: ClassVar = {"k": 2}

    def test_the_moving_average_is_keras_own_and_what_is_evaluated(self) -> None:
        """The inner optimizer's: the average of the fast weights, while the slow ones haven't moved."""
        optimizer = self.new(k=5, use_ema=True, ema_momentum=0.75)
        path, variable = trained(optimizer, VECTOR, VECTOR_GRADIENTS)
        (averaged,) = evaluation_weights(optimizer, [variable]) or []
        expected = 0.75 * (0.75 * path[0] + 0.25 * path[1]) + 0.25 * path[2]
        np.testing.assert_allclose(averaged, expected, rtol=1e-6)

    @pytest.mark.parametrize("inner", ["adam", "rmsprop", "nadam"])
    def test_one_step_all_the_way_is_the_inner_optimizer(self, inner: str) -> None:
        """With k = 1 and α = 1, bit for bit."""
        import keras

        alone, _ = trained(keras.optimizers.get(inner), VECTOR, VECTOR_GRADIENTS)
        around, _ = trained(Lookahead(inner, k=1, alpha=1.0), VECTOR, VECTOR_GRADIENTS)
        np.testing.assert_array_equal(alone, around)

    def test_going_none_of_the_way_returns_to_the_start(self) -> None:
        path, _ = trained(Lookahead(Prodigy(initial_d=0.1), k=2, alpha=0.0), VECTOR, VECTOR_GRADIENTS)
        np.testing.assert_array_equal(path[1], VECTOR.astype(np.float32))
        assert (path[0] != path[1]).all()
        assert (path[2] != path[1]).all()

    def test_the_slow_weights_are_evaluated(self) -> None:
        """The initial ones until the second update, then what the fast weights begin again from."""
        for updates, expected in ((1, VECTOR), (2, None), (3, None)):
            optimizer = self.new()
            path, variable = trained(optimizer, VECTOR, VECTOR_GRADIENTS[:updates])
            (evaluated,) = evaluation_weights(optimizer, [variable]) or []
            np.testing.assert_array_equal(evaluated, path[1] if expected is None else np.float32(expected))
            np.testing.assert_array_equal(variable, path[-1])

    def test_updates_are_counted_and_not_batches(self) -> None:
        """Of two batches each: the slow weights follow after the second update, the fourth batch, and not after the fifth."""
        import keras

        gradients = [VECTOR_GRADIENTS[0]] * 6
        accumulating = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
        path, _ = trained(Lookahead(accumulating, k=2, alpha=0.5), VECTOR, gradients)
        plain, _ = trained(Lookahead(keras.optimizers.SGD(0.1), k=2, alpha=0.5), VECTOR, gradients[:3])
        np.testing.assert_allclose(path[1::2], plain, rtol=1e-6)
        np.testing.assert_array_equal(path[4], path[3])

    def test_the_rate_is_the_inner_optimizers(self) -> None:
        optimizer = lookahead_momentum(0.25)
        optimizer.learning_rate = 0.5
        assert float(optimizer.inner_optimizer.learning_rate) == float(optimizer.learning_rate) == 0.5
        assert optimizer.inner_optimizer.momentum == 0.9

    @pytest.mark.parametrize("k", [0, -1, 2.5])
    def test_k_must_be_a_positive_whole_number(self, k: float) -> None:
        with pytest.raises(ValueError, match=f"received {k}"):
            Lookahead("adam", k=k)  # type: ignore[arg-type]
