"""What an open question lacks: only what tuning leaves of an interval is a reason for more tuning seeds."""

from __future__ import annotations

import math

import pytest

from descentlab.analysis.settling import lacks_tuning_seeds


@pytest.mark.parametrize(
    ("mean", "floor", "example_share", "choice_share", "lacking"),
    [
        (0.5, 0.6, 0.0, 0.9, True),  # the margin is 1: an interval narrower than 0.5 on each side is enough
        (-0.5, 0.6, 0.0, 0.9, True),
        (0.5, 0.4, 0.0, 0.9, False),  # enough final seeds settle it
        (0.5, 0.6, 0.9, 0.0, False),  # there is no noise of tuning
        (0.5, 0.6, 0.8, 0.1, False),  # the test examples alone leave 0.57
        (0.5, 0.6, 0.1, 0.8, True),  # they leave 0.2
        (2.0, 1.5, 0.0, 0.9, False),  # far from 0, it may be wider
        (2.0, 2.5, 0.0, 0.9, True),
        (0.5, math.nan, math.nan, math.nan, False),  # no interval
    ],
)
def test_tuning_seeds_are_lacking_where_they_alone_keep_the_interval_too_wide(
    mean: float, floor: float, example_share: float, choice_share: float, lacking: bool
) -> None:
    assert lacks_tuning_seeds(mean, 1.0, floor, example_share, choice_share) == lacking
