"""Spurious minima: shares of starts that end in the global basin, and the whole section, from hand-made tables."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from descentlab.analysis.comparison import Comparison
from descentlab.measurements.landscape_functions import LANDSCAPES
from descentlab.measurements.landscapes import LANDSCAPE_COLUMNS, TRAJECTORY_COLUMNS
from descentlab.optimizers.roles import MOMENTUM, PLAIN
from descentlab.report.blocks import Figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.landscape_words import TITLES, descent_title, landscape_title
from descentlab.report.sections.landscapes import CONSTANT, LESS, MORE, NEITHER, SAME, TUNED, edge_words, landscapes
from descentlab.storage.tables import empty_table
from support.comparison_fixture import generated_plan
from support.landscape_evidence import (
    CROSSES,
    STAYS,
    WELL,
    data_of,
    end_rows,
    evidence,
    figure,
    hills,
    path_rows,
    valleys,
)
from support.report_evidence import found, table_named, values_of


def chosen(sentence: str) -> str | None:
    """Which phrase a sentence has for how often momentum ends in the global basin."""
    for phrase in (NEITHER, MORE, LESS):  # the first ends as the last does
        if phrase.split("{")[0] in sentence:
            return phrase
    return None


def test_nothing_measured_no_section() -> None:
    empty = {"landscapes": empty_table(LANDSCAPE_COLUMNS), "trajectories": empty_table(TRAJECTORY_COLUMNS)}
    for measured in ({}, empty):
        assert landscapes(Evidence(generated_plan(), cast(Comparison, SimpleNamespace()), [], measured)) is None


@pytest.mark.parametrize(
    ("momentum", "sgd", "phrase", "highest"),
    [
        (150, 50, MORE, ["momentum"]),
        (50, 150, LESS, ["sgd"]),
        (102, 101, NEITHER, ["momentum"]),
        (100, 100, NEITHER, ["sgd", "momentum"]),
    ],
)
def test_momentum_is_ahead_or_not(momentum: int, sgd: int, phrase: str, highest: list[str]) -> None:
    title = figure(hills(momentum, sgd), "landscape-shares").takeaway
    decaying, constant, best = title.split("; ")
    place = "double well"
    assert chosen(decaying) == phrase
    assert values_of(decaying) == ["sgd", "momentum", place, momentum / 200, sgd / 200]
    assert chosen(constant) == NEITHER and values_of(constant) == [place, 0.3, 0.3]
    assert values_of(best) == [*highest, place, max(momentum, sgd) / 200]


def test_a_constant_rate_may_tell_otherwise() -> None:
    """As on Rastrigin's function, where plain descent needs a rate that decays."""
    ends = [end_rows(WELL, "sgd", 150, constant_rate_basin=False), end_rows(WELL, "momentum", 20)]
    both = evidence(ends, [path_rows(WELL, "sgd", STAYS), path_rows(WELL, "momentum", CROSSES)])
    decaying, constant, _ = figure(both, "landscape-shares").takeaway.split("; ")
    assert (chosen(decaying), values_of(decaying)[-2:]) == (LESS, [0.1, 0.75])
    assert (chosen(constant), values_of(constant)[-2:]) == (MORE, [0.3, 0])


def test_without_momentum_nothing_is_compared() -> None:
    alone = evidence([end_rows(WELL, "adam", 20)], [path_rows(WELL, "adam", STAYS)])
    title = figure(alone, "landscape-shares").takeaway
    assert values_of(title) == ["adam", "double well", 0.1] and chosen(title) is None
    assert "landscape-strip" not in [getattr(block, "identity", "") for block in found(landscapes(alone)).blocks]
    assert values_of(table_named(landscapes(alone), "landscape-escapes").title) == []


def test_shares_have_exact_intervals_and_their_n() -> None:
    shown = figure(hills(), "landscape-shares")
    assert {200.0, 95.0, 15.0, 1000.0} <= set(values_of(shown.caption))  # n, interval, rates tried, updates
    assert "exact" in shown.caption and f'aria-label="{shown.takeaway}. ' in shown.svg
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
    assert values_of(table.title) == [50, 0, "double well"]
    ((name, *cells),) = table.rows
    assert name == landscape_title(WELL)
    assert [values_of(cell) for cell in cells] == [[100], [100], [50, 0], [0, 50], [0, 40], [0, 40], [0, 70]]
    columns = [(MOMENTUM, TUNED), (PLAIN, TUNED), (MOMENTUM, CONSTANT), (PLAIN, CONSTANT), (MOMENTUM, SAME)]
    for header, (optimizer, rate) in zip(table.headers[3:], columns, strict=True):
        assert header.startswith(descent_title(optimizer)) and header.endswith(rate)


def test_the_table_has_every_rate_and_counts_the_edges() -> None:
    table = table_named(landscapes(hills()), "landscape-rates")
    assert table.rows[1][:4] == [landscape_title(WELL), "momentum", "0.1", "0.1"]
    assert values_of(table.rows[1][4]) == [0.75, 0.684, 0.808, 200]
    assert edge_words([0.1] * 4) in table.caption
    assert [values_of(edge_words(rates)) for rates in ([0.1] * 4, [1e-5, 0.1], [1e-5, 100])] == [[0, 4], [1, 2], [2, 2]]


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
