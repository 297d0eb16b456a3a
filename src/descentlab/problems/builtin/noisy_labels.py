"""A multi-layer perceptron on MNIST with two labels in five wrong: what is learned first, and what is memorized later.

It is in the suite because a network can memorize labels at random, and learns what images have in common before it does
(Zhang et al. 2017, "Understanding deep learning requires rethinking generalization"; Arpit et al. 2017, "A closer look at
memorization in deep networks"). The fastest descent of the training loss is then not the best, and how far an optimizer goes
within the budget, and in which directions, is its regularization.

Test labels are clean, so the metric is what the model knows. Validation examples are drawn by seed from outside the test split,
and their labels are as noisy as those of training: so are those of who has no clean ones to choose by. There a model
that is always right has an accuracy of about 0.6.
"""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data
from descentlab.problems.classification import mnist_problem
from descentlab.problems.datasets.mnist import load_mnist_5k

SHARE = 0.4  # of the labels outside the test split
SEED = 1


def build_model() -> keras.Model:
    """Two hidden layers of 128 ReLU units, then 10 logits."""
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(128, activation="relu", name="hidden1"),
        keras.layers.Dense(128, activation="relu", name="hidden2"),
        keras.layers.Dense(10, name="logits"),
    ]
    return keras.Sequential(layers, name="noisy_labels")


def load_data(path: str | None) -> Data:
    """5,000 images of MNIST, with 1,500 of the 3,750 labels outside the test split replaced; the path is ignored.

    Which labels are replaced is drawn once, and so is what each becomes: one of the other nine, all equally likely. The
    test labels are clean. Those of validation are not: a seed draws its examples from outside the test split.
    """
    del path
    clean = load_mnist_5k()
    assert clean.test is not None
    generator = np.random.default_rng(SEED)
    outside_test = np.setdiff1d(np.arange(len(clean)), clean.test)
    wrong = generator.choice(outside_test, round(SHARE * len(outside_test)), replace=False)
    labels = clean.y.copy()
    labels[wrong] = (labels[wrong] + generator.integers(1, 10, len(wrong))) % 10
    return replace(clean, y=labels)


PROBLEM = mnist_problem(
    name="noisy_labels",
    title=message("Multi-layer perceptron, two labels in five wrong (5,000 images of MNIST, 118,282 parameters)"),
    build_model=build_model,
    load_data=load_data,
    epochs=20,
    batch_size=64,
    count="784 × 128 + 128 + 128 × 128 + 128 + 128 × 10 + 10 = 118,282",
)
