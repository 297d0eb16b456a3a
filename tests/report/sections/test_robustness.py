"""The figure of how far a learning rate may be off."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest

from descentlab.report.blocks import Figure
from descentlab.report.drawing import finish
from descentlab.report.formatting import interval
from descentlab.report.sections import Evidence, robustness
from descentlab.report.sections.robustness import width_figure
from support.report_evidence import evidence_of, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def swept(*rows: tuple[str, str, float, bool]) -> pd.DataFrame:
    """Widths of (problem, optimizer, decades, whether it is known to be only at least as wide), each ± 0.5, of 5 seeds."""
    table = pd.DataFrame(rows, columns=["problem", "optimizer", "width", "censored"])
    return table.assign(phase="sweep", low=table["width"] - 0.5, high=table["width"] + 0.5, n=5)


def test_the_title_names_the_widest_of_each_problem(evidence: Evidence) -> None:
    table = swept(("up", "sgd", 1.0, False), ("up", "adam", 2.0, False), ("down", "sgd", 4.0, True))
    figure = width_figure(evidence, table)
    assert figure is not None
    assert values_of(figure.takeaway) == ["adam", "up", 2, 1.5, 2.5, 5, "sgd", "down", 4, 3.5, 4.5, 5]
    exact, bound = interval(2.0, 1.5, 2.5, 5), interval(4.0, 3.5, 4.5, 5)
    assert f"({exact})" in figure.takeaway
    assert f"({bound})" not in figure.takeaway and f" {bound})" in figure.takeaway  # a word before it says so
    assert width_figure(evidence, swept()) is None


@pytest.mark.parametrize("widest", ["up", "down"])
def test_every_interval_lies_in_the_frame(evidence: Evidence, monkeypatch: pytest.MonkeyPatch, widest: str) -> None:
    drawn: list[matplotlib.figure.Figure] = []

    def see(figure: matplotlib.figure.Figure, identity: str, **parts: Any) -> Figure:
        drawn.append(figure)
        return finish(figure, identity, **parts)

    monkeypatch.setattr(robustness, "finish", see)
    other = {"up": "down", "down": "up"}[widest]
    width_figure(evidence, swept((widest, "adam", 6.0, False), (other, "adam", 1.0, False)))
    for axes in drawn[0].axes:
        left, right = axes.get_xlim()
        values = np.concatenate([np.asarray(line.get_xdata(), float) for line in axes.lines])
        assert left == 0
        assert np.nanmax(values) <= right
