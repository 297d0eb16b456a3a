"""Schedule-free AdamW's rule in NumPy, in double precision; the others are in optimizer_references.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def schedule_free_adamw(
    w: np.ndarray,
    gradients: Sequence[np.ndarray],
    alphas: Sequence[float],
    beta1: float,
    beta2: float,
    eps: float,
    decay: float = 0.0,
    equal_weights: bool = False,
    keras_recovery: bool = False,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Defazio et al. 2024, algorithm 1 without warm-up. Returns y (what is trained) and x (what is evaluated).

    z −= γ_t (g/(√v̂ + ε) + λ y), x = (1−c) x + c z with c = γ_t²/Σγ², y = (1−β₁) z + β₁ x.
    ``equal_weights``: c = 1/t, as Keras has it whatever the rates; the same where the rate is constant.
    ``keras_recovery``: Keras keeps y and z and finds x from y with a z that, on TensorFlow, is already the new one; and
    its decay shrinks y before that, never z.
    """
    x = y = z = w
    v, weight_sum = np.zeros(w.shape), 0.0
    ys, xs = [], []
    for t, (alpha, g) in enumerate(zip(alphas, gradients, strict=True), 1):
        weight = 1.0 if equal_weights else alpha**2
        weight_sum += weight
        c = weight / weight_sum
        v = beta2 * v + (1 - beta2) * g**2
        step = alpha * g / (np.sqrt(v / (1 - beta2**t)) + eps)
        if keras_recovery:
            z = z - step
            x = ((1 - alpha * decay) * y - (1 - beta1) * z) / beta1
        else:
            z = z - step - alpha * decay * y
        x = (1 - c) * x + c * z
        y = (1 - beta1) * z + beta1 * x
        ys.append(y)
        xs.append(x)
    return ys, xs
