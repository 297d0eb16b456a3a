"""A recurrent network that predicts the next character of source code.

Backpropagation through 64 steps: gradients that vanish or now and then are large are why recurrent networks were trained with
clipped or adaptive steps (Pascanu et al. 2013, "On the Difficulty of Training Recurrent Neural Networks"), and character models
are among the standard problems on which optimizers are compared (Schneider et al. 2019, "DeepOBS").
"""

from __future__ import annotations

import math
from typing import Any

import keras

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.classification import CROSS_ENTROPY
from descentlab.problems.datasets.source_text import (
    CHARACTERS,
    SOURCE,
    LanguageSizes,
    character_ids,
    next_symbols,
    split_files,
)
from descentlab.problems.next_symbol import mean_nats

LENGTH = 64
WIDTH, UNITS = 16, 64
SIZES = LanguageSizes(rest=1920, test=480, most=16)


def build_model() -> keras.Model:
    """An embedding of 97 characters, 64 gated recurrent units, and 97 logits at every position."""
    layers = [
        keras.Input((LENGTH,), dtype="int32"),
        keras.layers.Embedding(CHARACTERS, WIDTH, name="characters"),
        keras.layers.GRU(UNITS, return_sequences=True, name="gru"),
        keras.layers.Dense(CHARACTERS, name="logits"),
    ]
    return keras.Sequential(layers, name="char_gru")


def load_data(path: str | None) -> Data:
    """2,400 blocks of 64 characters with the character that follows each: 1,920 outside the test split and 480 in it.

    At most sixteen blocks are of one file.

    Args:
        path: ignored; the text comes with Keras.
    """
    del path
    rest, test = split_files()
    return next_symbols(
        (character_ids(file.text) for file in rest), (character_ids(file.text) for file in test), LENGTH, SIZES
    )


def bits_per_character(y: Any, y_pred: Any) -> Any:
    """Cross-entropy of each example in bits, the mean over its characters, shape (n,); lower is better."""
    return mean_nats(y, y_pred) / math.log(2)


PROBLEM = Problem(
    name="char_gru",
    title=message("Gated recurrent units, next character of source code (23,601 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=CROSS_ENTROPY,
    metric=Metric(message("bits per character"), False, bits_per_character),
    epochs=10,
    batch_size=32,
    margin=0.03,
    margin_reason=message(
        "2 % of the perplexity of a character; the 480 test blocks leave the difference of two tuned optimizers a standard error "
        "of about 0.01"
    ),
    stratified=False,
    count="characters 1,552 + gru 15,744 + logits 6,305 = 23,601",
    source=SOURCE,
)
