"""Drawing primitives: what they draw is what the table says."""

from __future__ import annotations

import base64
import gzip

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.optimizers.roles import LECTURE
from descentlab.report.drawing import (
    NAMED,
    VERDICT_MARKS,
    back_to_front,
    draw_curves,
    draw_points,
    draw_rows,
    finish,
    in_front,
    label_ends,
    limit_values,
)
from descentlab.report.plotting import new_figure, optimizer_color


def curves(names: list[str], scale: float = 1.0) -> pd.DataFrame:
    rows = [
        {
            "optimizer": name,
            "updates": updates,
            "loss_mean": scale * (i + 2) / (updates + 1),
            "loss_low": scale * (i + 1) / (updates + 1),
            "loss_high": scale * (i + 3) / (updates + 1),
        }
        for i, name in enumerate(names)
        for updates in (0, 1, 10, 100)
    ]
    return pd.DataFrame(rows)


def test_every_verdict_has_a_mark_of_its_own() -> None:
    assert set(VERDICT_MARKS) == set(Verdict)
    assert len(set(VERDICT_MARKS.values())) == len(Verdict)


def test_a_finished_figure_says_what_is_seen_offers_its_data_and_is_closed() -> None:
    drawing, (axes,) = new_figure(1, 3, 2)
    axes.plot([0, 1], [0, 1], gid="linename-adam--")
    data = pd.DataFrame({"optimizer": ["adam"], "loss": [0.123456789]})
    figure = finish(drawing, "losses of adam", takeaway="Adam rises", caption="One line.", data=data)
    assert (figure.identity, figure.takeaway, figure.caption) == ("losses of adam", "Adam rises", "One line.")
    assert 'aria-label="Adam rises. One line."' in figure.svg
    assert 'id="losses_of_adam-' in figure.svg
    assert gzip.decompress(base64.b64decode(figure.csv)).decode() == "optimizer,loss\nadam,0.12346\n"
    assert not plt.fignum_exists(drawing.number)


def test_few_optimizers_are_all_named() -> None:
    assert in_front(["mine", "adam", "mine", "lion"]) == ["mine", "adam", "lion"]


def test_of_many_the_slides_are_named() -> None:
    others = [f"o{i}" for i in range(NAMED)]
    assert in_front(["adam", *others, "sgd"]) == ["adam", "sgd"]
    assert set(in_front([*LECTURE, *others])) == set(LECTURE)


def test_of_many_others_the_first_are_named() -> None:
    assert in_front([f"o{i}" for i in range(30)]) == [f"o{i}" for i in range(NAMED)]


def test_lines_in_front_are_drawn_last() -> None:
    assert back_to_front(["adam", "o1", "sgd", "o2"], ["sgd", "adam"]) == ["o1", "o2", "adam", "sgd"]


def test_named_lines_have_their_color_a_band_and_a_name() -> None:
    _, (axes,) = new_figure(1, 3, 2)
    draw_curves(axes, curves(["adam", "sgd"]), "updates", "loss", y_scale="log")
    lines = {line.get_gid(): line for line in axes.lines if line.get_gid()}
    assert set(lines) == {"linename-adam--", "linename-sgd--"}
    adam = lines["linename-adam--"]
    assert to_hex(adam.get_color()) == optimizer_color("adam")
    np.testing.assert_allclose(adam.get_ydata(), [2, 1, 2 / 11, 2 / 101])
    np.testing.assert_allclose(adam.get_xdata(), [0.5, 1, 10, 100])  # 0 stands half a step left of the first update
    assert len(axes.collections) == 2
    assert [text.get_text() for text in axes.texts] == ["adam", "sgd"]


def test_lines_that_are_not_named_have_no_band() -> None:
    _, (axes,) = new_figure(1, 3, 2)
    names = ["adam", *(f"o{i}" for i in range(NAMED))]
    draw_curves(axes, curves(names), "updates", "loss")
    assert len([line for line in axes.lines if line.get_gid()]) == len(names)
    assert len(axes.collections) == 1
    assert [text.get_text() for text in axes.texts] == ["adam"]


