"""Colors, figures as SVG, and labels that keep apart."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descentlab.optimizers.roles import LECTURE
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.report.plotting import (
    COLORS,
    MARKERS,
    PAGE_WIDTH,
    decade_label,
    figure_svg,
    label_room,
    new_figure,
    optimizer_color,
    optimizer_marker,
    relative_luminance,
    spread_labels,
    use_log_scale,
)

NAMES = [*OPTIMIZERS, "gd_equal_updates"]


def luminance(color: str) -> float:
    digits = color.removeprefix("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return relative_luminance((red, green, blue))


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def page_colors(name: str) -> list[str]:
    """A variable's value on a light page and on a dark one."""
    css = files("descentlab.report").joinpath("templates/report.css").read_text()
    return re.findall(rf"--{name}:(#[0-9a-f]+)", css)


def test_luminance_of_known_colors() -> None:
    """WCAG 2.1: white 1, black 0; #767676 is the lightest gray of contrast 4.5 on white."""
    assert luminance("#ffffff") == pytest.approx(1)
    assert luminance("#000000") == 0
    assert contrast("#767676", "#ffffff") >= 4.5 > contrast("#777777", "#ffffff")


def test_every_optimizer_of_the_table_has_a_color_of_its_own() -> None:
    assert set(NAMES) == set(COLORS)
    assert len({optimizer_color(name) for name in NAMES}) == len(NAMES)
    assert set(LECTURE) <= set(NAMES)


def test_the_slides_optimizers_have_markers_of_their_own() -> None:
    assert len({optimizer_marker(name) for name in LECTURE}) == len(LECTURE)


def test_no_two_optimizers_share_color_family_and_marker() -> None:
    assert len({(optimizer_color(name), optimizer_marker(name)) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_color_stands_out_on_a_light_and_on_a_dark_page(name: str) -> None:
    papers = page_colors("paper")
    assert len(papers) == 2
    for paper in papers:
        assert contrast(optimizer_color(name), paper) >= 3, paper  # WCAG 2.1, 1.4.11


@given(st.text())
def test_any_other_name_has_a_color_that_stands_out(name: str) -> None:
    color = optimizer_color(name)
    assert re.fullmatch("#[0-9a-f]{6}", color)
    assert optimizer_color(name) == color
    assert optimizer_marker(name) in MARKERS
    assert min(contrast(color, paper) for paper in page_colors("paper")) >= 3


def test_other_names_keep_color_and_marker_in_another_process() -> None:
    code = "from descentlab.report.plotting import *; print(optimizer_color('mine'), optimizer_marker('mine'))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert printed == [optimizer_color("mine"), optimizer_marker("mine")]


def test_other_names_have_other_colors() -> None:
    assert len({optimizer_color(f"mine_{i}") for i in range(50)}) >= 48


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("ink", "paper"),
        ("soft", "paper"),
        ("soft", "panel"),
        ("ink", "panel"),
        ("link", "paper"),
        ("link", "panel"),
        ("better", "panel"),
        ("worse", "panel"),
        ("other", "panel"),
    ],
)
def test_text_is_readable_on_a_light_and_on_a_dark_page(text: str, ground: str) -> None:
    """WCAG 2.1, 1.4.3 (AA): 4.5."""
    ratios = [contrast(a, b) for a, b in zip(page_colors(text), page_colors(ground), strict=True)]
    assert len(ratios) == 2
    assert min(ratios) >= 4.5


@pytest.mark.parametrize(
    ("value", "label"), [(1.0, "1"), (0.001, "0.001"), (500.0, "500"), (1e-6, "10⁻⁶"), (1e12, "10¹²")]
)
def test_labels_of_a_logarithmic_axis(value: float, label: str) -> None:
    assert decade_label(value) == label


@pytest.mark.parametrize(
    ("limits", "labels"),
    [
        ((0.5, 40), ["0.5", "1", "2", "5", "10", "20"]),
        ((1e-3, 1e3), ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]),
    ],
)
def test_ticks_of_a_logarithmic_axis(limits: tuple[float, float], labels: list[str]) -> None:
    figure, (axes,) = new_figure(1, 3, 2)
    axes.set_xlim(limits)
    use_log_scale(axes, "x")
    figure.canvas.draw()
    low, high = limits
    inside = [t.get_text() for t in axes.get_xticklabels() if low * 0.99 <= t.get_position()[0] <= high * 1.01]
    assert inside == labels


heights = st.lists(st.floats(-1, 2, allow_nan=False), min_size=1, max_size=30)


