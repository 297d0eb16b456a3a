"""A problem's loss, one value per example.

Training needs none of this: there the loss is ``model.compute_loss``, Keras' own. An evaluation in the compiled loop has the
loss of every example, and their mean is what ``model.evaluate`` gives wherever the loss is a mean over examples
(:mod:`descentlab.training.engine.by_example` says where it is).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def resolve_loss(loss: Any) -> Any:
    """The ``keras.losses.Loss`` that ``compile`` makes of a string, a class, a function or an object."""
    import keras

    by_shapes = isinstance(loss, str) and loss.lower() in ("crossentropy", "ce")
    resolved = None if by_shapes else keras.losses.get(loss)
    if isinstance(resolved, keras.losses.Loss):
        return resolved

    class FunctionLoss(keras.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            function = resolved or getattr(keras.losses, f"{kind_of_targets(y_true, y_pred)}_crossentropy")
            return function(*match_ranks(y_true, y_pred))

    return FunctionLoss(name="loss")  # a lambda's own name would be no valid one


def kind_of_targets(y: Any, y_pred: Any) -> str:
    """What Keras takes the targets of a classifier for, by the shapes alone: the rule behind ``accuracy`` and ``crossentropy``.

    Returns:
        ``binary``, ``sparse_categorical`` or ``categorical``, as its metrics and losses begin.

    Example:
        >>> import numpy as np
        >>> [kind_of_targets(np.zeros(y), np.zeros((8, 3))) for y in (8, (8, 1), (8, 3))]
        ['sparse_categorical', 'sparse_categorical', 'categorical']
    """
    if y_pred.shape[-1] == 1:
        return "binary"
    sparse = len(y.shape) < len(y_pred.shape) or y.shape[-1] == 1
    return "sparse_categorical" if sparse else "categorical"


def match_ranks(y: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets and predictions of one rank, as ``compile`` passes them to a function: (n,) beside (n, 1) becomes (n, 1)."""
    import keras

    def fit_to(shorter: Any, longer: Any) -> tuple[Any, Any]:
        if len(longer.shape) != len(shorter.shape) + 1 or longer.shape[-1] != 1:
            return shorter, longer
        if len(shorter.shape) == 1:
            return keras.ops.expand_dims(shorter, -1), longer
        return shorter, keras.ops.squeeze(longer, -1)

    y, y_pred = fit_to(y, y_pred)
    y_pred, y = fit_to(y_pred, y)
    return y, y_pred


def example_loss(loss: Any) -> Callable[..., Any]:
    """``(y, y_pred, sample_weight or None) -> losses`` of shape (n, …), which are neither summed nor averaged."""
    resolved = resolve_loss(loss)
    # A copy from its config would lack what a reader's loss doesn't list there.
    each = object.__new__(type(resolved))
    each.__dict__.update(vars(resolved))
    each.reduction = "none"
    return each
