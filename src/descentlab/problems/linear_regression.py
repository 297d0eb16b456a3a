"""Linear regression on scikit-learn's diabetes data: convex, with its optimum in closed form (slide "Caso convexo")."""

from __future__ import annotations

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem


def build_model() -> keras.Model:
    """One Dense unit: 10 weights and a bias."""
    return keras.Sequential([keras.Input((10,)), keras.layers.Dense(1, name="linear")], name="linear_regression")


def load_data(path: str | None) -> Data:
    """442 patients, 10 features; features and target standardized (Efron et al. 2004, bundled with scikit-learn)."""
    del path
    from sklearn.datasets import load_diabetes

    features, target = load_diabetes(return_X_y=True, scaled=False)
    features = (features - features.mean(0)) / features.std(0)
    target = (target - target.mean()) / target.std()
    return Data(features.astype(np.float32), target.astype(np.float32)[:, None])


def least_mse(x: np.ndarray, y: np.ndarray) -> float:
    """Least mean squared error of an affine map, by least squares in double precision."""
    design = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    weights = np.linalg.lstsq(design, y.astype(np.float64), rcond=None)[0]
    return float(np.mean((design @ weights - y) ** 2))


PROBLEM = Problem(
    name="linear_regression",
    title=message("Linear regression (diabetes, 11 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=keras.losses.MeanSquaredError(),
    metric=Metric(message("mean squared error"), False, keras.losses.mean_squared_error),
    epochs=40,
    margin=0.02,
    stratified=False,
    convex=True,
    optimum=least_mse,
    count=message("10 weights + 1 bias = 11"),
)
