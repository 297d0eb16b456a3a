"""Rare classes: softmax regression on classes whose frequencies have a heavy tail, judged by the rarest of them.

After Kunstner et al. 2024, "Heavy-tailed class imbalance and why Adam outperforms gradient descent on language models": group i
of 0, ..., 6 has 2^i classes, and every group has as many examples. So a class of the last group is 64 times as rare as that of
the first, but its group has as large a part in the loss. The gradient with respect to a class's weights is about as large as
the class is frequent, so gradient descent with one rate for all fits the rare classes last, and a method that divides each
weight's gradient by its own magnitude does not wait. Meanwhile their loss is above that of initial weights, which give every
class the same chance. The metric is the loss of the rarest group alone.

Unlike the paper's (and those of ``measurements/imbalance.py``, which follows it) the inputs say something about the class: each
is the mean of its class plus Gaussian noise. Otherwise only the training loss would mean anything. Mini-batches are another
difference: with them and a tuned rate that decays to zero, plain SGD comes as low as Adam (2026-11), so the effect is one of
the rate and of the first updates.
"""

from __future__ import annotations

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.classification import CROSS_ENTROPY

GROUPS = 7
CLASSES = 2**GROUPS - 1
RAREST = 2 ** (GROUPS - 1) - 1  # the first class of the last group
PER_GROUP = 2048  # examples, 32 of each of the rarest classes
FEATURES = 64
DISTANCE = 4.0  # of a class's mean from the origin, in standard deviations of the noise


def build_model() -> keras.Model:
    """One Dense layer of 127 logits."""
    layers = [keras.Input((FEATURES,)), keras.layers.Dense(CLASSES, name="softmax")]
    return keras.Sequential(layers, name="heavy_tail")


def load_data(path: str | None) -> Data:
    """14,336 examples of 127 classes; inputs, shape (14336, 64), are Gaussian around a mean of their class.

    The means are random directions of length ``DISTANCE``; the noise has standard deviation 1 in each direction. Classes 2^i - 1
    to 2^(i+1) - 2 are group i, and have 2,048 / 2^i examples each.

    Args:
        path: ignored; the data are generated.
    """
    del path
    generator = np.random.default_rng(20240)
    means = generator.normal(size=(CLASSES, FEATURES))
    means *= DISTANCE / np.linalg.norm(means, axis=1, keepdims=True)
    groups = np.arange(GROUPS)
    y = np.repeat(np.arange(CLASSES), np.repeat(PER_GROUP >> groups, 1 << groups))
    x = means[y] + generator.normal(size=(len(y), FEATURES))
    return Data(x.astype(np.float32), y.astype(np.int32))


def rarest_loss(y: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Scores whose mean is the loss of the rarest group's examples, shape (n,): theirs times 7, and 0 for the others.

    Every split has the same share of each class (it is stratified, and its sizes fit), so a seventh of the examples is theirs.

    Args:
        y: classes, shape (n,) or (n, 1).
        y_pred: logits, shape (n, 127).
    """
    classes = keras.ops.reshape(y, (-1,))
    losses = keras.losses.sparse_categorical_crossentropy(classes, y_pred, from_logits=True)
    return GROUPS * losses * keras.ops.cast(classes >= RAREST, losses.dtype)


PROBLEM = Problem(
    name="heavy_tail",
    title=message("Softmax regression with rare classes (generated, 8,255 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=CROSS_ENTROPY,
    metric=Metric(message("loss of the rarest classes"), False, rarest_loss),
    epochs=20,
    batch_size=64,
    margin=0.05,
    margin_reason=message(
        "a twentieth of a nat: one twentieth more probability for the right class; the 1,024 test examples of the rarest classes "
        "leave the difference of two tuned optimizers a standard error of about 0.015"
    ),
    test_share=0.5,
    validation_share=0.25,
    convex=True,
    count=message("64 × 127 weights + 127 biases = 8,255"),
    source=message("generated, after Kunstner et al. 2024"),
)
