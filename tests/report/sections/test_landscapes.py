"""Spurious minima and valleys: every sentence follows hand-made tables."""

from __future__ import annotations

import base64
import gzip
import io
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.tables import Comparison
from descentlab.measurements.landscape_functions import LANDSCAPES
from descentlab.measurements.landscapes import LANDSCAPE_COLUMNS, TRAJECTORY_COLUMNS
from descentlab.report.blocks import Figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.landscape_words import TITLES
from descentlab.report.sections.landscapes import edge_words, landscapes
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan
from support.report_evidence import found, table_named

STARTS = 200
WELL, VALLEYS = "double_well", ("quadratic", "rotated_quadratic")
Paths = dict[str, list[tuple[float, float]]]


def end_rows(landscape: str, optimizer: str, inside: int = STARTS, **values: Any) -> pd.DataFrame:
    """Rows of LANDSCAPE_COLUMNS: the first ``inside`` of 200 starts end in the global basin, the first 100 begin there."""
    start = np.arange(STARTS)
    flat = LANDSCAPES[landscape].dimension == 1
    row: dict[str, Any] = {
        "landscape": landscape,
        "spurious": LANDSCAPES[landscape].spurious,
        "optimizer": optimizer,
        "start": start,
        "learning_rate": 0.1,
        "updates": 1000,
        "start_x": 0.0,
        "start_y": np.nan if flat else 0.0,
        "start_global": start < 100,
        "end_x": 0.0,
        "end_y": np.nan if flat else 0.0,
        "value": 0.5,
        "global_basin": start < inside,
        "same_rate_basin": start < 30,
        "constant_learning_rate": 0.1,
        "constant_rate_basin": start < 60,
    }
    return pd.DataFrame(row | values)


def path_rows(landscape: str, optimizer: str, points: list[tuple[float, float]]) -> pd.DataFrame:
    """Rows of TRAJECTORY_COLUMNS, one an update; y is ignored in one dimension."""
    known = LANDSCAPES[landscape]
    places = np.array(points, dtype=np.float64)
    return pd.DataFrame(
        {
            "landscape": landscape,
            "optimizer": optimizer,
            "start": -1,
            "update": np.arange(len(points)),
            "x": places[:, 0],
            "y": np.nan if known.dimension == 1 else places[:, 1],
            "value": known.above_minimum(places[:, : known.dimension]),
        }
    )


CROSSES, STAYS = [(1.7, 0.0), (0.5, 0.0), (-0.4, 0.0), (-1.0, 0.0)], [(1.7, 0.0), (1.2, 0.0), (1.0, 0.0), (0.96, 0.0)]
DOWN, HALFWAY = [(-1.8, 1.2), (-0.5, 0.1), (0.0, 0.0)], [(-1.8, 1.2), (-1.5, 0.1), (-1.0, 0.0)]


def evidence(ends: list[pd.DataFrame], paths: list[pd.DataFrame]) -> Evidence:
    measured = {
        "landscapes": check_table(pd.concat(ends), LANDSCAPE_COLUMNS, "hand-made"),
        "trajectories": check_table(pd.concat(paths), TRAJECTORY_COLUMNS, "hand-made"),
    }
    return Evidence(generated_plan(), cast(Comparison, SimpleNamespace()), [], measured)


def hills(momentum: int = 150, sgd: int = 50, paths: Paths | None = None) -> Evidence:
    ways = {"momentum": CROSSES, "sgd": STAYS} | (paths or {})
    return evidence(
        [end_rows(WELL, "sgd", sgd), end_rows(WELL, "momentum", momentum)],
        [path_rows(WELL, name, way) for name, way in ways.items()],
    )


def valleys(**medians: float) -> Evidence:
    return evidence(
        [end_rows(name, optimizer, value=value) for name in VALLEYS for optimizer, value in medians.items()],
        [
            path_rows(name, optimizer, HALFWAY if optimizer == "sgd" else DOWN)
            for name in VALLEYS
            for optimizer in medians
        ],
    )


def figure(evidence: Evidence, identity: str) -> Figure:
    (block,) = [b for b in found(landscapes(evidence)).blocks if isinstance(b, Figure) and b.identity == identity]
    return block


def data_of(block: Figure) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(block.csv))))


def test_nothing_measured_no_section() -> None:
    empty = {"landscapes": empty_table(LANDSCAPE_COLUMNS), "trajectories": empty_table(TRAJECTORY_COLUMNS)}
    for measured in ({}, empty):
        assert landscapes(Evidence(generated_plan(), cast(Comparison, SimpleNamespace()), [], measured)) is None


