"""The updates after which a run is evaluated, and the learning rate of each update."""

from __future__ import annotations

import numpy as np

MOST_EPOCH_EVALUATIONS = 100
SCHEDULES = ("constant", "linear", "cosine")


def learning_rates(initial: float | None, schedule: str, updates: int) -> np.ndarray:
    """Learning rate of each update, float32 of shape (updates,).

    ``constant``, or decaying from ``initial`` at the first update to the zero that one update past the last would have
    (docs/protocol.md, "Arms"): ``linear``, or ``cosine``, half a period (Loshchilov & Hutter 2017, without restarts).
    For an optimizer without a learning rate (``initial`` is None) all values are NaN.

    Example:
        >>> learning_rates(1.0, "linear", updates=4).tolist()
        [1.0, 0.75, 0.5, 0.25]
        >>> learning_rates(1.0, "cosine", updates=4).tolist()
        [1.0, 0.854, 0.5, 0.146]
    """
    if initial is None:
        return np.full(updates, np.nan, dtype=np.float32)
    if schedule == "constant":
        return np.full(updates, initial, dtype=np.float32)
    if schedule == "linear":
        return (initial * (1 - np.arange(updates) / updates)).astype(np.float32)
    if schedule == "cosine":
        return (initial * (1 + np.cos(np.pi * np.arange(updates) / updates)) / 2).astype(np.float32)
    raise ValueError(f"a schedule must be one of {', '.join(SCHEDULES)}; received '{schedule}'")


def evaluation_steps(updates_per_epoch: int, epochs: int) -> list[int]:
    """Updates after which a run is evaluated, ascending, from 0 to the budget.

    At doubling intervals in the first epoch, because adaptive methods gain most early (docs/protocol.md, "Budget"), then
    after each epoch; with more than 100 epochs, after 100 or fewer: half spaced evenly, half on a logarithmic scale.

    Example:
        >>> evaluation_steps(updates_per_epoch=10, epochs=3)
        [0, 1, 2, 4, 8, 10, 20, 30]
    """
    inside = [2**k for k in range(updates_per_epoch.bit_length()) if 2**k < updates_per_epoch]
    if epochs <= MOST_EPOCH_EVALUATIONS:
        ends = np.arange(1, epochs + 1)
    else:
        half = MOST_EPOCH_EVALUATIONS // 2
        ends = np.unique(np.rint(np.concatenate([np.geomspace(1, epochs, half), np.linspace(1, epochs, half)])))
    return [0, *inside, *(int(end) * updates_per_epoch for end in ends)]


def log_spaced_updates(budget: int, count: int) -> list[int]:
    """Updates after which to evaluate: 0, then up to ``count``, evenly on a logarithmic scale from 1 to ``budget``.

    Example:
        >>> log_spaced_updates(budget=100, count=5)
        [0, 1, 3, 10, 32, 100]
    """
    return [0, *np.unique(np.rint(np.geomspace(1, budget, count)).astype(int)).tolist()]
