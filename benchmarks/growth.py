"""How a figure grows with the number of runs: its exponent, what it would be at a million, and where it is too much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

UNITS = {"bytes": ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")), "s": ((3_600, "h"), (120, "min"))}
MOST_SHOWN_RUNS = 1e8  # beyond, nobody asks


@dataclass(frozen=True)
class Growth:
    """A figure at three sizes or more, each several times the one before.

    Attributes:
        what: is measured.
        unit: ``s``, ``bytes``, ``GiB`` or none.
        sizes: how many runs, or jobs.
        values: the figure at each size.
        limit: the most that is bearable; infinite where there is no such thing.
        size_at_million: what a million runs are in the sizes' own unit.
        least_exponent: 1 of what every run takes its share of, however slowly it grew between the sizes.
    """

    what: str
    unit: str
    sizes: Sequence[float]
    values: Sequence[float]
    limit: float = math.inf
    size_at_million: float = 1e6
    least_exponent: float = 0.0

    @property
    def start(self) -> float:
        """What it is without any run: where the line through the two smallest sizes is at none."""
        (a, b), (at_a, at_b) = self.sizes[:2], self.values[:2]
        return min(max(at_a - (at_b - at_a) / (b - a) * a, 0.0), *self.values)

    @property
    def exponent(self) -> float:
        """The slope of its logarithm over that of the size, between the two largest, the start taken off."""
        below, above = (value - self.start for value in self.values[-2:])
        if below <= 0 or above <= 0:
            return 0.0
        return math.log(above / below) / math.log(self.sizes[-1] / self.sizes[-2])

    def at(self, size: float) -> float:
        """Extrapolated from the largest size."""
        return self.start + (self.values[-1] - self.start) * (size / self.sizes[-1]) ** self._exponent_beyond

    @property
    def _exponent_beyond(self) -> float:
        return max(self.exponent, self.least_exponent)

    @property
    def breaks_at(self) -> float:
        """The number of runs at which the limit is reached; infinite where it never is."""
        if self.values[-1] <= self.start or self._exponent_beyond <= 0 or math.isinf(self.limit):
            return math.inf
        times = ((self.limit - self.start) / (self.values[-1] - self.start)) ** (1 / self._exponent_beyond)
        return self.sizes[-1] * times * 1e6 / self.size_at_million

    def row(self) -> str:
        """A row of the page's table."""
        measured = ", ".join(shown(value, self.unit) for value in self.values)
        limit = "" if math.isinf(self.limit) else shown(self.limit, self.unit)
        reached = rounded(self.breaks_at) if self.breaks_at < MOST_SHOWN_RUNS else ""
        million = shown(self.at(self.size_at_million), self.unit)
        return f"| {self.what} | {measured} | {self.exponent:.2f} | {million} | {limit} | {reached} |"


def rounded(number: float) -> str:
    """Two digits of a number of runs."""
    return f"{float(f'{number:.2g}'):,.0f}"


def shown(value: float, unit: str) -> str:
    """Two or three digits, in a unit that suits them."""
    for size, name in UNITS.get(unit, ()):
        if value >= size:
            return f"{value / size:,.3g} {name}"
    return f"{value:,.0f}" if not unit else f"{value:.3g} {unit}"
