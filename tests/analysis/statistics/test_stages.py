"""The shares of a level that looks may spend."""

from __future__ import annotations

import math

import pytest

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
