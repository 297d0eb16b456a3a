"""The words ``accuracy`` and ``crossentropy``: what Keras makes of them follows from the shapes, for any loss and any model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from descentlab.problems.base import Metric
from descentlab.training.engine.example_loss import example_loss
from descentlab.training.engine.example_metric import example_metric

pytestmark = pytest.mark.usefixtures("device")

EXAMPLES, STEPS, CLASSES = 12, 4, 3
SHAPES = {
    "flat_binary": ((), (1,)),
    "binary": ((1,), (1,)),
    "binary_of_steps": ((STEPS,), (STEPS, 1)),
    "flat_classes": ((), (CLASSES,)),
    "column_of_classes": ((1,), (CLASSES,)),
    "one_hot": ((CLASSES,), (CLASSES,)),
    "classes_of_steps": ((STEPS,), (STEPS, CLASSES)),
    "one_hot_of_steps": ((STEPS, CLASSES), (STEPS, CLASSES)),
}


def targets_and_probabilities(kind: str) -> tuple[np.ndarray, np.ndarray]:
    of_y, of_prediction = SHAPES[kind]
    generator = np.random.default_rng(2)
    classes = max(of_prediction[-1], 2)
    if "one_hot" in kind:
        y = np.eye(classes)[generator.integers(0, classes, (EXAMPLES, *of_y[:-1]))]
    else:
        y = generator.integers(0, classes, (EXAMPLES, *of_y))
    scores = generator.uniform(0.1, 0.9, (EXAMPLES, *of_prediction))
    return y, (scores if classes == 2 else scores / scores.sum(axis=-1, keepdims=True)).astype("float32")


def evaluate(y: np.ndarray, predicted: np.ndarray, **compiled: Any) -> dict[str, float]:
    """What Keras gives for these predictions, which its model passes through."""
    model = keras.Sequential([keras.Input(predicted.shape[1:]), keras.layers.Activation("linear")])
    model.compile(**compiled, run_eagerly=True)
    return dict(model.evaluate(predicted, y, verbose=0, return_dict=True))


def scores(word: str, y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    metric = example_metric(Metric("accuracy", True, word))
    assert metric is not None
    return np.asarray(metric(*map(keras.ops.convert_to_tensor, (y, predicted))))


@pytest.mark.parametrize("kind", SHAPES)
def test_accuracy_and_crossentropy_are_those_that_keras_takes_the_words_for(kind: str) -> None:
    y, predicted = targets_and_probabilities(kind)
    theirs = evaluate(y, predicted, loss="crossentropy", metrics=["accuracy"])
    right = scores("accuracy", y, predicted)
    assert 0 < right.mean() < 1
    assert right.mean() == pytest.approx(theirs["accuracy"], abs=1e-6)
    losses = example_loss("crossentropy")(*map(keras.ops.convert_to_tensor, (y, predicted)), None)
    assert np.mean(losses) == pytest.approx(theirs["loss"], rel=1e-5)


@pytest.mark.parametrize("word", ["acc", "Accuracy"])
def test_other_spellings_are_the_same(word: str) -> None:
    y, predicted = targets_and_probabilities("flat_classes")
    np.testing.assert_array_equal(scores(word, y, predicted), scores("accuracy", y, predicted))
    assert evaluate(y, predicted, loss="CE", metrics=[word])[word] == pytest.approx(scores(word, y, predicted).mean())
