"""Looking several times at the same contrast: what share of its level each look may spend (docs/statistics.md, "Looks").

Each look adds seeds to the ones before. Its share of the level is its share of the seeds, so that all looks together spend the
whole. That bounds the false alarms of any test, whatever decides when to stop: they are at most the sum of those of the looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Stage:
    """The look that judges a contrast.

    Attributes:
        number: of the look, from 1.
        share: of the level that it may spend.
        later: seeds and share of each look to come.
    """

    number: int
    share: float
    later: tuple[tuple[int, float], ...] = ()

    @classmethod
    def at(cls, looks: Sequence[int], seeds: int | None = None) -> Self:
        """The look at ``seeds``.

        Args:
            looks: the seeds of every look, ascending.
            seeds: those of this one; None for the first.

        Example:
            >>> Stage.at([10, 20, 40, 80], 40)
            Stage(number=3, share=0.25, later=((80, 0.5),))
        """
        index = 0 if seeds is None else looks.index(seeds)
        shares = [(b - a) / looks[-1] for a, b in zip([0, *looks], looks, strict=False)]
        return cls(index + 1, shares[index], tuple(zip(looks, shares, strict=True))[index + 1 :])

    def later_levels(self, level: float) -> list[tuple[int, float]]:
        """Seeds and level of each look to come, of a contrast that has ``level`` over all looks."""
        return [(seeds, level * share) for seeds, share in self.later]


ONE_LOOK = Stage(1, 1.0)
