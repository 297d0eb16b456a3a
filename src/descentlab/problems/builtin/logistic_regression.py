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
    """Least cross-entropy plus L2 penalty, by a Newton method in double precision (gradient below 1e-9)."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax, softmax

    inputs = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    target = np.eye(10)[y]
    penalty = np.full((inputs.shape[1], 1), L2)
    penalty[-1] = 0  # the biases'

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        kernel = flat.reshape(-1, 10)
        log_probability = log_softmax(inputs @ kernel, axis=1)
        value = np.sum(penalty * kernel**2) - np.mean(np.sum(target * log_probability, axis=1))
        gradient = inputs.T @ (np.exp(log_probability) - target) / len(x) + 2 * penalty * kernel
        return float(value), gradient.ravel()

    def hessian_product(flat: np.ndarray, direction: np.ndarray) -> np.ndarray:
        step = direction.reshape(-1, 10)
        probability = softmax(inputs @ flat.reshape(-1, 10), axis=1)
        moved = probability * (inputs @ step)
        moved -= probability * moved.sum(axis=1, keepdims=True)
        return np.asarray(inputs.T @ moved / len(x) + 2 * penalty * step).ravel()

    start, options = np.zeros(inputs.shape[1] * 10), {"gtol": 1e-9}
    return float(minimize(objective, start, jac=True, hessp=hessian_product, method="trust-ncg", options=options).fun)


PROBLEM = digits_problem(
    name="logistic_regression",
    title=message("Logistic regression with L2 (digits, 650 parameters)"),
    build_model=build_model,
    epochs=40,
    convex=True,
    optimum=least_objective,
    count=message("64 × 10 weights + 10 biases = 650"),
)
