"""The weights to evaluate, for optimizers whose trained weights are not their result."""

from __future__ import annotations

from typing import Any


def evaluation_weights(optimizer: Any, weights: list[Any]) -> list[Any] | None:
    """The weights to evaluate, or None where they are simply the trained ones.

    ScheduleFreeAdamW trains y and stores z; its result is the average x, with y = (1 - β1) z + β1 x (Defazio et al.
    2024, equation 1). Keras' ``fit`` would leave y in the model.
    """
    import keras

    if not isinstance(optimizer, keras.optimizers.ScheduleFreeAdamW):
        return None
    beta = optimizer.beta_1
    return [(y.value - (1 - beta) * z.value) / beta for y, z in zip(weights, optimizer._momentums, strict=True)]