@pytest.mark.parametrize(
    ("momentum", "sgd", "words", "highest"),
    [
        (150, 50, "more often on double well (0.75 against 0.25)", "momentum on double well (0.75)"),
        (50, 150, "less often on double well (0.25 against 0.75)", "plain descent on double well (0.75)"),
        (
            102,
            101,
            "neither clearly more nor less often on double well (0.51 against 0.505)",
            "momentum on double well (0.51)",
        ),
        (
            100,
            100,
            "neither clearly more nor less often on double well (0.5 against 0.5)",
            "plain descent and momentum on double well (0.5)",
        ),
    ],
)
def test_momentum_is_ahead_or_not(momentum: int, sgd: int, words: str, highest: str) -> None:
    assert figure(hills(momentum, sgd), "landscape-shares").takeaway == (
        f"Compared with plain descent, momentum ends in the global basin {words}; with constant rates neither clearly more nor "
        f"less often on double well (0.3 against 0.3); highest share: {highest}"
    )


def test_a_constant_rate_may_tell_otherwise() -> None:
    """As on Rastrigin's function, where plain descent needs a rate that decays."""
    ends = [end_rows(WELL, "sgd", 150, constant_rate_basin=False), end_rows(WELL, "momentum", 20)]
    both = evidence(ends, [path_rows(WELL, "sgd", STAYS), path_rows(WELL, "momentum", CROSSES)])
    assert figure(both, "landscape-shares").takeaway.startswith(
        "Compared with plain descent, momentum ends in the global basin less often on double well (0.1 against 0.75); with "
        "constant rates more often on double well (0.3 against 0)"
    )


def test_without_momentum_nothing_is_compared() -> None:
    alone = evidence([end_rows(WELL, "adam", 20)], [path_rows(WELL, "adam", STAYS)])
    assert figure(alone, "landscape-shares").takeaway == (
        "Highest share ending in the global basin: Adam on double well (0.1)"
    )
    assert "landscape-strip" not in [getattr(block, "identity", "") for block in found(landscapes(alone)).blocks]
    assert table_named(landscapes(alone), "landscape-escapes").title.startswith("Starts carried into")


def test_shares_have_exact_intervals_and_their_n() -> None:
    shown = figure(hills(), "landscape-shares")
    assert "n = 200 drawn uniformly" in shown.caption and "exact 95 % binomial intervals" in shown.caption
    assert "from the same 15 rates" in shown.caption and "after 1,000 updates" in shown.caption
    assert f'aria-label="{shown.takeaway}. Starts that end' in shown.svg
    data = data_of(shown)
    assert list(data) == [
        "landscape",
        "optimizer",
        "rate",
        "share",
        "low",
        "high",
        "n",
        "start_share",
        "escaped",
        "outside",
        "lost",
        "inside",
    ]
    tuned = data[data["rate"] == "chosen, decaying"].set_index("optimizer")
    # Clopper & Pearson for 150 of 200.
    assert tuned.loc["momentum", ["share", "low", "high"]].tolist() == pytest.approx([0.75, 0.68408, 0.80844], abs=1e-4)
    assert tuned["start_share"].tolist() == [0.5, 0.5]


def test_starts_are_carried_in_and_out() -> None:
    """Of 200 starts the first 100 begin in the global basin: with 150 inside at the end, 50 came in; with 60, 40 left."""
    table = table_named(landscapes(hills()), "landscape-escapes")
    assert table.title == (
        "Momentum carries starts into the global basin and out of it: 50 in and 0 out on double well"
    )
    assert table.rows == [
        ["double well", "100", "100", "50 in, 0 out", "0 in, 50 out", "0 in, 40 out", "0 in, 40 out", "0 in, 70 out"]
    ]
    assert table.headers[3:] == [
        "momentum; rate chosen, decaying",
        "plain descent; rate chosen, decaying",
        "momentum; rate chosen, constant",
        "plain descent; rate chosen, constant",
        "momentum; rate plain descent's, decaying",
    ]


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (
            {},
            "plain descent stays on the side of the shallow well and momentum ends in the deep well, where it stays from "
            "update 2 on",
        ),
        (
            {"sgd": CROSSES, "momentum": STAYS},
            "plain descent ends in the deep well, where it stays from update 2 on and momentum "
            "stays on the side of the shallow well",
        ),
        (
            {"momentum": [(1.7, 0.0), (-0.5, 0.0), (0.5, 0.0), (0.9, 0.0)]},
            "plain descent stays on the side of the shallow well and momentum ends in the shallow well, where it stays from "
            "update 2 on",
        ),
    ],
)
def test_the_strip_says_who_crosses(paths: Paths, words: str) -> None:
    strip = figure(hills(paths=paths), "landscape-strip")
    assert strip.takeaway == f"From x = 1.7, {words}"
    assert "n = 1, no interval" in strip.caption
    assert [text in strip.svg for text in (">start<", ">2 updates<", ">3 updates<")] == [True] * 3


