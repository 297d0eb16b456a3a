"""Models of texts, as token ids or as strings."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from descentlab.problems.base import Data, Metric
from models.zoo.data import LENGTH, TOKENS, load_padded_texts, load_tags, load_texts, outside_test, small

BINARY_ACCURACY = Metric("binary_accuracy", True, keras.metrics.binary_accuracy)


class TokenAndPosition(layers.Layer):
    """The sum of a token's embedding and its position's."""

    def __init__(self, length: int, tokens: int, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.token = layers.Embedding(tokens, units)
        self.position = layers.Embedding(length, units)

    def call(self, x: Any) -> Any:
        return self.token(x) + self.position(ops.arange(ops.shape(x)[-1]))


class TransformerBlock(layers.Layer):
    """Self-attention and two dense layers, each with a residual connection and a layer normalization."""

    def __init__(self, units: int, heads: int, hidden: int, rate: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.attention = layers.MultiHeadAttention(heads, units // heads)
        self.dense = keras.Sequential([layers.Dense(hidden, activation="relu"), layers.Dense(units)])
        self.norms = [layers.LayerNormalization(epsilon=1e-6), layers.LayerNormalization(epsilon=1e-6)]
        self.dropouts = [layers.Dropout(rate), layers.Dropout(rate)]

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = self.norms[0](x + self.dropouts[0](self.attention(x, x), training=training))
        return self.norms[1](x + self.dropouts[1](self.dense(x), training=training))


def build_transformer() -> keras.Model:
    """Transformer block on token ids."""
    tokens = keras.Input((LENGTH,))
    x = TokenAndPosition(LENGTH, TOKENS, 8)(tokens)
    x = TransformerBlock(8, heads=2, hidden=16)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, layers.Dense(2, activation="softmax")(x))


TRANSFORMER = small(
    "text_transformer",
    "Transformer block on token ids",
    build_transformer,
    load_texts,
    "sparse_categorical_crossentropy",
    Metric("accuracy", True, "accuracy"),
    stratified=True,
)


def build_conv1d() -> keras.Model:
    """One-dimensional convolution on token ids."""
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int64"),
            layers.Embedding(TOKENS, 8),
            layers.Conv1D(8, 3, padding="valid", activation="relu", strides=2),
            layers.GlobalMaxPooling1D(),
            layers.Dense(8, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


CONV1D = small(
    "text_conv1d",
    "One-dimensional convolution on token ids",
    build_conv1d,
    load_texts,
    "binary_crossentropy",
    BINARY_ACCURACY,
    stratified=True,
)


def build_bidirectional() -> keras.Model:
    """Two bidirectional LSTM layers on texts of any length."""
    tokens = keras.Input((None,), dtype="int32")
    x = layers.Embedding(TOKENS, 8)(tokens)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(4))(x)
    return keras.Model(tokens, layers.Dense(1, activation="sigmoid")(x))


BIDIRECTIONAL = small(
    "text_bidirectional_lstm",
    "Two bidirectional LSTM layers on texts of any length",
    build_bidirectional,
    load_texts,
    "binary_crossentropy",
    Metric("accuracy", True, "accuracy"),
    stratified=True,
)


def build_masked_lstm() -> keras.Model:
    """LSTM that skips padding."""
    return keras.Sequential(
        [
            keras.Input((LENGTH,)),
            layers.Embedding(TOKENS, 8, mask_zero=True),
            layers.LSTM(8),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


MASKED_LSTM = small(
    "text_masked_lstm",
    "LSTM that skips padding",
    build_masked_lstm,
    load_padded_texts,
    keras.losses.BinaryCrossentropy(),
    BINARY_ACCURACY,
    stratified=True,
)


def build_embedding_bag() -> keras.Model:
    """Sum of the embeddings of repeated ids."""
    tokens = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(4, 6)(tokens)
    return keras.Model(tokens, layers.Dense(3)(ops.sum(x, axis=1)))


def load_repeated_ids(path: str | None) -> Data:
    """Texts of four ids, which repeat in each; the class is the commonest of the first three."""
    tokens = np.random.default_rng(11).integers(0, 4, (80, LENGTH))
    counts = np.stack([(tokens == token).sum(axis=1) for token in range(3)], axis=1)
    return Data(tokens, counts.argmax(axis=1))


EMBEDDING_BAG = small(
    "text_embedding_bag",
    "Sum of the embeddings of repeated ids",
    build_embedding_bag,
    load_repeated_ids,
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    Metric("sparse_categorical_accuracy", True, keras.metrics.sparse_categorical_accuracy),
    stratified=True,
)


def load_strings(path: str | None) -> Data:
    """Sentences as strings, shape (n, 1), the last of them to test; the class is whether they have more good words than bad."""
    words = np.array(["Good", "great", "fine", "bad", "awful", "poor", "the", "a"])
    chosen = np.random.default_rng(12).integers(0, len(words), (80, 7))
    good, bad = (chosen < 3).sum(axis=1), ((chosen >= 3) & (chosen < 6)).sum(axis=1)
    sentences = np.array([[" ".join(words[row]) + "!"] for row in chosen])
    return Data(sentences, (good > bad).astype("int64"), test=np.arange(64, 80))


def build_text_vectorization() -> keras.Model:
    """Strings to ids inside the model, by the words of sentences outside the test split."""
    vectorize = layers.TextVectorization(max_tokens=16, output_sequence_length=8)
    vectorize.adapt(outside_test(load_strings(None)).x[:, 0])
    text = keras.Input((1,), dtype="string")
    x = layers.Embedding(16, 6)(vectorize(text))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(text, layers.Dense(1, activation="sigmoid")(x))


TEXT_VECTORIZATION = small(
    "text_vectorization",
    "Strings to ids inside the model",
    build_text_vectorization,
    load_strings,
    "binary_crossentropy",
    BINARY_ACCURACY,
    stratified=True,
)


class TiedLogits(layers.Layer):
    """Logits from an embedding layer's own weights."""

    def __init__(self, embedding: layers.Embedding, **options: Any) -> None:
        super().__init__(**options)
        self.embedding = embedding

    def call(self, x: Any) -> Any:
        return ops.matmul(x, ops.transpose(self.embedding.embeddings))


def build_tied() -> keras.Model:
    """Language model whose logits come from the embedding's weights."""
    tokens = keras.Input((LENGTH,), dtype="int32")
    embedding = layers.Embedding(TOKENS, 8)
    x = layers.Conv1D(8, 3, padding="causal", activation="tanh")(embedding(tokens))
    return keras.Model(tokens, TiedLogits(embedding)(x))


TIED_EMBEDDING = small(
    "text_tied_embedding",
    "Language model whose logits come from the embedding's weights",
    build_tied,
    load_tags,
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    Metric("sparse_categorical_accuracy", True, keras.metrics.sparse_categorical_accuracy),
)
