"""The network whose 53 parameters the slides count, 3-4-5-2 (slide "¿Qué optimizamos?")."""

from __future__ import annotations

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Problem
from descentlab.problems.classification import ACCURACY, CROSS_ENTROPY


def build_model() -> keras.Model:
    """3 inputs, hidden layers of 4 and 5 tanh units, 2 logits."""
    layers = [
        keras.Input((3,)),
        keras.layers.Dense(4, activation="tanh", name="layer1"),
        keras.layers.Dense(5, activation="tanh", name="layer2"),
        keras.layers.Dense(2, name="layer3"),
    ]
    return keras.Sequential(layers, name="slides_mlp")


def load_data(path: str | None) -> Data:
    """600 points drawn from a 3-D normal distribution; the class is whether a point lies inside the median sphere."""
    del path
    from sklearn.datasets import make_gaussian_quantiles

    points, classes = make_gaussian_quantiles(n_samples=600, n_features=3, n_classes=2, random_state=0)
    return Data(points.astype(np.float32), classes.astype(np.int32))


PROBLEM = Problem(
    name="slides_mlp",
    title=message("The slides' network 3-4-5-2 (generated spheres, 53 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=CROSS_ENTROPY,
    metric=ACCURACY,
    epochs=100,
    margin=0.04,
    margin_reason=message(
        "four points in a hundred; where two models answer 5 % of the 120 test points differently, twice the standard error of "
        "their difference is as much"
    ),
    count="W1 12 + W2 20 + W3 10 + B1 4 + B2 5 + B3 2 = 53",
    source=message("generated"),
)
