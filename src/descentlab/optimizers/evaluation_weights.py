"""Which weights are evaluated, where they are not those that are trained."""

from __future__ import annotations

from typing import Any


def evaluation_weights(optimizer: Any, weights: list[Any]) -> list[Any] | None:
    """Weights to evaluate where they are not those that are trained, None otherwise.

    ScheduleFreeAdamW trains y and keeps z; its result is the average x, with y = (1 - β1) z + β1 x (Defazio et al.
    2024, equation 1). Keras' ``fit`` leaves y in the model.
    """
    import keras

    if not isinstance(optimizer, keras.optimizers.ScheduleFreeAdamW):
        return None
    beta = optimizer.beta_1
    return [(y.value - (1 - beta) * z.value) / beta for y, z in zip(weights, optimizer._momentums, strict=True)]
