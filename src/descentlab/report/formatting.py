"""Numbers, intervals and names of optimizers as a reader sees them, everywhere the same."""

from __future__ import annotations

import numpy as np

from descentlab.i18n.wording import message, words
from descentlab.optimizers.roles import ADAGRAD_FROM_ZERO, ADAM, MOMENTUM, PLAIN

DISPLAY = {
    PLAIN: message("plain SGD"),
    MOMENTUM: message("SGD with momentum"),
    ADAM: "Adam",
    ADAGRAD_FROM_ZERO: message("adagrad (accumulator 0)"),
}
BOUND_SIGNS = {"": "", "at least": "≥ ", "at most": "≤ ", "unknown": message("censored on both sides: ")}


def optimizer_title(name: str) -> str:
    """An optimizer's name in a sentence."""
    return words(DISPLAY[name]) if name in DISPLAY else name


def optimizer_label(name: str) -> str:
    """An optimizer's name beside its row or line: the code that a config has, except for the one that no config has."""
    return optimizer_title(name) if name == ADAGRAD_FROM_ZERO else name


def with_direction(metric: str, higher_is_better: bool) -> str:
    """A metric's name with the direction that is better.

    Example:
        >>> with_direction("accuracy", higher_is_better=True)
        'accuracy (higher is better)'
    """
    if higher_is_better:
        return words("{metric} (higher is better)", metric=metric)
    return words("{metric} (lower is better)", metric=metric)


def number(value: float, signed: bool = False) -> str:
    """Three significant digits; ``signed`` puts a + before what is positive.

    Example:
        >>> number(0.0123456), number(12345.6), number(-0.5, signed=True)
        ('0.0123', '12,346', '−0.5')
    """
    if np.isnan(value):
        return words("unknown")
    if np.isinf(value):
        return words("never") if value > 0 else "−inf"
    text = f"{value:+.3g}" if signed else f"{value:.3g}"
    if "e" in text and 1e3 <= abs(value) < 1e7:
        text = f"{value:+,.0f}" if signed else f"{value:,.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def interval(mean: float, low: float, high: float, n: int, signed: bool = False) -> str:
    """``0.012 [0.003, 0.021], n = 10``; without an interval it says so.

    Example:
        >>> interval(0.012, 0.003, 0.021, n=10)
        '0.012 [0.003, 0.021], n = 10'
    """
    ends = f"[{number(low, signed)}, {number(high, signed)}]" if not np.isnan(low) else words("(no interval)")
    return f"{number(mean, signed)} {ends}, n = {n}"