def test_whose_path_ends_in_the_global_basin() -> None:
    assert figure(hills(), "landscape-paths").takeaway == (
        "Paths, from one start in each landscape, that end in the global basin: momentum on double well"
    )
    assert figure(hills(paths={"momentum": STAYS}), "landscape-paths").takeaway.endswith(": none on double well")
    shown = figure(hills(), "landscape-paths")
    assert list(data_of(shown)) == list(TRAJECTORY_COLUMNS)
    assert "(n = 1, no interval) over 3 updates" in shown.caption and "In one dimension (double well)" in shown.caption


def test_valleys_say_who_comes_lowest_and_what_adagrad_gains() -> None:
    shown = figure(valleys(sgd=1e-2, adagrad=1e-5, adam=1e-3), "valley-heights")
    assert shown.takeaway == (
        "Lowest median: adagrad on quadratic (1e−05) and adagrad on rotated quadratic (1e−05); in decades, adagrad "
        "lies below plain descent by 3 on quadratic and 3 on rotated quadratic"
    )
    assert figure(valleys(sgd=1e-5, adagrad=1e-2), "valley-heights").takeaway.endswith(
        "in decades, adagrad lies below plain descent by −3 on quadratic and −3 on rotated quadratic"
    )
    assert "n = 200 starts" in shown.caption and "0 starts diverged" in shown.caption
    assert list(data_of(shown)) == ["landscape", "optimizer", "median", "low", "high", "n", "diverged", "updates"]


def test_what_lies_below_the_floor_is_a_bound() -> None:
    takeaway = figure(valleys(sgd=1e-2, adagrad=0.0), "valley-heights").takeaway
    assert "adagrad on quadratic (at most 1e-12)" in takeaway
    assert "below plain descent by at least 10 on quadratic" in takeaway


def test_starts_that_diverged_are_counted_and_drawn() -> None:
    values = np.where(np.arange(STARTS) < 150, np.inf, 0.1)
    table = evidence(
        [end_rows("quadratic", "sgd", 50, value=values), end_rows("quadratic", "adagrad")],
        [path_rows("quadratic", name, HALFWAY) for name in ("sgd", "adagrad")],
    )
    shown = figure(table, "valley-heights")
    assert "150 starts diverged" in shown.caption
    assert shown.takeaway == "Lowest median: adagrad on quadratic (0.5)"


def test_paths_in_valleys_say_who_is_lowest() -> None:
    shown = figure(valleys(sgd=1e-2, adam=1e-3), "valley-paths")
    assert shown.takeaway.startswith(
        "From one start each, on quadratic, Adam ends lowest (at most 1e-12 above the minimum), plain descent highest (0.5); "
        "on rotated quadratic, Adam ends lowest"
    )
    assert "In one dimension" not in shown.caption


def test_a_path_that_diverged_is_drawn_as_far_as_it_has_a_place() -> None:
    diverged = [(-1.8, 1.2), (1e5, 1e30), (np.inf, np.nan)]
    table = evidence(
        [end_rows("quadratic", "sgd"), end_rows("quadratic", "adam")],
        [path_rows("quadratic", "sgd", diverged), path_rows("quadratic", "adam", DOWN)],
    )
    shown = figure(table, "valley-paths")
    assert shown.takeaway.endswith("plain descent highest (diverged)")
    assert "nan" not in shown.svg.lower().split("aria-label")[0] and len(shown.svg) < 150_000


def test_the_table_has_every_rate_and_counts_the_edges() -> None:
    table = table_named(landscapes(hills()), "landscape-rates")
    assert table.rows[1][:5] == ["double well", "momentum", "0.1", "0.1", "0.75 [0.684, 0.808], n = 200"]
    assert "0 of 4 chosen rates lie on the edge of the grid" in table.caption
    assert edge_words([1e-5, 0.1]) == "1 of 2 chosen rates lies on the edge of the grid"
    assert edge_words([1e-5, 100]).startswith("2 of 2 chosen rates lie")


def test_identities_are_unique_and_figures_small() -> None:
    blocks = [*found(landscapes(hills())).blocks, *found(landscapes(valleys(sgd=0.1, adam=0.2))).blocks]
    named = [getattr(block, "identity", "") for block in blocks]
    assert set(named) == {
        "landscape-shares",
        "landscape-escapes",
        "landscape-strip",
        "landscape-paths",
        "valley-paths",
        "valley-heights",
        "landscape-rates",
    }
    assert len(named) == len(set(named)) + 1  # the table of rates is in both
    assert all(len(block.svg) < 150_000 for block in blocks if isinstance(block, Figure))


def test_every_landscape_s_name_can_be_translated() -> None:
    assert set(TITLES) == {landscape.title for landscape in LANDSCAPES.values()}
