"""The loss, the metric and the data that the classification problems share."""

from __future__ import annotations

import functools

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.datasets.mnist import SOURCE, load_mnist_5k

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
DIGITS_SOURCE = message("scikit-learn, load_digits (UCI, Alpaydin & Kaynak 1998; CC BY 4.0)")
ACCURACY = Metric(message("accuracy"), True, keras.metrics.sparse_categorical_accuracy)


def load_digits(path: str | None) -> Data:
    """The 1,797 digits of 8×8 pixels that scikit-learn bundles (UCI), pixels scaled to [0, 1], flat.

    Args:
        path: ignored; the data come with scikit-learn.
    """
    del path
    from sklearn import datasets

    digits = datasets.load_digits()
    return Data((digits.data / 16).astype(np.float32), digits.target.astype(np.int32))


# A problem on the digits: all of them share the data, the sealed test split and the margin.
digits_problem = functools.partial(
    Problem,
    load_data=load_digits,
    dataset="digits",
    loss=CROSS_ENTROPY,
    metric=ACCURACY,
    margin=0.02,
    margin_reason=message(
        "two images in a hundred; where two models answer 5 % of the 599 test images differently, twice the standard error of "
        "their difference is 1.8 in a hundred"
    ),
    test_share=1 / 3,
    source=DIGITS_SOURCE,
)

# A problem on the 5,000 images of MNIST, likewise.
mnist_problem = functools.partial(
    Problem,
    load_data=load_mnist_5k,
    dataset="mnist",
    loss=CROSS_ENTROPY,
    metric=ACCURACY,
    margin=0.015,
    margin_reason=message(
        "three images in two hundred; where two models answer 5 % of the 1,250 test images differently, twice the standard error "
        "of their difference is 1.3 in a hundred"
    ),
    source=SOURCE,
)
