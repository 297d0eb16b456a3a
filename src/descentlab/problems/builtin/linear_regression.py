"""Linear regression on scikit-learn's diabetes data: convex, with its optimum in closed form (slide "Caso convexo")."""

from __future__ import annotations

import math

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.random_streams import stream_generator

TEST_SHARE = 0.5  # 11 parameters need few of the 442 patients; telling two fits apart needs many


def build_model() -> keras.Model:
    """One Dense unit: 10 weights and a bias."""
    return keras.Sequential([keras.Input((10,)), keras.layers.Dense(1, name="linear")], name="linear_regression")


def load_data(path: str | None) -> Data:
    """442 patients, 10 features (Efron et al. 2004, bundled with scikit-learn).

    Features and target are standardized by the mean and standard deviation of the patients outside the test split, which is
    therefore drawn here.
    """
    del path
    from sklearn.datasets import load_diabetes

    features, target = load_diabetes(return_X_y=True, scaled=False)
    order = stream_generator("diabetes", 0, "test split").permutation(len(target))
    test, rest = np.split(order, [math.ceil(TEST_SHARE * len(order))])
    x, y = (
        ((values - values[rest].mean(0)) / values[rest].std(0)).astype(np.float32)
        for values in (features, target[:, None])
    )
    return Data(x, y, test)


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
    margin_reason=message(
        "two hundredths of the target's variance, or of R²; the 221 test patients leave the difference of two tuned optimizers "
        "a standard error of about 0.004"
    ),
    test_share=TEST_SHARE,
    stratified=False,
    convex=True,
    optimum=least_mse,
    count=message("10 weights + 1 bias = 11"),
    source=message("scikit-learn, load_diabetes (Efron et al. 2004)"),
)
