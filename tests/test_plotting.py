"""Colours by name, labels that keep apart, figures that follow the page."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descentlab.optimizers import OPTIMIZERS
from descentlab.plotting import (
    COLOURS,
    decade_label,
    figure_svg,
    new_figure,
    optimizer_colour,
    optimizer_marker,
    spread_labels,
)
from descentlab.sections.drawing import VERDICT_MARKS
from descentlab.stats import VERDICTS


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_optimizer_of_the_table_has_a_colour_of_its_own() -> None:
    names = [*OPTIMIZERS, "gd_equal_updates"]
    assert set(COLOURS) == set(names)
    assert len({optimizer_colour(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", [*COLOURS, "my_optimizer", "another"])
@pytest.mark.parametrize("paper", ["#ffffff", "#14171a"])
def test_lines_stand_out_in_light_and_dark(name: str, paper: str) -> None:
    colour = optimizer_colour(name)
    assert re.fullmatch("#[0-9a-f]{6}", colour)
    assert contrast(colour, paper) >= (3 if name in {"gd", "sgd", "momentum", "adam", "rmsprop"} else 2.2)


def test_unknown_names_keep_their_colour_in_another_process() -> None:
    code = "from descentlab.plotting import *; print(optimizer_colour('mine'), optimizer_marker('mine'))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert printed == [optimizer_colour("mine"), optimizer_marker("mine")]
    assert optimizer_colour("mine") != optimizer_colour("yours")


def test_every_verdict_has_a_mark_of_its_own() -> None:
    assert set(VERDICT_MARKS) == set(VERDICTS)
    assert len(set(VERDICT_MARKS.values())) == len(VERDICTS)


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=25), st.floats(0.01, 0.2))
def test_labels_keep_apart_in_order_and_inside(positions: list[float], least: float) -> None:
    placed = spread_labels(positions, least)
    room = min(least, 1 / max(len(positions) - 1, 1))
    assert placed.min() >= -1e-9
    assert placed.max() <= 1 + 1e-9
    ordered = placed[np.argsort(positions, kind="stable")]
    assert (np.diff(ordered) >= room - 1e-9).all()


def test_labels_that_are_apart_stay_where_they_are() -> None:
    np.testing.assert_allclose(spread_labels([0.9, 0.1, 0.5], 0.1), [0.9, 0.1, 0.5])
    np.testing.assert_allclose(spread_labels([0.5, 0.5], 0.1), [0.45, 0.55])


def test_decades_are_written_plainly() -> None:
    assert [decade_label(v) for v in (0.001, 0.2, 1, 100, 1e-6, 1e7)] == ["0.001", "0.2", "1", "100", "10⁻⁶", "10⁷"]


def drawn(identity: str = "f") -> str:
    figure, axes = new_figure(1, 2, 2)
    axes[0].plot([0.123456, 1], [0, 1], gid="linename-adam--")
    axes[0].set_xticks([0.125, 0.875])
    axes[0].set_title("a <b> & c")
    return figure_svg(figure, 'alt "quoted" <tag>', identity)


def test_a_figure_is_the_same_bytes_every_time() -> None:
    assert drawn() == drawn()
    assert drawn("g") != drawn("f")


def test_a_figure_follows_the_page_and_keeps_its_text() -> None:
    svg = drawn()
    assert svg.startswith('<svg class="plot" role="img" aria-label="alt &quot;quoted&quot; &lt;tag&gt;"')
    assert ">0.125<" in svg and ">0.875<" in svg  # rounding coordinates must not round labels
    assert "a &lt;b&gt; &amp; c" in svg
    assert "currentColor" in svg and "var(--rule)" in svg
    assert "#010203" not in svg and "#0a0b0c" not in svg
    assert '<g class="series"><title>adam</title>' in svg
    assert all(identity.startswith("f-") for identity in re.findall(r'\bid="([^"]+)"', svg))
    assert not re.search(r"\d\.\d\d", re.sub(r">[^<]*<", "><", svg).split('viewBox="', 1)[1].split("<style", 1)[0])
