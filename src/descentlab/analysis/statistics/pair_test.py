"""How pairs of results are judged: by their mean, or by how many are won where a mean says nothing."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy import stats

from descentlab.analysis.statistics.intervals import LEVEL
from descentlab.analysis.statistics.paired import Estimate, estimate_difference
from descentlab.analysis.statistics.verdicts import Verdict, verdict


class Wins(NamedTuple):
    """The pairs that a side wins, and the others.

    Attributes:
        won: pairs that the first side wins by more than the margin.
        decided: pairs that either side wins so.
        level: pairs that differ by less.
    """

    won: int
    decided: int
    level: int = 0


def count_wins(
    differences: np.ndarray, margin: float, at_least: np.ndarray | bool = False, at_most: np.ndarray | bool = False
) -> Wins:
    """The pairs that the first side wins by more than the margin, that either side wins so, and that are level.

    A negligible difference is no win. A difference known only as a bound counts only if the bound decides it.

    Args:
        differences: shape (n,); inf where the second side has the worst possible result, −inf where the first has it.
        margin: smaller differences are negligible.
        at_least: where the true difference may be larger than the given one, shape (n,).
        at_most: where it may be smaller, shape (n,).

    Example:
        Two wins (one of them over a run that diverged), a loss, and a pair that differs by less than the margin:

        >>> count_wins(np.array([0.3, np.inf, -0.2, 0.01]), margin=0.1)
        Wins(won=2, decided=3, level=1)
    """
    d = np.asarray(differences, dtype=np.float64)
    larger, smaller = np.broadcast_to(at_least, d.shape), np.broadcast_to(at_most, d.shape)
    won, lost = (d > margin) & ~smaller, (d < -margin) & ~larger
    level = (np.abs(d) <= margin) & ~larger & ~smaller
    return Wins(int(won.sum()), int(won.sum() + lost.sum()), int(level.sum()))


@functools.cache
def sign_test_p(wins: Wins) -> float:
    """Two-sided p value of the sign test; 1 if no pair is decided.

    Example:
        >>> sign_test_p(Wins(6, 6))  # six wins of six: 2 / 2⁶
        0.03125
        >>> sign_test_p(Wins(3, 6))
        1.0
    """
    return float(stats.binomtest(wins.won, wins.decided).pvalue) if wins.decided else 1.0


@functools.cache
def judge_wins(wins: Wins, level: float) -> Verdict:
    """The verdict of the sign test, which needs no mean, so that a divergence can count as the worst possible result.

    Where no pair is decided, it is ``negligible`` if there are enough level ones to tell that most pairs are.

    Example:
        >>> print(judge_wins(Wins(6, 6), level=0.05))
        better
        >>> print(judge_wins(Wins(5, 6), level=0.05))
        inconclusive
        >>> print(judge_wins(Wins(0, 0, level=6), level=0.05), judge_wins(Wins(0, 0, level=5), level=0.05), sep=", ")
        negligible, inconclusive
    """
    if not wins.decided:
        return Verdict.NEGLIGIBLE if 2 * 0.5**wins.level <= level else Verdict.INCONCLUSIVE
    share = stats.binomtest(wins.won, wins.decided).proportion_ci(1 - level)
    if share.low > 0.5:
        return Verdict.BETTER
    return Verdict.WORSE if share.high < 0.5 else Verdict.INCONCLUSIVE


@dataclass(frozen=True)
class PairTest:
    """The test of a difference that is positive where the first of two sides is better.

    Attributes:
        estimate: of the mean of the finite differences.
        wins: of all pairs.
        margin: smaller differences are negligible.
        one_sided: whether in a pair just one side has the worst, or the best, possible result, which a mean would ignore.
        without_spread: whether all pairs differ by the same amount, as rounded metrics of few seeds can. That would promise
            certainty, so it is no spread to judge a mean by.
    """

    estimate: Estimate
    wins: Wins
    margin: float
    one_sided: bool
    without_spread: bool

    @classmethod
    def of(
        cls,
        differences: np.ndarray,
        margin: float,
        choice_noise: tuple[float, float],
        estimate: Estimate | None = None,
    ) -> Self:
        """The test of paired differences.

        Args:
            differences: shape (n,); ±inf where just one side has the worst or the best possible result.
            margin: in their unit.
            choice_noise: what tuning adds to the variance of their mean, and its degrees of freedom.
            estimate: of the finite ones, if it is not that over their number alone.
        """
        finite = differences[np.isfinite(differences)]
        plain = estimate_difference(finite) if estimate is None else estimate
        return cls(
            plain.with_choice(*choice_noise),
            count_wins(differences, margin),
            margin,
            one_sided=len(finite) < len(differences),
            without_spread=plain.variance == 0 and plain.mean != 0,
        )

    @property
    def by_wins(self) -> bool:
        """Whether the sign test judges."""
        return self.one_sided or self.without_spread

    @property
    def p(self) -> float:
        """The p value of the paired t test, or of the sign test."""
        return sign_test_p(self.wins) if self.by_wins else self.estimate.p

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The ends of the mean's interval of confidence ``1 − level``; NaN if there is none."""
        return (np.nan, np.nan) if self.without_spread else self.estimate.interval(level)

    def verdict(self, level: float) -> Verdict:
        """The verdict at ``level``."""
        if self.by_wins:
            return judge_wins(self.wins, level)
        return verdict(*self.interval(level), self.estimate.mean, self.estimate.n, self.margin)
