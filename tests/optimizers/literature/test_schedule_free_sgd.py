"""Schedule-free SGD: equations 3 to 5 of Defazio et al. 2024, and the averages that it is named after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from descentlab.optimizers.evaluation_weights import evaluation_weights
from descentlab.optimizers.literature import ScheduleFreeSGD
from support import optimizer_references as rules
from support.literature_contract import LiteratureContract
from support.optimizer_trials import MATRIX, MATRIX_GRADIENTS, TOLERANCE, VECTOR, VECTOR_GRADIENTS, distance, trained
from support.tiny_training import tiny_data, tiny_model

pytestmark = pytest.mark.usefixtures("device")


def three_sequences(
    w: np.ndarray, gradients: Sequence[np.ndarray], rates: Sequence[float], beta: float = 0.9, decay: float = 0.0
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """y, which is trained, and x, which is the result, after each update."""
    x = y = z = w
    squared, ys, xs = 0.0, [], []
    for rate, g in zip(rates, gradients, strict=True):
        squared += rate**2
        z = z - rate * (g + decay * y)
        x = x + rate**2 / squared * (z - x)
        y = (1 - beta) * z + beta * x
        ys.append(y)
        xs.append(x)
    return ys, xs


def at_constant_rate(w: np.ndarray, gradients: Sequence[np.ndarray], rate: float) -> list[np.ndarray]:
    return three_sequences(w, gradients, [rate] * len(gradients))[0]


def result(optimizer: Any, variable: Any) -> np.ndarray:
    (averaged,) = evaluation_weights(optimizer, [variable]) or []
    return np.asarray(averaged)


class TestScheduleFreeSGD(LiteratureContract):
    make = ScheduleFreeSGD
    reference: ClassVar = staticmethod(at_constant_rate)
    rate = 0.1
    fast_rate = 0.3

    def test_the_result_is_the_mean_of_all_iterates(self) -> None:
        """At a constant rate: z_t = w − γ (g₁ + … + g_t), and x their mean; the weights are put back afterward."""
        optimizer = self.new()
        path, variable = trained(optimizer, VECTOR, VECTOR_GRADIENTS)
        iterates = VECTOR - 0.1 * np.cumsum(VECTOR_GRADIENTS, axis=0)
        np.testing.assert_allclose(result(optimizer, variable), iterates.mean(axis=0), rtol=1e-6)
        np.testing.assert_array_equal(variable, path[-1])

    def test_without_momentum_the_trained_weights_are_those_of_sgd(self) -> None:
        sgd = rules.gradient_descent(VECTOR, VECTOR_GRADIENTS, 0.1)
        assert distance(self.new(momentum=0.0), sgd, VECTOR, VECTOR_GRADIENTS) < TOLERANCE

    def test_with_a_momentum_of_one_the_average_itself_is_trained(self) -> None:
        optimizer = self.new(momentum=1.0)
        path, variable = trained(optimizer, VECTOR, VECTOR_GRADIENTS)
        np.testing.assert_allclose(result(optimizer, variable), path[-1], rtol=1e-6)

    def test_decay_takes_from_z_what_the_trained_weights_say(self) -> None:
        expected, averages = three_sequences(MATRIX, MATRIX_GRADIENTS, [0.1] * 3, decay=0.5)
        optimizer = self.new(weight_decay=0.5)
        path, variable = trained(optimizer, MATRIX, MATRIX_GRADIENTS)
        np.testing.assert_allclose(path, expected, rtol=1e-5)
        np.testing.assert_allclose(result(optimizer, variable), averages[-1], rtol=1e-5)

    def test_iterates_weigh_as_the_square_of_their_rate(self) -> None:
        """With a warm-up of three updates: rates of a third, two thirds and the whole; decay is warmed up as well."""
        rates = [0.1 / 3, 0.2 / 3, 0.1]
        expected, averages = three_sequences(VECTOR, VECTOR_GRADIENTS, rates, decay=0.5)
        optimizer = self.new(warmup_steps=3, weight_decay=0.5)
        path, variable = trained(optimizer, VECTOR, VECTOR_GRADIENTS)
        np.testing.assert_allclose(path, expected, rtol=1e-5)
        np.testing.assert_allclose(result(optimizer, variable), averages[-1], rtol=1e-5)

    def test_a_rate_of_zero_changes_nothing(self) -> None:
        np.testing.assert_array_equal(self.path(VECTOR_GRADIENTS, learning_rate=0.0), [VECTOR.astype(np.float32)] * 3)

    def test_fit_leaves_the_average_in_the_model(self) -> None:
        import keras

        model, data = tiny_model(), tiny_data()
        model.compile(self.new(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(data.x, data.y, batch_size=20, epochs=1, verbose=0)
        z, x = ([v for v in model.optimizer.variables if v.path.endswith(name)] for name in ("_z", "_x"))
        for weight, average in zip(model.trainable_variables, x, strict=True):
            np.testing.assert_array_equal(weight, average)
        assert any(not np.array_equal(*both) for both in zip(z, x, strict=True))
