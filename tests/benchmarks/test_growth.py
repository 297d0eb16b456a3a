"""A figure's growth is found again where it is known."""

from __future__ import annotations

import math

import pytest

from benchmarks.growth import Growth, rounded, shown

SIZES = (100, 1_000, 10_000)


def grown(exponent: float, **about: float) -> Growth:
    return Growth("seconds", "s", SIZES, [3 * size**exponent for size in SIZES], **about)


def test_what_a_start_and_a_share_of_each_run_take() -> None:
    line = Growth("memory", "GiB", SIZES, [0.2 + 4e-5 * size for size in SIZES], limit=16)
    assert line.start == pytest.approx(0.2)
    assert line.exponent == pytest.approx(1)
    assert line.at(1e6) == pytest.approx(40.2)
    assert line.breaks_at == pytest.approx((16 - 0.2) / 4e-5)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0])
def test_the_exponent_of_a_power(exponent: float) -> None:
    line = grown(exponent, limit=3 * 5e4**exponent)
    assert line.exponent == pytest.approx(exponent)
    assert line.at(1e6) == pytest.approx(3 * 1e6**exponent)
    assert line.breaks_at == pytest.approx(5e4)


def test_slow_growth_is_not_trusted_where_every_run_has_its_share() -> None:
    assert grown(0.5, least_exponent=1).at(1e6) > 50 * grown(0.5, least_exponent=1).values[-1]
    assert grown(0.5).at(1e6) < 15 * grown(0.5).values[-1]


def test_what_does_not_grow_breaks_never() -> None:
    line = Growth("list", "s", SIZES, [0.2, 0.2, 0.2], limit=60)
    assert line.at(1e6) == pytest.approx(0.2)
    assert math.isinf(line.breaks_at)
    assert line.row() == "| list | 0.2 s, 0.2 s, 0.2 s | 0.00 | 0.2 s | 60 s |  |"


def test_jobs_stand_for_the_runs_that_they_train() -> None:
    line = Growth("jobs", "s", (10, 100, 1_000), [1, 10, 100], limit=1_000, size_at_million=2_000)
    assert line.at(line.size_at_million) == pytest.approx(200)
    assert line.breaks_at == pytest.approx(5e6)


def test_figures_have_two_or_three_digits() -> None:
    assert [
        shown(6_020_704, "bytes"),
        shown(1e12, "bytes"),
        shown(86_400, "s"),
        shown(0.4617, "GiB"),
        shown(9_998, ""),
    ] == [
        "6.02 MB",
        "1 TB",
        "24 h",
        "0.462 GiB",
        "9,998",
    ]
    assert rounded(384_912) == "380,000"
