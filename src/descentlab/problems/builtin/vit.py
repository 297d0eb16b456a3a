"""A small vision transformer on MNIST: patches of 7×7 pixels as tokens.

It is in the suite because transformers are where Adam and SGD differ most (Zhang et al. 2020, "Why are adaptive methods good
for attention models?"), in language at least. Here the same architecture (Dosovitskiy et al. 2021) sees images, with ten
balanced classes and no rare tokens: what of the gap belongs to the architecture and not to language (Kunstner et al. 2024)?
"""

from __future__ import annotations

from typing import Any

import keras

from descentlab.i18n.message import message
from descentlab.problems.classification import mnist_problem

PATCH, TOKENS, WIDTH, HEADS, BLOCKS = 7, 16, 32, 4, 2


@keras.saving.register_keras_serializable("descentlab")  # so that a saved model can be read
class Positions(keras.layers.Layer):
    """Adds a learned vector for each place of a token."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """One vector for each of TOKENS."""
        self.positions = self.add_weight(shape=input_shape[1:], initializer="truncated_normal", name="positions")

    def call(self, tokens: Any) -> Any:
        """The same tokens, told apart by their places."""
        return tokens + self.positions


def build_model() -> keras.Model:
    """16 patches of 7×7 pixels as tokens of width 32, two transformer blocks, their mean, then 10 logits."""
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patches")(inputs)
    x = keras.layers.Reshape((TOKENS, WIDTH), name="tokens")(x)
    x = Positions(name="positions")(x)
    for number in range(1, BLOCKS + 1):
        x = transformer_block(x, number)
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x), name="vit")


def transformer_block(x: Any, number: int) -> Any:
    """Attention and a perceptron, each after LayerNormalization and added to its input (pre-norm)."""
    normal = keras.layers.LayerNormalization(name=f"attention_norm{number}")(x)
    attention = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention{number}")
    x = keras.layers.Add(name=f"attention_add{number}")([x, attention(normal, normal)])
    y = keras.layers.LayerNormalization(name=f"mlp_norm{number}")(x)
    y = keras.layers.Dense(2 * WIDTH, activation="gelu", name=f"mlp_in{number}")(y)
    y = keras.layers.Dense(WIDTH, name=f"mlp_out{number}")(y)
    return keras.layers.Add(name=f"mlp_add{number}")([x, y])


PROBLEM = mnist_problem(
    name="vit",
    title=message("Vision transformer (5,000 images of MNIST, 19,594 parameters)"),
    build_model=build_model,
    epochs=25,
    batch_size=64,
    count=message("patches 1,600 + positions 512 + 2 blocks × 8,544 + norm 64 + logits 330 = 19,594"),
)