@given(heights)
def test_labels_keep_apart_inside_and_in_their_order(positions: list[float]) -> None:
    moved = spread_labels(positions, 0.05)
    assert moved.min() >= -1e-9 and moved.max() <= 1 + 1e-9
    room = min(0.05, 1 / max(len(positions) - 1, 1))
    assert np.all(np.diff(np.sort(moved)) >= room - 1e-9)
    order = np.argsort(positions, kind="stable")
    assert np.all(np.diff(moved[order]) >= 0)


def test_labels_that_are_apart_stay() -> None:
    assert spread_labels([0.9, 0.1, 0.5], 0.1).tolist() == pytest.approx([0.9, 0.1, 0.5])


def test_labels_in_one_place_move_around_it() -> None:
    assert spread_labels([0.5, 0.5, 0.5], 0.1).tolist() == pytest.approx([0.4, 0.5, 0.6])


def test_no_label() -> None:
    assert spread_labels([], 0.1).tolist() == []


def test_longer_names_have_more_room() -> None:
    assert label_room(["adam", "a_much_longer_name"]) > label_room(["adam"]) > label_room([]) > 0


HOSTILE = """<script>alert("1")</script> & $x_$ 'q'"""


def drawn(identity: str = "one", alt: str = "what is seen") -> str:
    figure, (axes, _) = new_figure(2, 2, 2)
    axes.plot([0, 1], [0, 1], color=optimizer_color("adam"), gid="linename-adam--")
    axes.fill_between([0, 1], [0, 0], [1, 2], alpha=0.2, linewidth=0)
    axes.set_xticks([0.125, 0.875])
    axes.set_title(HOSTILE)
    return figure_svg(figure, alt, identity)


def test_a_figure_is_the_same_bytes_again() -> None:
    assert drawn() == drawn()


def test_a_figure_is_well_formed_and_keeps_text_as_text() -> None:
    root = ElementTree.fromstring(drawn())
    assert HOSTILE in [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "script" not in {element.tag.rpartition("}")[2] for element in root.iter()}


def test_a_figure_says_what_is_seen() -> None:
    root = ElementTree.fromstring(drawn(alt=HOSTILE))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == HOSTILE


def test_a_figure_follows_the_colors_of_the_page() -> None:
    svg = drawn()
    assert "currentColor" in svg and "var(--rule)" in svg
    assert "#010203" not in svg and "#0a0b0c" not in svg
    assert "#ffffff" not in svg  # no ground of its own


def test_a_figure_has_no_date() -> None:
    assert "<metadata" not in drawn() and "matplotlib.org" not in drawn()


def test_ids_in_a_figure_start_with_its_own() -> None:
    svg = drawn("two")
    ids = re.findall(r' id="([^"]+)"', svg)
    assert ids and all(name.startswith("two-") for name in ids) and len(set(ids)) == len(ids)
    pointed = re.findall(r'(?:href="#|url\(#)([^")]+)', svg)
    assert pointed and set(pointed) <= set(ids)


def test_a_line_tells_its_name_under_the_pointer() -> None:
    assert '<g class="series"><title>adam</title>' in drawn()


def test_coordinates_are_short() -> None:
    numbers = [number for tag in re.findall(r"<path[^>]+>", drawn()) for number in re.findall(r"\d+\.(\d+)", tag)]
    assert numbers and max(map(len, numbers)) == 1


def test_labels_keep_their_decimals() -> None:
    assert ">0.125<" in drawn() and ">0.875<" in drawn()


@pytest.mark.parametrize(("panels", "rows"), [(1, [1]), (5, [5]), (6, [3, 3]), (7, [4, 3]), (20, [5, 5, 5, 5])])
def test_panels_that_are_wider_than_the_page_stand_in_rows(panels: int, rows: list[int]) -> None:
    figure, axes = new_figure(panels, 1.95, 2.0, left=1.9, gap=0.15, share_y=True, share_x=True)
    bottoms = [round(panel.get_position().y0, 6) for panel in axes]
    assert [bottoms.count(bottom) for bottom in dict.fromkeys(bottoms)] == rows
    assert bottoms == sorted(bottoms, reverse=True)
    assert len(figure.axes) == len(axes) == panels
    assert figure.get_size_inches()[0] <= PAGE_WIDTH
    for panel in axes:
        box = panel.get_window_extent()
        assert (box.width / figure.dpi, box.height / figure.dpi) == pytest.approx((1.95, 2.0))
        assert panel.xaxis.get_tick_params()["labelbottom"]
    plt.close(figure)
