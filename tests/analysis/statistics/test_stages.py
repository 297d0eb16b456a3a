"""The shares of a level that looks may spend."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from descentlab.analysis.statistics.paired import estimate_difference, seeds_to_settle
from descentlab.analysis.statistics.stages import ONE_LOOK, Stage


@pytest.mark.parametrize("looks", [[10], [10, 20, 40, 80], [10, 20, 40, 50], [2, 3]])
def test_all_looks_together_spend_the_whole_level(looks: list[int]) -> None:
    stages = [Stage.at(looks, seeds) for seeds in looks]
    assert math.fsum(stage.share for stage in stages) == pytest.approx(1)
    assert all(stage.share > 0 for stage in stages)
    assert [stage.number for stage in stages] == list(range(1, len(looks) + 1))


def test_shares_are_those_of_the_seeds_that_a_look_adds() -> None:
    stage = Stage.at([10, 20, 40, 80])
    assert (stage.share, stage.later) == (1 / 8, ((20, 1 / 8), (40, 1 / 4), (80, 1 / 2)))
    assert stage.later_levels(0.04) == [(20, 0.005), (40, 0.01), (80, 0.02)]


def test_one_look_spends_everything() -> None:
    assert Stage.at([10]) == ONE_LOOK


EXPERIMENTS, MOST = 4000, 80
LOOKS = [10, 20, 40, MOST]


class Differences:
    """Paired differences of two equal optimizers in many experiments, of deviation 1, as they come in.

    Attributes:
        drawn: shape (experiments, MOST).
    """

    def __init__(self) -> None:
        self.drawn = np.random.default_rng(0).normal(size=(EXPERIMENTS, MOST))
        seeds = np.arange(1, MOST + 1)
        self._means = self.drawn.cumsum(axis=1) / seeds
        squares = (self.drawn**2).cumsum(axis=1) - seeds * self._means**2
        self._errors = np.sqrt(np.maximum(squares, 0) / np.maximum(seeds - 1, 1) / seeds)

    def at(self, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean over an experiment's first ``n`` seeds and its standard error, shape (experiments,)."""
        rows = np.arange(EXPERIMENTS)
        return self._means[rows, n - 1], self._errors[rows, n - 1]

    def found(self, n: int, level: float) -> np.ndarray:
        """Whether the t test on the first ``n`` seeds finds a difference, shape (experiments,)."""
        return np.asarray(np.abs(self._means[:, n - 1]) > stats.t.isf(level / 2, n - 1) * self._errors[:, n - 1])


@pytest.fixture(scope="module")
def differences() -> Differences:
    return Differences()


def quantile(n: np.ndarray) -> np.ndarray:
    return np.asarray(stats.t.isf(0.025, n - 1))


def follow_seeds_needed(differences: Differences, margin: float) -> np.ndarray:
    """Whether an experiment ends with a direction that adds the seeds still needed and judges each time as if it were the first.

    From 10 seeds up to MOST, at 5 % each time; shape (experiments,).
    """
    n, numbers = np.full(EXPERIMENTS, 10), np.arange(2, MOST + 1)
    halves = quantile(numbers) / np.sqrt(numbers)  # of intervals, in deviations: falling
    direction, going = np.zeros(EXPERIMENTS, bool), np.ones(EXPERIMENTS, bool)
    while going.any():
        mean, error = differences.at(n)
        half = quantile(n) * error
        negligible = np.abs(mean) + half < margin
        direction |= going & (np.abs(mean) > half) & ~negligible
        going &= ~direction & ~negligible & (n < MOST)
        wanted = np.maximum(np.abs(mean), margin - np.abs(mean)) / (error * np.sqrt(n))
        needed = numbers[np.minimum(np.searchsorted(-halves, -wanted, side="right"), len(numbers) - 1)]
        if (n == 10).all():  # as the page says it
            for row in np.flatnonzero(going)[:50]:
                settled = seeds_to_settle(estimate_difference(differences.drawn[row, :10]), margin)
                assert min(settled, MOST) == needed[row]
        n = np.where(going, needed, n)
    return direction


def test_adding_seeds_until_there_is_a_difference_finds_what_is_not_there(differences: Differences) -> None:
    """Following the seeds that would settle it: 13.7 %, where a seed deviates by two margins. One at a time up to 80: 33 %."""
    assert 0.12 <= follow_seeds_needed(differences, margin=0.5).mean() <= 0.16
    one_at_a_time = np.any([differences.found(n, 0.05) for n in range(4, MOST + 1)], axis=0)
    assert 0.30 <= one_at_a_time.mean() <= 0.36


def test_looks_that_share_a_level_keep_it_and_looks_that_each_spend_it_do_not(differences: Differences) -> None:
    """Whichever look a contrast stops at: here at the first that finds a difference. The bound is binomial, at 99.9 %."""
    bound = stats.binom.ppf(0.999, EXPERIMENTS, 0.05) / EXPERIMENTS
    shares = {seeds: Stage.at(LOOKS, seeds).share for seeds in LOOKS}
    assert np.any([differences.found(n, 0.05 * share) for n, share in shares.items()], axis=0).mean() <= bound
    assert np.any([differences.found(n, 0.05) for n in LOOKS], axis=0).mean() > 2 * bound
