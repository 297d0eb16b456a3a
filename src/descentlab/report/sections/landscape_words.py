"""Names of the known landscapes and of the optimizers on them, and heights above a minimum, as the reader sees them."""

from __future__ import annotations

import numpy as np

from descentlab.i18n.wording import message, words
from descentlab.measurements.landscape_functions import LANDSCAPES
from descentlab.optimizers.roles import MOMENTUM, PLAIN
from descentlab.report.blocks import number, optimizer_title

FLOOR = 1e-12  # lower heights are shown as this
TITLES = (  # of LANDSCAPES, registered for translation
    message("double well"),
    message("Styblinski–Tang"),
    message("Rastrigin"),
    message("Rosenbrock"),
    message("Beale"),
    message("quadratic"),
    message("rotated quadratic"),
)
DESCENTS = {PLAIN: message("plain descent"), MOMENTUM: message("momentum")}


def landscape_title(name: str) -> str:
    """A landscape's name in a sentence."""
    return words(LANDSCAPES[name].title)


def descent_title(name: str) -> str:
    """An optimizer's name where gradients are full, so that plain SGD is plain descent."""
    return words(DESCENTS[name]) if name in DESCENTS else optimizer_title(name)


def place_words(who: str, landscape: str, value: str) -> str:
    """``Adam on Rastrigin (0.4)``."""
    return words("{who} on {where} ({value})", who=who, where=landscape_title(landscape), value=value)


def height_text(height: float) -> str:
    """A height above the minimum; at or below FLOOR, only that it is at most that."""
    if not np.isfinite(height):
        return words("diverged")
    return words("at most {value}", value=f"{FLOOR:g}") if height <= FLOOR else number(height)