def test_names_beside_lines_stand_in_the_order_of_their_ends_and_apart() -> None:
    _, (axes,) = new_figure(1, 3, 2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    label_ends(axes, {"adam": (1, 0.5), "sgd": (1, 0.51), "gd": (1, 0.1)})
    at = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert at["gd"] < at["adam"] < at["sgd"]
    assert at["sgd"] - at["adam"] == pytest.approx(0.055)


def test_no_end_no_name() -> None:
    _, (axes,) = new_figure(1, 3, 2)
    label_ends(axes, {})
    assert not axes.texts


def test_a_curve_of_which_nothing_is_finite_is_drawn_without_a_name() -> None:
    _, (axes,) = new_figure(1, 3, 2)
    table = curves(["adam", "sgd"])
    table.loc[table["optimizer"] == "sgd", ["loss_mean", "loss_low", "loss_high"]] = np.nan
    draw_curves(axes, table, "updates", "loss")
    assert [text.get_text() for text in axes.texts] == ["adam"]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_limits_leave_out_the_wildest_of_a_diverging_curve(scale: str) -> None:
    _, (axes,) = new_figure(1, 3, 2)
    values = np.append(np.linspace(1, 2, 99), 1e9)
    limit_values(axes, values, scale)
    low, high = axes.get_ylim()
    assert low <= 1 and 2 <= high < 4


def test_limits_show_all_of_calm_values() -> None:
    _, (axes,) = new_figure(1, 3, 2)
    limit_values(axes, np.array([0.4, 0.5, 0.9]), "linear")
    low, high = axes.get_ylim()
    assert low < 0.4 and high > 0.9


def rows_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "optimizer": ["adam", "sgd"],
            "mean": [1.0, 2.0],
            "low": [0.5, np.nan],
            "high": [1.5, np.nan],
            "verdict": ["inconclusive", "better"],
        }
    )


def test_rows_have_an_interval_where_there_is_one_and_the_mark_of_their_verdict() -> None:
    _, (axes,) = new_figure(1, 3, 2)
    draw_rows(axes, rows_table(), ["adam", "gd", "sgd"], "mean", "low", "high", marks="verdict")
    interval, adam, sgd = axes.lines
    assert list(interval.get_xdata()) == [0.5, 1.5] and list(interval.get_ydata()) == [0, 0]
    assert (list(adam.get_xdata()), list(adam.get_ydata())) == ([1.0], [0])
    assert (list(sgd.get_xdata()), list(sgd.get_ydata())) == ([2.0], [2])
    assert (adam.get_marker(), sgd.get_marker()) == ("o", "^")
    assert adam.get_markerfacecolor() == "none"  # inconclusive is hollow
    assert sgd.get_markerfacecolor() == optimizer_color("sgd")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["adam", "gd", "sgd"]


def test_the_first_row_is_on_top() -> None:
    _, (axes,) = new_figure(1, 3, 2)
    draw_rows(axes, rows_table(), ["adam", "sgd"], "mean", "low", "high", filled=False)
    bottom, top = axes.get_ylim()
    assert bottom > 1 > 0 > top
    assert {line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"} == {"none"}


def test_each_seed_is_a_point_in_the_row_of_its_optimizer() -> None:
    _, (axes,) = new_figure(1, 3, 2)
    scores = pd.DataFrame({"optimizer": ["adam"] * 5 + ["sgd"] * 5, "seed": [*range(5)] * 2, "score": np.arange(10.0)})
    draw_points(axes, scores, ["sgd", "adam"], "score")
    (points,) = axes.collections
    offsets = np.asarray(points.get_offsets())
    np.testing.assert_allclose(offsets[:, 0], np.arange(10))
    np.testing.assert_allclose(offsets[:, 1].round(), [1] * 5 + [0] * 5)
    assert len(np.unique(offsets[:5, 1])) == 5
