"""The breast cancer problem: its data, its conditioning, and its optimum by scikit-learn's own solver."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from descentlab.problems.base import Data
from descentlab.problems.builtin.breast_cancer import L2, PROBLEM, accuracy, least_objective, load_data, loss_hessian
from descentlab.problems.splits import split_data

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(None)


@pytest.fixture(scope="module")
def fitted(data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training inputs and targets of seed 0, and the best weights with the bias as scikit-learn finds them."""
    train = split_data(PROBLEM, data, 0, PROBLEM.batch_size).train
    x, y = data.x[train], data.y[train]
    model = LogisticRegression(C=1 / (2 * len(x) * L2), tol=1e-12, max_iter=1000, solver="newton-cholesky")
    model.fit(x.astype(np.float64), y[:, 0])
    return x, y, np.append(model.coef_[0], model.intercept_)


def test_parameters_are_as_counted() -> None:
    assert PROBLEM.build_model().count_params() == 31
    assert PROBLEM.count.endswith("= 31") and "31 parameters" in PROBLEM.title


def test_tumors_are_standardized_without_the_test_split(data: Data) -> None:
    data.check("breast_cancer")
    assert (data.x.shape, data.x.dtype, data.y.shape, data.y.dtype) == ((569, 30), np.float32, (569, 1), np.float32)
    assert np.bincount(data.y[:, 0].astype(int)).tolist() == [212, 357]
    assert data.test is not None and len(data.test) == 285
    assert data.y[data.test].sum() == pytest.approx(285 * 357 / 569, abs=1)  # stratified
    outside = np.delete(data.x, data.test, axis=0)
    np.testing.assert_allclose(outside.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(outside.std(0), 1, atol=1e-5)
    assert np.abs(data.x.mean(0)).max() > 1e-3  # with the test split they aren't
    assert data.hash() == load_data(None).hash()


def test_the_optimum_is_scikit_learns(fitted: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, weights = fitted
    logits = x.astype(np.float64) @ weights[:-1] + weights[-1]
    theirs = np.mean(np.logaddexp(0, logits) - y[:, 0] * logits) + L2 * np.sum(weights[:-1] ** 2)
    assert least_objective(x, y) == pytest.approx(theirs, abs=1e-9)


def test_the_optimum_is_of_kerass_own_objective(fitted: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, weights = fitted
    model = PROBLEM.build_model()
    model.set_weights([weights[:-1, None].astype(np.float32), weights[-1:].astype(np.float32)])
    objective = float(PROBLEM.loss(y, model(x))) + float(sum(model.losses))
    assert objective == pytest.approx(least_objective(x, y), rel=1e-5)


def test_the_hessian_is_the_derivative_of_the_gradient(fitted: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, weights = fitted
    design, step = np.column_stack([x.astype(np.float64), np.ones(len(x))]), 1e-5

    def gradient(at: np.ndarray) -> np.ndarray:
        penalty = 2 * L2 * np.append(at[:-1], 0)
        return design.T @ (1 / (1 + np.exp(-design @ at)) - y[:, 0]) / len(x) + penalty

    shifted = [(gradient(weights + step * e) - gradient(weights - step * e)) / (2 * step) for e in np.eye(31)]
    np.testing.assert_allclose(loss_hessian(x, weights), shifted, atol=1e-8)


def test_condition_numbers_are_as_documented(fitted: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """As the docstring of the problem says, measured with NumPy's eigenvalues (2026-11)."""
    x, _, weights = fitted

    def condition(matrix: np.ndarray) -> float:
        values = np.linalg.eigvalsh(matrix)
        return float(values[-1] / values[0])

    assert condition(np.cov(x.T.astype(np.float64))) == pytest.approx(170_000, rel=0.05)
    assert condition(loss_hessian(x, np.zeros(31))) == pytest.approx(1_800, rel=0.05)
    assert condition(loss_hessian(x, weights)) == pytest.approx(44, rel=0.05)


def test_accuracy_is_the_share_of_right_signs(data: Data) -> None:
    logits = np.random.default_rng(0).normal(size=(569, 1)).astype(np.float32)
    scores = keras.ops.convert_to_numpy(accuracy(data.y, logits))
    np.testing.assert_array_equal(scores, (logits[:, 0] > 0) == (data.y[:, 0] == 1))
