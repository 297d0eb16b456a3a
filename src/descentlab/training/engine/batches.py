"""Batches gathered on the device from all examples."""

from __future__ import annotations

from typing import Any


def gather_examples(arrays: Any, index: Any) -> Any:
    """The examples at ``index``, which may have any shape."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda array: tf.gather(array, index), arrays)


def shapes_of(*structures: Any) -> tuple[Any, ...]:
    """The shapes of all tensors: the key of a compiled function."""
    import tensorflow as tf

    return tuple(tuple(tensor.shape) for tensor in tf.nest.flatten(structures))
