"""Paired random streams: one seed for each random choice, derived from what it belongs to.

Initial weights, split, data order and dropout never share a stream, so changing one of them leaves the others alone. None
depends on the optimizer, so two optimizers with the same seed get the same weights and the same batches
(docs/protocol.md, "Pairing").
"""

from __future__ import annotations

import hashlib

import numpy as np

STREAMS = ("test split", "split", "weights", "order", "dropout", "steps", "trial")


def stream_seed(problem: str, seed: int, stream: str) -> int:
    """A seed in [0, 2**31) from sha256 of (problem, seed, stream).

    Example:
        >>> stream_seed("mlp", 0, "weights") == stream_seed("mlp", 0, "weights")
        True
        >>> stream_seed("mlp", 0, "weights") == stream_seed("mlp", 0, "order")
        False
    """
    if stream not in STREAMS:
        raise ValueError(f"a random stream must be one of {', '.join(STREAMS)}; received '{stream}'")
    digest = hashlib.sha256("\0".join((problem, str(seed), stream)).encode()).digest()
    return int.from_bytes(digest[:4], "big") % 2**31


def stream_generator(problem: str, seed: int, stream: str) -> np.random.Generator:
    """NumPy's generator for (problem, seed, stream)."""
    return np.random.default_rng(stream_seed(problem, seed, stream))


def data_order(problem: str, seed: int, train: np.ndarray, batch_size: int, epochs: int) -> np.ndarray:
    """The examples that each update uses.

    Args:
        train: indices of the training examples, shape (n,), n a multiple of ``batch_size``.
        batch_size: examples per update, or 0 for the full set.
        epochs: passes over the training set.

    Returns:
        int32, shape (updates, batch_size): every epoch holds each training example exactly once. For the full
        batch one row, shape (1, n), in the split's own order, which makes no difference.

    Example:
        >>> order = data_order("mlp", seed=0, train=np.array([4, 5, 6, 7]), batch_size=2, epochs=3)
        >>> order.shape  # two updates per epoch
        (6, 2)
        >>> sorted(order[:2].ravel().tolist())
        [4, 5, 6, 7]
    """
    if batch_size == 0:
        return train.astype(np.int32)[None, :]
    generator = stream_generator(problem, seed, "order")
    return np.concatenate([generator.permutation(train).reshape(-1, batch_size) for _ in range(epochs)], dtype=np.int32)
