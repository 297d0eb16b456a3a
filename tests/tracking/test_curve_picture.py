"""The picture of a parent run."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from descentlab.tracking.curve_picture import set_scale, write_curve_picture

COLORS = {"adam": "#d55e00", "momentum": "#00845f"}


def curve(start: float = 1.0) -> pd.DataFrame:
    means = start * 0.5 ** np.arange(5)
    return pd.DataFrame(
        {"updates": np.arange(5) * 4, "val_loss_mean": means, "val_loss_low": means / 2, "val_loss_high": means * 2}
    )


def test_it_is_a_small_png_and_the_same_for_the_same_curves(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_curve_picture(tmp_path / name, "up / adam", {"adam": curve(), "momentum": curve(2)}, COLORS)
    png = (tmp_path / "a.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (640, 320)
    assert len(png) < 60_000
    assert (tmp_path / "b.png").read_bytes() == png


def test_another_curve_is_another_picture(tmp_path: Path) -> None:
    write_curve_picture(tmp_path / "a.png", "up / adam", {"adam": curve()}, COLORS)
    write_curve_picture(tmp_path / "b.png", "up / adam", {"adam": curve(2)}, COLORS)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("means", "scale", "limits"),
    [
        ([1.0, 0.1, np.nan], "log", (0.1 / 1.4, 1.4)),
        ([1.0, 0.0, np.inf], "linear", (-0.1, 1.1)),
        ([-1.0, 1.0], "linear", (-1.2, 1.2)),
    ],
)
def test_the_scale_is_of_the_means(means: list[float], scale: str, limits: tuple[float, float]) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    set_scale(axes, np.array(means))
    assert axes.get_yscale() == scale
    assert axes.get_ylim() == pytest.approx(limits)


def test_a_curve_without_a_finite_value_is_drawn(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    write_curve_picture(tmp_path / "a.png", "up / adam", {"adam": curve(np.nan)}, COLORS)
    png = (tmp_path / "a.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (640, 320)
    axes = Figure().subplots()
    before = axes.get_ylim()
    set_scale(axes, np.array([np.nan, np.inf]))  # nothing to set limits from
    assert (axes.get_yscale(), axes.get_ylim()) == ("linear", before)
