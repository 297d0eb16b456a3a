"""Valleys: who comes lowest, what AdaGrad gains, what diverged."""

from __future__ import annotations

import numpy as np
import pytest

from descentlab.report.sections.landscape_valleys import Gain, find_gains, gain_words, height_table
from descentlab.report.sections.landscape_words import height_text
from support.landscape_evidence import HALFWAY, STARTS, VALLEYS, data_of, end_rows, evidence, figure, path_rows, valleys
from support.report_evidence import values_of


def test_valleys_say_who_comes_lowest_and_what_adagrad_gains() -> None:
    shown = figure(valleys(sgd=1e-2, adagrad=1e-5, adam=1e-3), "valley-heights")
    lowest = ["adagrad", "quadratic", 1e-5, "adagrad", "rotated quadratic", 1e-5]
    gains = ["adagrad", "sgd", 3, "quadratic", 3, "rotated quadratic"]
    assert values_of(shown.takeaway) == [*lowest, *gains]
    losing = figure(valleys(sgd=1e-5, adagrad=1e-2), "valley-heights").takeaway
    assert values_of(losing)[-6:] == ["adagrad", "sgd", -3, "quadratic", -3, "rotated quadratic"]
    assert {float(STARTS), 0.0} <= set(values_of(shown.caption))  # n, and how many diverged
    assert list(data_of(shown)) == ["landscape", "optimizer", "median", "low", "high", "n", "diverged", "updates"]


def test_what_lies_below_the_floor_is_a_bound() -> None:
    for sgd, bound in ((1e-2, True), (0.0, False)):  # both at the floor: no gain
        table = valleys(sgd=sgd, adagrad=0.0)
        gains = find_gains(height_table(table.measurement("landscapes")))
        assert gains == dict.fromkeys(VALLEYS, Gain(pytest.approx(10.0 if bound else 0.0), bound))
        takeaway = figure(table, "valley-heights").takeaway
        assert takeaway.count(height_text(0.0)) == 2 and values_of(height_text(0.0)) == [1e-12]
        assert all(gain_words(valley, gain) in takeaway for valley, gain in gains.items())
    assert gain_words("quadratic", Gain(10.0, bound=False)).startswith("10 ")
    assert not gain_words("quadratic", Gain(10.0, bound=True)).startswith("10 ")  # a word before the number says so


def test_starts_that_diverged_are_counted_and_drawn() -> None:
    values = np.where(np.arange(STARTS) < 150, np.inf, 0.1)
    table = evidence(
        [end_rows("quadratic", "sgd", 50, value=values), end_rows("quadratic", "adagrad")],
        [path_rows("quadratic", name, HALFWAY) for name in ("sgd", "adagrad")],
    )
    shown = figure(table, "valley-heights")
    assert 150 in values_of(shown.caption)
    assert values_of(shown.takeaway) == ["adagrad", "quadratic", 0.5]
