"""Logistic regression with an L2 penalty on scikit-learn's breast cancer data: convex and badly conditioned.

Many of the 30 measurements say the same (radius, perimeter and area of a nucleus): standardized, their covariance has a condition
number of about 170,000. The training loss with its penalty has one of about 1,800 at zero weights and of 44 at its optimum, where
the penalty bounds the smallest curvature (seed 0; the test measures all three). The updates that gradient descent needs grow with
this number, those of momentum with its square root (Polyak 1964, "Some methods of speeding up the convergence of iteration
methods"), and Adam rescales coordinates but can't rotate them. The optimum to measure them against is known.
"""

from __future__ import annotations

import math

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.random_streams import stream_seed

L2 = 1e-3
TEST_SHARE = 0.5  # 31 parameters need few of the 569 patients; telling two fits apart needs many


def build_model() -> keras.Model:
    """One Dense unit, 30 penalized weights and a bias; its output is the logit of a benign tumor."""
    layer = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(L2), name="logit")
    return keras.Sequential([keras.Input((30,)), layer], name="breast_cancer")


def load_data(path: str | None) -> Data:
    """569 tumors, 30 measurements of their cell nuclei; the target, shape (569, 1), is 1 for a benign tumor (357 of them).

    The measurements are standardized by the mean and standard deviation of the tumors outside the test split, which is
    therefore drawn here, with the classes' shares preserved.

    Args:
        path: ignored; the data come with scikit-learn.
    """
    del path
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    measured, target = load_breast_cancer(return_X_y=True)
    n_test = math.ceil(TEST_SHARE * len(target))
    seed = stream_seed("breast_cancer", 0, "test split")
    rest, test = train_test_split(np.arange(len(target)), test_size=n_test, random_state=seed, stratify=target)
    x = ((measured - measured[rest].mean(0)) / measured[rest].std(0)).astype(np.float32)
    return Data(x, target[:, None].astype(np.float32), test)


def least_objective(x: np.ndarray, y: np.ndarray) -> float:
    """Least cross-entropy plus L2 penalty, by a Newton method in double precision (gradient below 1e-10)."""
    from scipy.optimize import minimize
    from scipy.special import expit

    design = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    target = y[:, 0].astype(np.float64)
    penalty = np.full(design.shape[1], L2)
    penalty[-1] = 0

    def objective(weights: np.ndarray) -> float:
        logits = design @ weights
        return float(np.mean(np.logaddexp(0, logits) - target * logits) + penalty @ weights**2)

    def gradient(weights: np.ndarray) -> np.ndarray:
        return design.T @ (expit(design @ weights) - target) / len(target) + 2 * penalty * weights

    def hessian(weights: np.ndarray) -> np.ndarray:
        return loss_hessian(x, weights)

    start = np.zeros(design.shape[1])
    options = {"gtol": 1e-10}
    return float(minimize(objective, start, jac=gradient, hess=hessian, method="trust-exact", options=options).fun)


def loss_hessian(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Second derivatives of the cross-entropy plus penalty, float64 of shape (31, 31); the labels don't enter.

    Args:
        x: standardized inputs, shape (n, 30).
        weights: 30 weights and the bias, shape (31,).
    """
    from scipy.special import expit

    design = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    probability = expit(design @ weights)
    curvature = design.T @ (design * (probability * (1 - probability))[:, None]) / len(design)
    return curvature + 2 * L2 * np.diag([*np.ones(x.shape[1]), 0.0])


def accuracy(y: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """1 where a logit has the sign of its class, shape (n,)."""
    return keras.ops.mean(keras.metrics.binary_accuracy(y, y_pred, threshold=0.0), axis=-1)


PROBLEM = Problem(
    name="breast_cancer",
    title=message("Logistic regression with L2, badly conditioned (breast cancer, 31 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metric=Metric(message("accuracy"), True, accuracy),
    epochs=100,
    margin=0.027,
    margin_reason=message(
        "three tumors in a hundred; where two models answer 5 % of the 285 test tumors differently, twice the standard error of "
        "their difference is 2.6 in a hundred"
    ),
    test_share=TEST_SHARE,
    convex=True,
    optimum=least_objective,
    count=message("30 weights + 1 bias = 31"),
    source=message("scikit-learn, load_breast_cancer (UCI, Wolberg et al. 1995; CC BY 4.0)"),
)
