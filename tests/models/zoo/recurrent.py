"""Recurrent models of sequences."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from descentlab.problems.base import Data, Metric
from models.zoo.data import ABSOLUTE_ERROR, SPARSE_ACCURACY, TOKENS, load_waves, padded_tokens, small

CHARACTERS = 8


def load_characters(path: str | None) -> Data:
    """Padded texts that count up from a random character, with the next character as each one's target."""
    random = np.random.default_rng(21)
    steps = np.arange(13)[None]
    text = (random.integers(0, CHARACTERS - 1, (80, 1)) + steps * random.integers(1, 3, (80, 1))) % (CHARACTERS - 1) + 1
    text[steps >= random.integers(5, 14, (80, 1))] = 0
    return Data(text[:, :-1], text[:, 1:])


def build_characters() -> keras.Model:
    """GRU that predicts each next character and skips padding."""
    characters = keras.Input((None,), dtype="int64")
    x = layers.Embedding(CHARACTERS, 6, mask_zero=True)(characters)
    x = layers.GRU(8, return_sequences=True)(x)
    return keras.Model(characters, layers.Dense(CHARACTERS)(x))


MASKED_GRU = small(
    "masked_gru_characters",
    "GRU that predicts each next character and skips padding",
    build_characters,
    load_characters,
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    Metric("accuracy", True, "accuracy"),
)


def build_gru() -> keras.Model:
    """GRU on waves."""
    return keras.Sequential([keras.Input((16, 1)), layers.GRU(8), layers.Dense(3, activation="softmax")])


PLAIN_GRU = small(
    "plain_gru",
    "GRU on waves",
    build_gru,
    load_waves,
    "sparse_categorical_crossentropy",
    SPARSE_ACCURACY,
    stratified=True,
)


def load_forecast(path: str | None) -> Data:
    """Sixteen steps of a noisy wave, and the next."""
    random = np.random.default_rng(22)
    waves = np.sin(0.5 * np.arange(17) + random.uniform(0, 6, (80, 1))) + 0.05 * random.normal(size=(80, 17))
    return Data(waves[:, :16, None].astype("float32"), waves[:, 16:].astype("float32"))


def build_lstm() -> keras.Model:
    """LSTM that forecasts."""
    return keras.Sequential([keras.Input((16, 1)), layers.LSTM(8), layers.Dense(1)])


PLAIN_LSTM = small("plain_lstm", "LSTM that forecasts", build_lstm, load_forecast, keras.losses.Huber(), ABSOLUTE_ERROR)


def load_reversed(path: str | None) -> Data:
    """Sources, targets that begin with token 1, and the targets to predict: the source's first tokens, backward."""
    sources = padded_tokens(seed=23, length=8, shortest=5)
    targets = sources[:, 3::-1]
    begun = np.concatenate([np.ones((len(targets), 1), targets.dtype), targets[:, :-1]], axis=1)
    return Data((sources, begun), targets)


def build_sequence_to_sequence() -> keras.Model:
    """LSTM encoder whose states begin the decoder."""
    source, target = keras.Input((None,), name="source"), keras.Input((None,), name="target")
    x = layers.Embedding(TOKENS, 8)(source)
    _, hidden, cell = layers.LSTM(8, return_state=True)(x)
    y = layers.Embedding(TOKENS, 8)(target)
    y, _, _ = layers.LSTM(8, return_sequences=True, return_state=True)(y, initial_state=[hidden, cell])
    return keras.Model([source, target], layers.Dense(TOKENS, activation="softmax")(y))


SEQUENCE_TO_SEQUENCE = small(
    "sequence_to_sequence",
    "LSTM encoder whose states begin the decoder",
    build_sequence_to_sequence,
    load_reversed,
    "sparse_categorical_crossentropy",
    Metric("accuracy", True, "accuracy"),
)


def load_clips(path: str | None) -> Data:
    """Clips of five 8×8 frames with a dot that moves right or left."""
    random = np.random.default_rng(24)
    right, rows = np.arange(64) % 2, random.integers(0, 8, 64)
    clips = 0.1 * random.normal(size=(64, 5, 8, 8, 1))
    for step in range(5):
        clips[np.arange(64), step, rows, np.where(right, 1 + step, 6 - step)] += 1
    return Data(clips.astype("float32"), right)


def build_conv_lstm() -> keras.Model:
    """Convolutional LSTM on clips."""
    return keras.Sequential(
        [
            keras.Input((5, 8, 8, 1)),
            layers.ConvLSTM2D(4, 3, padding="same"),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


CONV_LSTM = small(
    "conv_lstm",
    "Convolutional LSTM on clips",
    build_conv_lstm,
    load_clips,
    "binary_crossentropy",
    Metric("binary_accuracy", True, keras.metrics.binary_accuracy),
    stratified=True,
)
