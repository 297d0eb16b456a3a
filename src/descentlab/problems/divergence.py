"""When a loss is so high that training has diverged (docs/protocol.md, "Run status")."""

from __future__ import annotations


def loss_bound(initial_loss: float, factor: float) -> float:
    """The highest loss at which a run that began with ``initial_loss`` has not diverged.

    The rise is measured in initial losses, so that the unit of the loss doesn't matter and a negative one has a bound too.

    Example:
        >>> loss_bound(2.5, 10.0), loss_bound(-2.0, 10.0)
        (25.0, 16.0)
    """
    return initial_loss + (factor - 1) * abs(initial_loss)
