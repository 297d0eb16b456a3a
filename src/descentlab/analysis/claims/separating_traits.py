"""Where a claim is mixed: which traits of a problem tell the problems of one side from the rest, and how often chance does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from descentlab.analysis.claims.judgment import ClaimVerdict
from descentlab.experiment.traits import TRAITS

SETTLED = (ClaimVerdict.SUPPORTED, ClaimVerdict.CONTRADICTED, ClaimVerdict.NEGLIGIBLE)


@dataclass(frozen=True)
class Separation:
    """Traits that separate the problems of one verdict from those that settled otherwise.

    Attributes:
        traits: those whose values on one side all lie above those on the other.
        verdict: of the first side.
        n: problems of the first side.
        n_rest: problems of the other.
        n_traits: traits that are known of all these problems and not the same for all.
        chance: that at least one of so many traits separates them if none has to do with the claim, were all independent.
    """

    traits: tuple[str, ...]
    verdict: str
    n: int
    n_rest: int
    n_traits: int
    chance: float


def chance_to_separate(n: int, n_rest: int, traits: int) -> float:
    """That any of ``traits`` independent values without ties has its n values of one side all above or all below the others.

    Example:
        Of four problems, two a side, one of 4! / (2! 2!) = 6 orders of sides does it upward and one downward:

        >>> chance_to_separate(n=2, n_rest=2, traits=1)
        0.333
    """
    once = min(1.0, 2 / math.comb(n + n_rest, n))
    return 1 - (1 - once) ** traits


def separate_sides(pieces: Sequence[Mapping[str, Any]], traits: pd.DataFrame) -> Separation | None:
    """What separates the sides of a mixed claim; None where it isn't mixed over problems, or no trait is known.

    The first side is the rarer verdict's of the directions that occur, as the question is what is special there. A problem whose
    pieces settle on different sides is on both, so no trait can separate them.

    Args:
        pieces: of the claim's entry in ``claims.json``.
        traits: of :mod:`~descentlab.measurements.traits`; may be empty.
    """
    sides: dict[str, set[str]] = {}
    for piece in pieces:
        if piece["verdict"] in SETTLED and "problem" in piece["place"]:
            sides.setdefault(str(piece["verdict"]), set()).add(piece["place"]["problem"])
    if len(sides) < 2 or traits.empty:
        return None
    verdict = min((side for side in SETTLED if side in sides), key=lambda side: len(sides[side]))
    first, rest = sides[verdict], set().union(*(sides[side] for side in sides if side != verdict))
    known = traits.set_index("problem").reindex(sorted(first | rest))
    varied = [trait for trait in TRAITS if known[trait].notna().all() and known[trait].nunique() > 1]
    if not varied:
        return None
    found = []
    for trait in varied:
        here, there = known.loc[sorted(first), trait], known.loc[sorted(rest), trait]
        if here.min() > there.max() or here.max() < there.min():
            found.append(trait)
    chance = chance_to_separate(len(first), len(rest), len(varied))
    return Separation(tuple(found), str(verdict), len(first), len(rest), len(varied), chance)
