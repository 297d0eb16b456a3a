"""The noisy quadratic model of Zhang et al. 2019 ("Which Algorithmic Choices Matter at Which Batch Sizes?"), solved exactly.

The risk is ½ Σ h x² with curvatures h = 1/i, and a gradient of B examples has independent noise of variance h/B in each
dimension. SGD keeps the dimensions apart, and the second moments of a dimension's weight and velocity follow a linear
recurrence, so the expected risk after any number of updates needs no sampling. Keras' SGD is meant, whose velocity holds the
learning rate: v ← m v − η g, x ← x + v. Every x is 1 and every v 0 at the start.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq, minimize_scalar

MOST_DOUBLINGS = 40
PRECISION = 0.002  # of the best rate, relative


def curvatures(dimensions: int) -> np.ndarray:
    """1, 1/2, 1/3, …, shape (dimensions,)."""
    return 1 / np.arange(1, dimensions + 1)


def moment_step(rate: float, momentum: float, batch_size: int, curvature: np.ndarray) -> np.ndarray:
    """What an update does to (E x², E x v, E v², 1) in each dimension, a matrix of shape (dimensions, 4, 4)."""
    own, pull = (
        1 - rate * curvature,
        -rate * curvature,
    )  # x becomes own x + m v + noise, and v becomes pull x + m v + noise
    step = np.zeros((len(curvature), 4, 4))
    for row, (first, second) in enumerate(((own, own), (own, pull), (pull, pull))):
        step[:, row, 0] = first * second
        step[:, row, 1] = momentum * (first + second)
        step[:, row, 2] = momentum**2
        step[:, row, 3] = rate**2 * curvature / batch_size
    step[:, 3, 3] = 1
    return step


def risk(moments: np.ndarray, curvature: np.ndarray) -> float:
    """½ Σ h E x²; the second moments have shape (dimensions, 4)."""
    return float(curvature @ moments[:, 0] / 2)


def start(curvature: np.ndarray) -> np.ndarray:
    """The second moments before the first update."""
    return np.tile([1.0, 0.0, 0.0, 1.0], (len(curvature), 1))


def risks(rate: float, momentum: float, batch_size: int, curvature: np.ndarray, updates: int) -> np.ndarray:
    """The expected risk before the first update and after each, shape (updates + 1,)."""
    step, moments = moment_step(rate, momentum, batch_size, curvature), start(curvature)
    path = [risk(moments, curvature)]
    for _ in range(updates):
        moments = apply(step, moments)
        path.append(risk(moments, curvature))
    return np.array(path)


def apply(step: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """The second moments after an update, or after as many as ``step`` is a power of."""
    return np.einsum("dij,dj->di", step, moments)


def stationary_risk(rate: float, momentum: float, batch_size: int, curvature: np.ndarray) -> float:
    """The risk that is left after infinitely many updates: infinite from the rate 2 (1 + m) / h on, where SGD diverges."""
    room = 2 * (1 + momentum) - rate * curvature
    if room.min() <= 0:
        return math.inf
    return float(curvature @ (rate * (1 + momentum) / (2 * batch_size * (1 - momentum) * room)))


def updates_to(target: float, rate: float, momentum: float, batch_size: int, curvature: np.ndarray) -> int:
    """Updates until the expected risk, which falls, is at most ``target``, itself above the stationary risk."""
    if momentum == 0:
        return plain_updates_to(target, rate, batch_size, curvature)
    # The powers of the step are squares of one another; the count is the sum of those that leave the risk above the target.
    moments = start(curvature)
    powers = [moment_step(rate, momentum, batch_size, curvature)]
    while risk(apply(powers[-1], moments), curvature) > target:
        assert len(powers) < MOST_DOUBLINGS
        powers.append(powers[-1] @ powers[-1])
    count = 0
    for exponent in reversed(range(len(powers) - 1)):
        moved = apply(powers[exponent], moments)
        if risk(moved, curvature) > target:
            moments, count = moved, count + 2**exponent
    return count + 1


def plain_updates_to(target: float, rate: float, batch_size: int, curvature: np.ndarray) -> int:
    """The same without momentum, where E x² is a geometric sequence plus its limit."""
    shrink = (1 - rate * curvature) ** 2
    limit = rate / (batch_size * (2 - rate * curvature))

    def above(updates: int) -> bool:
        return float(curvature @ (limit + (1 - limit) * shrink**updates) / 2) > target

    high = next(2**doublings for doublings in range(MOST_DOUBLINGS) if not above(2**doublings))
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return high


def best_rate(target: float, momentum: float, batch_size: int, curvature: np.ndarray) -> tuple[float, int]:
    """The constant rate with the fewest updates to the target, and how many: at the rate's precision."""
    stationary: Callable[[float], float] = functools.partial(
        stationary_risk, momentum=momentum, batch_size=batch_size, curvature=curvature
    )
    limit = 2 * (1 + momentum) / float(curvature.max()) * (1 - 1e-9)
    highest = limit
    if stationary(limit) >= target:
        highest = float(brentq(lambda rate: stationary(rate) - target, 0, limit)) * (1 - 1e-6)
    found = minimize_scalar(
        lambda logarithm: updates_to(target, math.exp(logarithm), momentum, batch_size, curvature),
        bounds=(math.log(highest / 30), math.log(highest)),
        method="bounded",
        options={"xatol": PRECISION},
    )
    return math.exp(found.x), int(found.fun)
