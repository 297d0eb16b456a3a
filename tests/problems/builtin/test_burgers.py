"""Burgers' equation: the reference against a finite-difference solution, derivatives against automatic ones, the loss."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import solve_ivp

from descentlab.problems.base import Data
from descentlab.problems.builtin import burgers
from descentlab.problems.builtin.burgers import (
    GRID_T,
    GRID_X,
    PROBLEM,
    VISCOSITY,
    build_model,
    grid,
    load_data,
    physics_loss,
    relative_error,
    solution,
)
from descentlab.problems.splits import split_data

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(None)


def finite_differences(intervals: int) -> np.ndarray:
    """The solution on the test grid, shape (GRID_T, GRID_X), by central differences in x and an implicit method in t."""
    x = np.linspace(-1, 1, intervals + 1)
    step = x[1] - x[0]

    def slope(_: float, inside: np.ndarray) -> np.ndarray:
        u = np.concatenate([[0.0], inside, [0.0]])
        flux = (u[2:] ** 2 - u[:-2] ** 2) / (4 * step)
        return VISCOSITY * (u[2:] - 2 * u[1:-1] + u[:-2]) / step**2 - flux

    times = np.linspace(0, 1, GRID_T)
    start = -np.sin(np.pi * x[1:-1])
    solved = solve_ivp(slope, (0, 1), start, "LSODA", times, rtol=1e-8, atol=1e-8, lband=1, uband=1).y.T
    return np.pad(solved, ((0, 0), (1, 1)))[:, :: intervals // (GRID_X - 1)]


def test_parameters_are_as_counted() -> None:
    assert build_model().count_params() == 921
    assert PROBLEM.count.endswith("= 921") and "921 parameters" in PROBLEM.title


def test_the_solution_is_that_of_finite_differences() -> None:
    """A second method, of second order: with half the step, a quarter of the difference."""
    ours = solution(grid()).reshape(GRID_T, GRID_X)
    coarse, fine = (np.abs(finite_differences(n) - ours).max() for n in (512, 1024))
    assert fine < 2e-3
    assert coarse / fine == pytest.approx(4, rel=0.1)


def test_the_solution_meets_what_is_given_and_its_symmetry() -> None:
    x = np.linspace(-1, 1, 41)
    at_start, later = (solution(np.column_stack([x, np.full(41, t)])) for t in (0.0, 0.7))
    np.testing.assert_allclose(at_start, -np.sin(np.pi * x), atol=1e-12)
    np.testing.assert_allclose(later, -later[::-1], atol=1e-9)
    assert np.abs(later[[0, 20, 40]]).max() < 1e-9


def test_more_nodes_of_the_quadrature_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = solution(grid())
    monkeypatch.setattr(burgers, "QUADRATURE", 180)
    np.testing.assert_allclose(solution(grid()), before, atol=1e-6)


def test_outputs_are_u_and_the_residual_by_automatic_differentiation() -> None:
    keras.utils.set_random_seed(0)
    model = build_model()
    model.set_weights([w + 0.1 for w in model.get_weights()])  # biases too
    points = tf.constant(np.random.default_rng(0).uniform(-1, 1, (30, 2)).astype(np.float32))
    x, t = points[:, :1], points[:, 1:]
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch([x, t])
            u = model(tf.concat([x, t], axis=1))[:, :1]
        u_x, u_t = inner.gradient(u, [x, t])
    u_xx = outer.gradient(u_x, x)
    residual = u_t + u * u_x - VISCOSITY * u_xx
    assert np.abs(residual).max() > 0.1
    np.testing.assert_allclose(model(points), tf.concat([u, residual], axis=1), rtol=1e-4, atol=1e-5)


def test_points_and_their_targets(data: Data) -> None:
    data.check("burgers")
    assert (data.x.shape, data.y.shape) == ((3365, 2), (3365, 3))
    assert data.x.dtype == data.y.dtype == np.float32
    x, t = data.x.T
    given = (t == 0) | (np.abs(x) == 1)
    assert [int(np.sum(part[:2000])) for part in (given, t == 0, np.abs(x) == 1)] == [400, 200, 200]
    assert data.x[:, 0].min() == -1 and data.x[:, 0].max() == 1 and 0 <= t.min() and t.max() <= 1
    np.testing.assert_array_equal(data.y[:, 1] > 0, given)
    np.testing.assert_array_equal(data.y[:, 2] > 0, ~given)
    np.testing.assert_allclose(data.y[:2000, 1:].max(0), [5, 1.25])
    for part in (slice(0, 2000), slice(2000, None)):
        np.testing.assert_allclose(data.y[part, 1:].mean(0), 1, rtol=1e-5)
    assert data.hash() == load_data(None).hash()


def test_no_test_point_is_trained_on(data: Data) -> None:
    split = split_data(PROBLEM, data, 0, PROBLEM.batch_size)
    assert [len(part) for part in (split.train, split.val, split.test)] == [1600, 400, 1365]
    np.testing.assert_allclose(data.x[split.test], grid(), atol=1e-7)
    seen, tested = ({tuple(row) for row in data.x[part]} for part in (np.union1d(split.train, split.val), split.test))
    assert len(seen) == 2000 and not seen & tested


def test_the_loss_never_uses_the_solution_inside(data: Data) -> None:
    predicted = np.random.default_rng(0).normal(size=(3365, 2)).astype(np.float32)
    other = data.y.copy()
    other[data.y[:, 1] == 0, 0] = 100
    np.testing.assert_array_equal(physics_loss(data.y, predicted), physics_loss(other, predicted))


def test_losses_and_errors_of_known_predictions(data: Data) -> None:
    """The solution itself has neither; zero, which satisfies the equation, has half of the initial points' mean square."""
    exact = np.column_stack([data.y[:, 0], np.zeros(len(data))]).astype(np.float32)
    assert np.abs(physics_loss(data.y, exact)).max() == np.abs(relative_error(data.y, exact)).max() == 0
    test = data.y[data.test]
    zero = np.zeros((len(test), 2), np.float32)
    assert float(np.mean(relative_error(test, zero))) == pytest.approx(1, rel=1e-5)
    # On the grid, the squares of a sine at 64 steps of a whole number of half periods add up to 32; of 105 given points.
    assert float(np.mean(physics_loss(test, zero))) == pytest.approx(32 / (GRID_X + 2 * (GRID_T - 1)), rel=1e-5)
    one = zero + np.array([0, 1], np.float32)
    assert float(np.mean(physics_loss(test, one) - physics_loss(test, zero))) == pytest.approx(1, rel=1e-5)


def test_a_saved_model_is_read_again(data: Data, tmp_path: Path) -> None:
    model = build_model()
    path = tmp_path / "burgers.keras"
    model.save(path)
    np.testing.assert_array_equal(keras.saving.load_model(path)(data.x[:5]), model(data.x[:5]))
