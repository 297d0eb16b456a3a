"""A few updates by Keras on fixed weights and gradients, and how far they end from what a formula says.

Keras computes in single precision, the references in double. 1 − β₂ᵗ is near 1e-3 at the first updates, so its rounding
(6e-8) is a relative error of 6e-5 in a step: TOLERANCE, a share of the largest displacement, is twice that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

TOLERANCE = 1.2e-4

MATRIX = np.array([[0.5, -1.2, 0.3], [2.0, 0.1, -0.7]])
VECTOR = np.array([0.4, -0.9, 1.5])
MATRIX_GRADIENTS = [
    np.array([[0.1, -0.6, 1.3], [0.02, 0.8, -2.0]]),
    np.array([[-0.4, -0.5, 0.7], [0.03, 0.9, 1.1]]),
    np.array([[0.2, 0.3, -0.1], [-0.6, 0.05, 0.4]]),
]
VECTOR_GRADIENTS = [np.array([0.3, -0.2, 1.1]), np.array([0.1, 0.5, -0.7]), np.array([-0.4, 0.2, 0.6])]
BOTH = [(MATRIX, MATRIX_GRADIENTS), (VECTOR, VECTOR_GRADIENTS)]


def trained(optimizer: Any, start: np.ndarray, gradients: Sequence[np.ndarray]) -> tuple[list[np.ndarray], Any]:
    """Weights after each update by Keras, and the variable."""
    import keras

    variable = keras.Variable(start.astype(np.float32), name="weights")
    optimizer.build([variable])
    path = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))], [variable])
        path.append(np.asarray(variable).copy())
    return path, variable


def slot(optimizer: Any, name: str) -> Any:
    """The one variable of this name that a built optimizer keeps for its one weight."""
    (found,) = [variable for variable in optimizer.variables if variable.path.endswith(f"_{name}")]
    return found


def distance(optimizer: Any, expected: list[np.ndarray], start: np.ndarray, gradients: Sequence[np.ndarray]) -> float:
    """Largest difference between Keras' weights and the expected ones, as a share of the largest displacement.

    What storing the weights in single precision rounds at each update is not counted.
    """
    path, _ = trained(optimizer, start, gradients)
    rounding = len(gradients) * np.spacing(np.max(np.abs(path)))
    moved = np.max(np.abs(np.subtract(expected, start)))
    assert moved > 30 * rounding
    return float(np.maximum(np.abs(np.subtract(path, expected)) - rounding, 0).max() / moved)


def amsgrad_rates(alpha: float, updates: int) -> list[float]:
    """Keras keeps Adam's bias correction; the paper has none, but a rate for each update."""
    return [alpha * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) for t in range(1, updates + 1)]
