"""The lines of real models: transformers, recurrent nets, convolutions, against ``model.fit``; and how long they compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from benchmarks.engine import PEAK_GOAL, as_row, layer_operations, sgemm_rate
from benchmarks.engine_against_fit import Case, Timing, compare_with_fit
from benchmarks.rows import Row
from descentlab.problems.base import Data, Metric, Problem

BATCH, EXAMPLES = 32, 640
WORDS, TOKENS, CLASSES, WIDTH = 200, 64, 10, 64
COMPILE_GOAL = 8.0  # seconds
SPARSE_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Positions(layers.Layer):
    """Embeddings of tokens and of their places."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = layers.Embedding(WORDS, WIDTH), layers.Embedding(TOKENS, WIDTH)

    def call(self, tokens: Any) -> Any:
        """Shape (n, tokens, width)."""
        return self.tokens(tokens) + self.places(ops.arange(TOKENS))


def attend(x: Any, heads: int, causal: bool) -> Any:
    """A layer of a transformer, normalized before each part."""
    normal = layers.LayerNormalization()(x)
    attended = layers.MultiHeadAttention(heads, WIDTH // heads)(normal, normal, use_causal_mask=causal)
    x = layers.Add()([x, attended])
    hidden = layers.Dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
    return layers.Add()([x, layers.Dense(WIDTH)(hidden)])


def build_language_model() -> Any:
    """Two layers, width 64, 64 tokens; each predicts the next."""
    tokens = keras.Input((TOKENS,), dtype="int32")
    x = Positions()(tokens)
    for _ in range(2):
        x = attend(x, 4, causal=True)
    return keras.Model(tokens, layers.Dense(WORDS)(layers.LayerNormalization()(x)))


def build_vision_transformer() -> Any:
    """Sixty-four patches of 4 × 4 pixels, four layers of width 64."""
    images = keras.Input((32, 32, 3))
    x = layers.Reshape((64, WIDTH))(layers.Conv2D(WIDTH, 4, 4)(images))
    for _ in range(4):
        x = attend(x, 4, causal=False)
    return keras.Model(images, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))))


def build_recurrent(kind: Callable[[int], Any]) -> Any:
    """One recurrent layer of 64 units over 64 embedded tokens."""
    middle = [layers.Embedding(WORDS, WIDTH), kind(WIDTH), layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input((TOKENS,), dtype="int32"), *middle])


def build_text_convolution() -> Any:
    """Two convolutions over 64 embedded tokens."""
    convolutions = [layers.Conv1D(WIDTH, 5, activation="relu"), layers.Conv1D(WIDTH, 5, activation="relu")]
    end = [layers.GlobalMaxPooling1D(), layers.Dense(CLASSES)]
    return keras.Sequential(
        [keras.Input((TOKENS,), dtype="int32"), layers.Embedding(WORDS, WIDTH), *convolutions, *end]
    )


def build_resnet() -> Any:
    """ResNet-8 with BatchNormalization: three blocks of 16, 32 and 64 channels (He et al. 2016, section 4.2, n = 1)."""

    def normalized(x: Any, channels: int, size: int, strides: int) -> Any:
        x = layers.Conv2D(channels, size, strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    images = keras.Input((32, 32, 3))
    x = layers.ReLU()(normalized(images, 16, 3, 1))
    for channels, strides in ((16, 1), (32, 2), (64, 2)):
        y = normalized(layers.ReLU()(normalized(x, channels, 3, strides)), channels, 3, 1)
        x = x if strides == 1 else normalized(x, channels, 1, strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(images, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))


def load_tokens(path: str | None) -> Data:
    """Random tokens; the class is that of the first."""
    del path
    tokens = np.random.default_rng(0).integers(0, WORDS, (EXAMPLES, TOKENS)).astype(np.int32)
    return Data(tokens, tokens[:, 0] % CLASSES)


def load_next_tokens(path: str | None) -> Data:
    """The same tokens; the target of each is the one after it."""
    tokens = load_tokens(path).x
    return Data(tokens, np.roll(tokens, -1, axis=1))


def load_pixels(path: str | None) -> Data:
    """Random images of random classes."""
    del path
    generator = np.random.default_rng(0)
    images = generator.normal(size=(EXAMPLES, 32, 32, 3)).astype(np.float32)
    return Data(images, generator.integers(0, CLASSES, EXAMPLES).astype(np.int32))


def right(y: Any, y_pred: Any) -> Any:
    """Share of right answers, one value an example."""
    equal = ops.cast(ops.equal(ops.argmax(y_pred, -1), ops.cast(y, "int64")), "float32")
    return ops.mean(ops.reshape(equal, (ops.shape(equal)[0], -1)), axis=-1)


def model_cases() -> list[Case]:
    """A case for each line of the table, with its goal."""
    lines: list[tuple[str, Callable[[], Any], Callable[[str | None], Data], float]] = [
        ("transformer_lm", build_language_model, load_next_tokens, 2.5),
        ("vision_transformer", build_vision_transformer, load_pixels, 3.0),
        ("gru_64", lambda: build_recurrent(layers.GRU), load_tokens, 8.0),
        ("lstm_64", lambda: build_recurrent(layers.LSTM), load_tokens, 8.0),
        ("conv1d", build_text_convolution, load_tokens, 8.0),
        ("resnet_8", build_resnet, load_pixels, 3.0),
    ]
    metric = Metric("accuracy", True, right)
    return [
        Case(
            Problem(name, name, build, load, SPARSE_LOSS, metric, batch_size=BATCH, stratified=False),
            load(None),
            goal,
            fit_epochs=1,
            engine_epochs=1,
            tolerance=0.05,
        )
        for name, build, load, goal in lines
    ]


def language_model_operations() -> int:
    """Floating-point operations of the language model for one example, forward: products of matrices alone."""
    # Of two layers: four matrices of attention, eight as large of the dense part.
    weights = 2 * 12 * WIDTH**2 + WIDTH * WORDS
    return 2 * TOKENS * weights + 2 * 4 * TOKENS**2 * WIDTH  # and the products of queries, keys and values


OPERATIONS: dict[str, Callable[[], int]] = {
    "transformer_lm": language_model_operations,
    "resnet_8": lambda: sum(layer_operations(build_resnet())),
}


def share_of_peak(timing: Timing) -> Row:
    """Operations of training and validation a second, as a share of those of sgemm, timed after them."""
    name = timing.case.problem.name
    forward, peak = OPERATIONS[name](), sgemm_rate()
    trained = timing.updates_per_epoch * timing.case.problem.batch_size
    operations = forward * (3 * trained + timing.evaluated_examples)
    shares, by_fit = operations / timing.engine_seconds / peak, operations / np.median(timing.fit_seconds) / peak
    details = {"sgemm_gflops": peak / 1e9, "fit_share": float(by_fit)}
    return Row(
        f"{name}, operations a second, as a share of sgemm's",
        shares.tolist(),
        PEAK_GOAL,
        unit="of the peak",
        details=details,
    )


def compare_models(repeats: int) -> list[Row]:
    """Each model against ``model.fit``, its compilation against the most that it may take, and its share of the peak."""
    rows = []
    for case in model_cases():
        timing = compare_with_fit(case, repeats)
        name = f"{case.problem.name}, seconds to compile in mode {timing.mode}"
        rows += [
            as_row(timing),
            Row(name, [timing.engine_compile_seconds], COMPILE_GOAL, at_least=False, unit="s"),
        ]
        if case.problem.name in OPERATIONS:
            rows.append(share_of_peak(timing))
    return rows
