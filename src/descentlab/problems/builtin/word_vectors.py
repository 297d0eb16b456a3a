"""Word vectors from a table of co-occurrences: two embeddings whose products fit the logarithm of its counts.

The model and the loss are those of GloVe (Pennington et al. 2014), which is trained with AdaGrad: a batch has a few of the
words, most words are in few of the entries, and a rate of its own for each weight lets rare words move as far as frequent ones
(Duchi et al. 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization"). Factorization also begins
near a saddle point, where both vectors of every pair are small.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.datasets.source_text import SOURCE, frequent_words, source_files, split_words, word_ids

WORDS = 1000
WIDTH = 8
WINDOW = 5  # words
LEAST_COUNT = 1.0
TEST_SHARE, TEST_SEED = 0.3, 0
FULL_WEIGHT_FROM, WEIGHT_POWER = 100.0, 0.75  # both as in GloVe


def build_model() -> keras.Model:
    """The product of a word's and a context's vector, plus a bias for each."""
    pair = keras.Input((2,), dtype="int32")
    word, context = pair[:, 0], pair[:, 1]
    product = keras.layers.Dot(axes=-1, name="product")(
        [
            keras.layers.Embedding(WORDS, WIDTH, name="word")(word),
            keras.layers.Embedding(WORDS, WIDTH, name="context")(context),
        ]
    )
    biases = [
        keras.layers.Embedding(WORDS, 1, embeddings_initializer="zeros", name="word_bias")(word),
        keras.layers.Embedding(WORDS, 1, embeddings_initializer="zeros", name="context_bias")(context),
    ]
    return keras.Model(pair, keras.layers.Add(name="log_count")([product, *biases]), name="word_vectors")


def count_pairs(texts: list[np.ndarray], words: int, window: int) -> np.ndarray:
    """How often each word is followed by each other within a window, float64 of shape (words, words).

    A pair at a distance of k words counts 1 / k, as in GloVe.

    Args:
        texts: the words of each file, from 1 to ``words``; unknown ones, 0, keep their place and are not counted.
        words: in the vocabulary without the unknown one.
        window: the largest distance.

    Example:
        >>> count_pairs([np.array([1, 2, 0, 2])], words=2, window=3).round(3).tolist()
        [[0.0, 1.333], [0.0, 0.5]]
    """
    size = words + 1
    counts = np.zeros(size * size)
    for distance in range(1, window + 1):
        places = [ids[:-distance].astype(np.int64) * size + ids[distance:] for ids in texts]
        counts += np.bincount(np.concatenate(places), minlength=size * size) / distance
    return counts.reshape(size, size)[1:, 1:]


def load_data(path: str | None) -> Data:
    """The entries of the table of the 1,000 most frequent words that count at least 1, about 87,000, in random order.

    Inputs are a word and one of the five after it, shape (n, 2). Targets are the logarithm of their count over all files, which
    is not negative, and its weight in the loss, shape (n, 2). An entry and its reverse say something about each other, so both
    are in the test split or both outside it.

    Args:
        path: ignored; the text comes with Keras.
    """
    del path
    texts = [split_words(file.text) for file in source_files()]
    vocabulary = frequent_words(texts, WORDS + 1)
    counts = count_pairs([word_ids(words, vocabulary) for words in texts], WORDS, WINDOW)
    pairs = np.argwhere(counts >= LEAST_COUNT)
    unordered = pairs.min(axis=1) * WORDS + pairs.max(axis=1)
    place = np.random.default_rng(TEST_SEED).permutation(WORDS * WORDS)[unordered]
    order = np.argsort(place, kind="stable")  # an entry and its reverse are neighbors
    pairs, place = pairs[order], place[order]
    first_test = np.searchsorted(place, place[round((1 - TEST_SHARE) * len(pairs))])
    chosen = counts[pairs[:, 0], pairs[:, 1]]
    weights = np.minimum(1, chosen / FULL_WEIGHT_FROM) ** WEIGHT_POWER
    targets = np.column_stack([np.log(chosen), weights]).astype(np.float32)
    return Data(pairs.astype(np.int32), targets, test=np.arange(first_test, len(pairs)))


def weighted_squared_error(y: Any, y_pred: Any) -> Any:
    """Squared error of the logarithm times the entry's weight, shape (n,).

    Args:
        y: logarithm of the count and weight, shape (n, 2).
        y_pred: predicted logarithm, shape (n, 1).
    """
    return y[:, 1] * keras.ops.square(y_pred[:, 0] - y[:, 0])


PROBLEM = Problem(
    name="word_vectors",
    title=message("Word vectors from co-occurrences in source code (18,000 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=weighted_squared_error,
    metric=Metric(message("weighted squared error"), False, weighted_squared_error),
    epochs=10,
    batch_size=64,
    margin=0.01,
    margin_reason=message(
        "a twentieth of the error that tuned optimizers leave, 0.22; the 26,121 test entries leave their difference a standard "
        "error of about 0.003"
    ),
    stratified=False,
    count="2 × 1,000 × (8 + 1) = 18,000",
    source=SOURCE,
)
