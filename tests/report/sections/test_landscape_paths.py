"""Paths of descents: who crosses the hill, whose path ends in the global basin, who is lowest in a valley."""

from __future__ import annotations

import re

import numpy as np
import pytest

from descentlab.measurements.landscapes import TRAJECTORY_COLUMNS
from descentlab.report.sections.landscape_paths import DEEP, SHALLOW, Crossing, find_crossings
from descentlab.report.sections.landscape_words import height_text
from support.landscape_evidence import (
    CROSSES,
    DOWN,
    STAYS,
    Paths,
    data_of,
    end_rows,
    evidence,
    figure,
    hills,
    path_rows,
    valleys,
)
from support.report_evidence import values_of


@pytest.mark.parametrize(
    ("paths", "sgd", "momentum"),
    [
        ({}, Crossing(deep=False, since=None), Crossing(deep=True, since=2)),
        ({"sgd": CROSSES, "momentum": STAYS}, Crossing(deep=True, since=2), Crossing(deep=False, since=None)),
        (
            {"momentum": [(1.7, 0.0), (-0.5, 0.0), (0.5, 0.0), (0.9, 0.0)]},
            Crossing(deep=False, since=None),
            Crossing(deep=False, since=2),
        ),
    ],
)
def test_the_strip_says_who_crosses(paths: Paths, sgd: Crossing, momentum: Crossing) -> None:
    table = hills(paths=paths)
    assert find_crossings(table.measurement("trajectories")) == {"sgd": sgd, "momentum": momentum}
    strip = figure(table, "landscape-strip")
    since = {name: [] if end.since is None else [end.since] for name, end in (("sgd", sgd), ("momentum", momentum))}
    assert values_of(strip.takeaway) == [1.7, "sgd", *since["sgd"], "momentum", *since["momentum"]]
    wells = re.findall(f"{DEEP}|{SHALLOW}", strip.takeaway)
    assert wells == [DEEP if end.deep else SHALLOW for end in (sgd, momentum)]
    assert 1 in values_of(strip.caption)  # n
    titles = [values_of(text) for text in re.findall(r">([^<]*update[^<]*)<", strip.svg)]
    assert ">start<" in strip.svg and titles == [[2], [3]]


def test_whose_path_ends_in_the_global_basin() -> None:
    shown = figure(hills(), "landscape-paths")
    assert values_of(shown.takeaway) == ["momentum", "double well"]
    assert list(data_of(shown)) == list(TRAJECTORY_COLUMNS)
    assert values_of(shown.caption)[:2] == [1, 3]  # n, updates
    assert "double well" in values_of(shown.caption)  # is drawn as a curve: it has one dimension
    nobody = figure(hills(paths={"momentum": STAYS}), "landscape-paths").takeaway  # names no optimizer
    assert values_of(nobody) == ["double well"]


def test_paths_in_valleys_say_who_is_lowest() -> None:
    shown = figure(valleys(sgd=1e-2, adam=1e-3), "valley-paths")
    heights = ["adam", 1e-12, "sgd", 0.5]
    assert values_of(shown.takeaway)[:5] == ["quadratic", *heights]
    assert values_of(shown.takeaway)[5:7] == ["rotated quadratic", "adam"]
    assert "double well" not in values_of(shown.caption)  # no landscape of one dimension


def test_a_path_that_diverged_is_drawn_as_far_as_it_has_a_place() -> None:
    diverged = [(-1.8, 1.2), (1e5, 1e30), (np.inf, np.nan)]
    table = evidence(
        [end_rows("quadratic", "sgd"), end_rows("quadratic", "adam")],
        [path_rows("quadratic", "sgd", diverged), path_rows("quadratic", "adam", DOWN)],
    )
    shown = figure(table, "valley-paths")
    assert values_of(shown.takeaway)[-1] == "sgd" and height_text(np.inf) in shown.takeaway
    assert "nan" not in shown.svg.lower().split("aria-label")[0] and len(shown.svg) < 150_000
