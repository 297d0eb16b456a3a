"""The updates after which a run is evaluated, and the learning rate of each update."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from descentlab.optimizers.error_line import one_line
from descentlab.optimizers.import_path import ImportPathError, import_object, suggestion

MOST_EPOCH_EVALUATIONS = 100
WARMUP = "warmup_"
WARMUP_SHARE = 0.05  # of the updates
STABLE_SHARE = 0.8
SMALLEST = 0.01  # of the initial rate, where a schedule ends above zero
STEP_DIVIDES_BY = 10

# Rate of update k of n as a share of the initial rate; k is an array.
SHAPES: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "constant": lambda k, n: np.ones(len(k)),
    "linear": lambda k, n: 1 - k / n,
    "cosine": lambda k, n: (1 + np.cos(np.pi * k / n)) / 2,
    "exponential": lambda k, n: SMALLEST ** (k / n),
    "step": lambda k, n: 1.0 / STEP_DIVIDES_BY ** ((2 * k >= n).astype(int) + (4 * k >= 3 * n)),
    "wsd": lambda k, n: np.minimum(1, (1 - k / n) / (1 - STABLE_SHARE)),
}
PLATEAU = "plateau"
PLATEAU_SHARE = 0.1  # of the epochs
PLATEAU_FACTOR, PLATEAU_LEAST_FALL = 0.1, 1e-4  # as in keras.callbacks.ReduceLROnPlateau
SCHEDULES = (*SHAPES, *(f"{WARMUP}{name}" for name in SHAPES), PLATEAU)
TUNED_SCHEDULES = ("constant", "linear", "cosine")  # what the extended arm chooses from


def check_schedule(schedule: str) -> str:
    """Return the name of a schedule, or an import path of one.

    Raises:
        ValueError: there is none of this name.
    """
    if schedule not in SCHEDULES and ":" not in schedule:
        raise ValueError(
            f"unknown schedule '{schedule}'{suggestion(schedule, SCHEDULES)} Valid: {', '.join(SCHEDULES)}, or an import path "
            "'package.module:function'"
        )
    return schedule


def learning_rates(initial: float | None, schedule: str, updates: int) -> np.ndarray:
    """Learning rate of each update, float32 of shape (updates,).

    By update k = 0, 1, … of n (docs/protocol.md, "Arms"):

    - ``constant``.
    - ``linear``: decays from ``initial`` to the zero that one update past the last would have.
    - ``cosine``: likewise in half a period (Loshchilov & Hutter 2017, without restarts).
    - ``exponential``: likewise to a hundredth, by the same factor at every update.
    - ``step``: divided by 10 after a half, and again after three quarters of the updates (He et al. 2016).
    - ``wsd``: constant, then linear to zero over the last fifth (Hu et al. 2024; Hägele et al. 2024).
    - ``warmup_`` before any of these: rises linearly to ``initial`` over the first twentieth of the updates (Goyal et al.
      2017); what follows takes the rest.
    - ``plateau``: constant, until a run divides it (:func:`plateau_of`).
    - ``package.module:function``: ``function(initial, updates)`` returns a ``LearningRateSchedule`` of Keras, or anything else
      that is called with the number of the update.

    For an optimizer without a learning rate (``initial`` is None) all values are NaN.

    Raises:
        ValueError: there is no such schedule, or the reader's gives a rate that is not a finite number of at least 0.

    Example:
        >>> learning_rates(1.0, "linear", updates=4).tolist()
        [1.0, 0.75, 0.5, 0.25]
        >>> learning_rates(1.0, "cosine", updates=4).tolist()
        [1.0, 0.854, 0.5, 0.146]
    """
    if initial is None:
        return np.full(updates, np.nan, dtype=np.float32)
    if ":" in check_schedule(schedule):
        return _own_rates(initial, schedule, updates)
    warmup = max(1, round(WARMUP_SHARE * updates)) if schedule.startswith(WARMUP) else 0
    shape = SHAPES["constant" if schedule == PLATEAU else schedule.removeprefix(WARMUP)]
    rising = np.arange(1, warmup + 1) / max(warmup, 1)
    rest = updates - warmup
    return (initial * np.concatenate([rising, shape(np.arange(rest), rest)])).astype(np.float32)


def _own_rates(initial: float, schedule: str, updates: int) -> np.ndarray:
    make_schedule = import_object(schedule, f"schedule '{schedule}'")
    try:
        rate_at = make_schedule(initial, updates)
        rates = np.array([float(rate_at(update)) for update in range(updates)], np.float32)
    except Exception as error:  # a reader's schedule may raise anything
        raise ImportPathError(f"schedule '{schedule}': it can't be called: {one_line(error)}") from error
    if not (np.isfinite(rates).all() and (rates >= 0).all()):
        wrong = int(np.argmin(np.isfinite(rates) & (rates >= 0)))
        raise ImportPathError(
            f"schedule '{schedule}': a learning rate must be finite and at least 0; received {rates[wrong]} at update {wrong}"
        )
    return rates


class StalledLoss:
    """Tells when a validation loss has stopped falling.

    Args:
        patience: epochs without a fall after which it has.
        least_fall: what counts as a fall is more than this.

    Example:
        >>> loss = StalledLoss(patience=2)
        >>> [loss.stalled(epoch, value) for epoch, value in enumerate([3.0, 2.0, 2.5, 2.0, 1.0])]
        [False, False, False, True, False]
    """

    def __init__(self, patience: float, least_fall: float = 0.0) -> None:
        self._patience, self._least_fall = patience, least_fall
        self._best, self._since = np.inf, 0.0

    def stalled(self, epoch: float, loss: float) -> bool:
        """Whether the patience is over after this epoch; it is then counted anew."""
        if loss < self._best - self._least_fall:
            self._best, self._since = loss, epoch
        if epoch - self._since < self._patience:
            return False
        self._since = epoch
        return True


def plateau_of(epochs: int) -> StalledLoss:
    """When the schedule ``plateau`` divides the rate: after a tenth of the budget without a fall of more than 0.0001."""
    return StalledLoss(max(1.0, PLATEAU_SHARE * epochs), PLATEAU_LEAST_FALL)


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
