"""Problems that only Keras' own step could train, and that it can't."""

from __future__ import annotations

from models.zoo.data import ABSOLUTE_ERROR, build_regressor, load_line, small

UNKNOWN_LOSS = small(
    "unknown_loss", "a loss that Keras doesn't know", build_regressor, load_line, "msee", ABSOLUTE_ERROR
)
