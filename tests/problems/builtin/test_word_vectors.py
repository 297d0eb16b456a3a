"""Word vectors: counts against a loop, entries that are not in two splits, GloVe's loss by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from descentlab.problems.base import Data
from descentlab.problems.builtin.word_vectors import (
    PROBLEM,
    TEST_SHARE,
    WORDS,
    count_pairs,
    load_data,
    weighted_squared_error,
)

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(None)


def test_parameters_are_as_counted() -> None:
    model = PROBLEM.build_model()
    sizes = [int(np.prod(variable.shape)) for variable in model.trainable_variables]
    assert sum(sizes) == model.count_params() == 18000
    assert PROBLEM.count.endswith("= 18,000") and "18,000 parameters" in PROBLEM.title


def test_counts_are_those_of_a_loop() -> None:
    generator = np.random.default_rng(0)
    texts = [generator.integers(0, 5, size).astype(np.int32) for size in (30, 1, 0, 17)]
    expected = np.zeros((4, 4))
    for ids in texts:
        for i, word in enumerate(ids):
            for distance, context in enumerate(ids[i + 1 : i + 4], start=1):
                if word and context:
                    expected[word - 1, context - 1] += 1 / distance
    np.testing.assert_allclose(count_pairs(texts, words=4, window=3), expected)


def test_entries(data: Data) -> None:
    data.check("word_vectors")
    assert data.x.shape == data.y.shape == (87_070, 2)  # Keras 3.15.1
    assert (data.x.dtype, data.y.dtype) == (np.int32, np.float32)
    assert (data.x.min(), data.x.max()) == (0, WORDS - 1)
    assert len(np.unique(data.x, axis=0)) == len(data)
    assert data.hash() == load_data(None).hash()


def test_weights_are_those_of_glove(data: Data) -> None:
    counts = np.exp(data.y[:, 0].astype(np.float64))
    assert counts.min() >= 1 - 1e-6
    np.testing.assert_allclose(data.y[:, 1], np.where(counts < 100, (counts / 100) ** 0.75, 1), rtol=1e-5)
    assert (data.y[:, 1] < 0.05).any() and (data.y[:, 1] == 1).any()


def test_an_entry_is_on_the_same_side_of_the_split_as_its_reverse(data: Data) -> None:
    assert data.test is not None and len(data.test) - round(TEST_SHARE * len(data)) in (0, 1)
    unordered = np.sort(data.x, axis=1) @ [WORDS, 1]
    outside = np.delete(unordered, data.test)
    assert not np.isin(unordered[data.test], outside).any()
    assert len(np.unique(outside)) < len(outside)  # there are entries with their reverse
    training = np.bincount(np.delete(data.x, data.test, axis=0)[:, 0], minlength=WORDS)
    assert training.min() > 0 and np.sort(training)[-10:].mean() > 5 * np.median(
        training
    )  # few words are in most entries


def test_the_prediction_is_a_product_and_two_biases(data: Data) -> None:
    model = PROBLEM.build_model()
    generator = np.random.default_rng(0)
    weights = {layer.name: layer.get_weights()[0].shape for layer in model.layers if layer.get_weights()}
    values = {name: generator.normal(size=shape).astype(np.float32) for name, shape in weights.items()}
    for name, value in values.items():
        model.get_layer(name).set_weights([value])
    word, context = data.x[:50].T
    expected = (values["word"][word] * values["context"][context]).sum(axis=1)
    expected += values["word_bias"][word, 0] + values["context_bias"][context, 0]
    np.testing.assert_allclose(model(data.x[:50])[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_of_constant_predictions_the_weighted_mean_is_the_best(data: Data) -> None:
    """What it leaves is the weighted variance times the mean weight."""
    log_count, weight = data.y.astype(np.float64).T
    mean = np.average(log_count, weights=weight)
    left = np.average((log_count - mean) ** 2, weights=weight) * weight.mean()

    def error(constant: float) -> float:
        scores = weighted_squared_error(data.y, np.full((len(data), 1), constant, np.float32))
        assert scores.shape == (len(data),)
        return float(keras.ops.mean(scores))

    assert error(mean) == pytest.approx(left, rel=1e-4)
    assert error(mean) < min(error(mean - 0.1), error(mean + 0.1))
