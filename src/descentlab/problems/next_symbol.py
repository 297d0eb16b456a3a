"""What the problems that predict the next character or word share: their metric."""

from __future__ import annotations

from typing import Any

import keras


def mean_nats(y: Any, y_pred: Any) -> Any:
    """Cross-entropy of each example in nats, the mean over its positions, shape (n,); lower is better.

    Args:
        y: what follows at each position, integers of shape (n, length).
        y_pred: logits, shape (n, length, symbols).
    """
    return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True), axis=-1)
