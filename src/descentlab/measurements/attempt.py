"""What can't be measured of a reader's model or optimizer is left out, and one line says what and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from descentlab.optimizers.error_line import one_line

Result = TypeVar("Result")
Say = Callable[[str], None]  # writes one line to the log


class NotMeasurableError(ValueError):
    """Something can't be measured in principle; the message says why."""


def attempt(what: str, measure: Callable[[], Result], say: Say) -> Result | None:
    """What ``measure`` returns; None if it raises, and then one line says so.

    Args:
        what: is not measured if it raises, e.g. ``gan: operations not counted``.
        measure: runs code of a reader's.
        say: writes the line.

    Example:
        >>> attempt("soap on mlp: not timed", lambda: 1 / 0, print)
        soap on mlp: not timed: ZeroDivisionError: division by zero
    """
    try:
        return measure()
    except NotMeasurableError as error:
        say(f"{what}: {error}")
    except Exception as error:  # a reader's model or optimizer may raise anything
        say(f"{what}: {one_line(error)}")
    return None
