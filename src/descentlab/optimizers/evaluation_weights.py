"""The weights to evaluate, for optimizers whose trained weights are not their result."""

from __future__ import annotations

from typing import Any


def evaluation_weights(optimizer: Any, weights: list[Any]) -> list[Any] | None:
    """The weights to evaluate, or None where they are simply the trained ones.

    ScheduleFreeAdamW trains y and stores z; its result is the average x, with y = (1 - β1) z + β1 x (Defazio et al.
    2024, equation 1). Keras' ``fit`` would leave y in the model. With ``use_ema`` the result is the moving average, and other
    optimizers have averages of their own: ``fit`` puts them into the model at its end (``finalize_variable_values``).
    """
    import keras

    if isinstance(optimizer, keras.optimizers.ScheduleFreeAdamW):
        beta = optimizer.beta_1
        return [(y.value - (1 - beta) * z.value) / beta for y, z in zip(weights, optimizer._momentums, strict=True)]
    own_result = type(optimizer).finalize_variable_values is not keras.optimizers.Optimizer.finalize_variable_values
    if not own_result and not getattr(optimizer, "use_ema", False):
        return None
    trained = [keras.ops.copy(weight) for weight in weights]
    optimizer.finalize_variable_values(weights)
    averages = [keras.ops.copy(weight) for weight in weights]
    for weight, value in zip(weights, trained, strict=True):
        weight.assign(value)
    begun = optimizer.iterations > 0  # before the first update there is no average
    return [keras.ops.where(begun, average, value) for average, value in zip(averages, trained, strict=True)]
