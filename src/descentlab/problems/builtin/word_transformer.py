"""A small transformer that predicts the next word of source code, out of 4,000 whose frequencies follow Zipf's law.

It is the case in which Adam is said to be clearly better than SGD, however both are tuned. Two reasons are given: the noise of
gradients in attention models has heavy tails (Zhang et al. 2020, "Why are Adaptive Methods Good for Attention Models?"), and
gradient descent learns rare words slowly, full batches or not (Kunstner et al. 2023, "Noise Is Not the Main Factor Behind the Gap
Between SGD and Adam on Transformers", and 2024, "Heavy-Tailed Class Imbalance and Why Adam Outperforms Gradient Descent on
Language Models").

An embedding's gradient is sparse, which makes Adam's squares those of single rows (docs/your_model.md, "Optimizers"). Here the
same weights give the logits, so that their gradient is dense, and Adam is what its paper says.
"""

from __future__ import annotations

from typing import Any

import keras

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.classification import CROSS_ENTROPY
from descentlab.problems.datasets.source_text import (
    SOURCE,
    LanguageSizes,
    frequent_words,
    next_symbols,
    split_files,
    split_words,
    word_ids,
)
from descentlab.problems.next_symbol import mean_nats

VOCABULARY = 4000
LENGTH = 32
WIDTH, HEADS, LAYERS = 32, 4, 2
SIZES = LanguageSizes(rest=1280, test=480, most=8)


@keras.saving.register_keras_serializable("descentlab")
class LearnedPositions(keras.layers.Layer):
    """Adds a vector of weights to each position of a sequence of fixed length, shape (n, length, width)."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Weights of shape (length, width), small and uniform as those of an Embedding."""
        self.positions = self.add_weight(shape=shape[1:], initializer="uniform", name="positions")

    def call(self, x: Any) -> Any:
        """The sum."""
        return x + self.positions


def build_model() -> keras.Model:
    """Two layers of causal attention and a perceptron, normalized before each; the embedding's weights give the logits."""
    words = keras.Input((LENGTH,), dtype="int32")
    embedding = keras.layers.ReversibleEmbedding(VOCABULARY, WIDTH, name="words")
    x = LearnedPositions(name="positions")(embedding(words))
    for layer in range(1, LAYERS + 1):
        normalized = keras.layers.LayerNormalization(name=f"norm{layer}a")(x)
        attention = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention{layer}")
        x = keras.layers.add([x, attention(normalized, normalized, use_causal_mask=True)])
        normalized = keras.layers.LayerNormalization(name=f"norm{layer}b")(x)
        hidden = keras.layers.Dense(4 * WIDTH, activation="gelu", name=f"hidden{layer}")(normalized)
        x = keras.layers.add([x, keras.layers.Dense(WIDTH, name=f"output{layer}")(hidden)])
    x = keras.layers.LayerNormalization(name="norm")(x)
    return keras.Model(words, embedding(x, reverse=True), name="word_transformer")


def load_data(path: str | None) -> Data:
    """1,760 blocks of 32 words with the word that follows each: 1,280 outside the test split and 480 in it.

    The vocabulary has the most frequent words of all files outside the test split. At most eight blocks are of one file.

    Args:
        path: ignored; the text comes with Keras.
    """
    del path
    rest, test = split_files()
    texts = [split_words(file.text) for file in rest]
    vocabulary = frequent_words(texts, VOCABULARY)
    return next_symbols(
        (word_ids(words, vocabulary) for words in texts),
        (word_ids(split_words(file.text), vocabulary) for file in test),
        LENGTH,
        SIZES,
    )


PROBLEM = Problem(
    name="word_transformer",
    title=message("Transformer of two layers, next word of source code (4,000 words, 154,496 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=CROSS_ENTROPY,
    metric=Metric(message("log perplexity"), False, mean_nats),
    epochs=3,
    batch_size=16,
    margin=0.05,
    margin_reason=message(
        "5 % of the perplexity, since a difference of 0.01 is 1 %; the 480 test blocks leave the difference of two tuned "
        "optimizers a standard error of about 0.015"
    ),
    stratified=False,
    count=message(
        "words 128,000 + positions 1,024 + 2 × (attention 4,224 + perceptron 8,352 + norms 128) + norm 64 = 154,496"
    ),
    source=SOURCE,
)
