"""SOAP: the rule of Vyas et al. 2024, and that it doesn't matter in which basis a matrix is written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import pytest

from descentlab.optimizers.literature import SOAP
from descentlab.training.engine.optimizer_trial import fault_of_compiling
from support import optimizer_references as rules
from support.literature_contract import LiteratureContract
from support.optimizer_trials import TOLERANCE, VECTOR, VECTOR_GRADIENTS, distance, trained

pytestmark = pytest.mark.usefixtures("device")


def adam(w: np.ndarray, gradients: Sequence[np.ndarray], rate: float) -> list[np.ndarray]:
    """Adam with SOAP's β of 0.95 from the second update on."""
    return [w, *rules.adam(w, gradients[1:], rate, 0.95, 0.95, 1e-8, hat=False)]


def soap(w: np.ndarray, gradients: Sequence[np.ndarray], rate: float, every: int = 10) -> list[np.ndarray]:
    """For a matrix, in its own words; a vector has Adam."""
    if w.ndim == 1:
        return adam(w, gradients, rate)
    first, m, v, path = gradients[0], np.zeros(w.shape), np.zeros(w.shape), [w]
    left, right = 0.05 * first @ first.T, 0.05 * first.T @ first
    q_left, q_right = (np.linalg.eigh(factor)[1][:, ::-1] for factor in (left, right))
    for t, g in enumerate(gradients[1:], 1):
        m = 0.95 * m + 0.05 * g
        v = 0.95 * v + 0.05 * (q_left.T @ g @ q_right) ** 2
        step = (q_left.T @ m @ q_right / (1 - 0.95**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
        w = w - rate * q_left @ step @ q_right.T
        left = 0.95 * left + 0.05 * g @ g.T
        right = 0.95 * right + 0.05 * g.T @ g
        if t % every == 0:
            by_row = np.argsort(-np.diag(q_left.T @ left @ q_left))
            by_column = np.argsort(-np.diag(q_right.T @ right @ q_right))
            v = v[by_row][:, by_column]
            q_left, q_right = (
                np.linalg.qr(left @ q_left[:, by_row])[0],
                np.linalg.qr(right @ q_right[:, by_column])[0],
            )
        path.append(w)
    return path


def rotation(size: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def random_gradients(updates: int, shape: tuple[int, ...] = (3, 3)) -> list[np.ndarray]:
    """With directions of different sizes, so that no eigenvalues are close."""
    generator = np.random.default_rng(5)
    return [generator.normal(size=shape) * np.logspace(0, -0.5, shape[-1]) for _ in range(updates)]


class TestSOAP(LiteratureContract):
    make = SOAP
    reference: ClassVar = staticmethod(soap)
    rate = 0.003
    fast_rate = 0.01

    def test_the_compiled_loop_does_what_keras_does(self) -> None:
        """In a graph; XLA finds other eigenvectors, so Keras' own step trains it."""
        fault = fault_of_compiling(partial(SOAP, learning_rate=self.fast_rate), self.fast_rate)
        assert fault.startswith("xla: ")

    @pytest.mark.parametrize("every", [1, 2])
    def test_bases_turn_as_in_the_formula(self, every: int) -> None:
        gradients = random_gradients(8)
        expected = soap(np.zeros((3, 3)), gradients, 0.003, every)
        never = soap(np.zeros((3, 3)), gradients, 0.003, 100)
        assert distance(self.new(refresh_every=every), expected, np.zeros((3, 3)), gradients) < 3 * TOLERANCE
        assert np.abs(np.subtract(expected, never)).max() > 100 * TOLERANCE * np.abs(expected).max()

    def test_the_first_update_moves_nothing(self) -> None:
        path = self.path(VECTOR_GRADIENTS)
        np.testing.assert_array_equal(path[0], VECTOR.astype(np.float32))
        assert (path[1] != path[0]).all()

    def test_gradients_that_are_diagonal_have_adam(self) -> None:
        """Their bases are the axes themselves, in another order; what is not on the diagonal stays."""
        diagonals = [np.array([1.0, 3.0, 2.0]), np.array([0.5, -1.0, 0.3]), np.array([-0.2, 0.4, 1.0])]
        expected = [np.diag(w) for w in adam(np.zeros(3), diagonals, 0.003)]
        path = self.path([np.diag(diagonal) for diagonal in diagonals], np.zeros((3, 3)))
        np.testing.assert_allclose(path, expected, atol=1e-6)

    def test_without_bases_it_is_adam(self) -> None:
        gradients = random_gradients(5)
        expected = adam(np.zeros((3, 3)), gradients, 0.003)
        assert distance(self.new(largest_basis=2), expected, np.zeros((3, 3)), gradients) < TOLERANCE
        assert distance(self.new(), expected, np.zeros((3, 3)), gradients) > 0.1

    def test_a_rotated_matrix_is_trained_the_same_way(self) -> None:
        """U G Vᵀ for G turns every step into U step Vᵀ, as for Shampoo and unlike Adam."""
        u, v, gradients = rotation(3, 1), rotation(4, 2), random_gradients(8, (3, 4))
        start = np.zeros((3, 4))
        plain = self.path(gradients, start, refresh_every=2)
        rotated = self.path([u @ g @ v.T for g in gradients], start, refresh_every=2)
        np.testing.assert_allclose(rotated, u @ plain @ v.T, atol=2e-5)
        assert np.abs(plain).max() > 0.01
        by_adam = [self.path(g, start, largest_basis=2) for g in (gradients, [u @ g @ v.T for g in gradients])]
        assert np.abs(by_adam[1] - u @ by_adam[0] @ v.T).max() > 1e-3

    def test_every_axis_of_a_kernel_has_an_orthogonal_basis(self) -> None:
        optimizer = self.new(refresh_every=2)
        trained(optimizer, np.zeros((2, 1, 3, 4)), random_gradients(4, (2, 1, 3, 4)))
        bases = [np.asarray(v) for v in optimizer.variables if "basis" in v.path]
        assert [basis.shape for basis in bases] == [(2, 2), (3, 3), (4, 4)]
        for basis in bases:
            np.testing.assert_allclose(basis.T @ basis, np.eye(len(basis)), atol=1e-5)
            assert not np.array_equal(basis, np.eye(len(basis)))
