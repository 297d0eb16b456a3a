"""Softmax regression on digits with an L2 penalty: convex, and its minimizer exists and is unique ("Caso convexo")."""

from __future__ import annotations

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.classification import digits_problem

L2 = 1e-3


def build_model() -> keras.Model:
    """One Dense layer of 10 logits with a penalized kernel."""
    layer = keras.layers.Dense(10, kernel_regularizer=keras.regularizers.L2(L2), name="softmax")
    return keras.Sequential([keras.Input((64,)), layer], name="logistic_regression")


def least_objective(x: np.ndarray, y: np.ndarray) -> float:
    """Least cross-entropy plus L2 penalty, by L-BFGS in double precision (gradient below 1e-9)."""
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    inputs = x.astype(np.float64)
    n, features = inputs.shape
    rows = np.arange(n)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, bias = flat[:-10].reshape(features, 10), flat[-10:]
        logits = inputs @ kernel + bias
        normalizer = logsumexp(logits, axis=1, keepdims=True)
        error = np.exp(logits - normalizer)
        error[rows, y] -= 1
        value = float(np.mean(normalizer[:, 0] - logits[rows, y]) + L2 * np.sum(kernel**2))
        gradient = inputs.T @ error / n + 2 * L2 * kernel
        return value, np.concatenate([gradient.ravel(), error.mean(0)])

    start = np.zeros((features + 1) * 10)
    options = {"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-9}
    return float(minimize(objective, start, jac=True, method="L-BFGS-B", options=options).fun)


PROBLEM = digits_problem(
    name="logistic_regression",
    title=message("Logistic regression with L2 (digits, 650 parameters)"),
    build_model=build_model,
    epochs=40,
    convex=True,
    optimum=least_objective,
    count=message("64 × 10 weights + 10 biases = 650"),
)
