"""The explorer's own arithmetic, in Chromium, against Python's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from descentlab.analysis.statistics.intervals import t_interval, t_quantile
from descentlab.report.formatting import number
from descentlab.report.plotting import spread_labels
from support.browser import launched
from support.explorer_evidence import evidence_with_history
from support.explorer_page import Opened, write_page


@pytest.fixture(scope="module")
def arithmetic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page whose functions are called and which nothing changes."""
    page = write_page(evidence_with_history(), tmp_path_factory.mktemp("explorer") / "index.html")
    with launched() as browser:
        yield Opened(browser, page, offline=True).page


def test_differences_are_the_paired_t_interval(arithmetic: Any) -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 9))
    first[3] = np.nan
    quantiles = [t_quantile(0.975, degrees) for degrees in range(1, 9)]
    arrays = [[None if np.isnan(v) else v for v in values] for values in (first.tolist(), second.tolist())]
    got = arithmetic.evaluate("([a, b, q]) => descentlabExplorer.pairedDifference(a, b, q)", [*arrays, quantiles])
    expected = t_interval(first - second)
    assert got["n"] == expected.n == 8
    np.testing.assert_allclose([got["mean"], got["half"]], [expected.mean, expected.high - expected.mean], rtol=1e-12)
    one = arithmetic.evaluate("q => descentlabExplorer.pairedDifference([1], [3], q)", quantiles)
    assert one == {"mean": -2, "half": None, "n": 1}
    assert arithmetic.evaluate("descentlabExplorer.pairedDifference([1], [null], [])") == {
        "mean": None,
        "half": None,
        "n": 0,
    }


def test_numbers_read_as_in_the_rest_of_the_report(arithmetic: Any) -> None:
    values = [
        0.0,
        1,
        -1,
        0.5,
        12.34,
        0.00012345,
        0.000012345,
        -3.2e-9,
        123.4,
        999.4,
        1234.6,
        -98765.4,
        1234567.8,
        2.5e8,
        1e-4,
    ]
    for signed in (False, True):
        got = arithmetic.evaluate(
            "([v, s]) => v.map(x => descentlabExplorer.number(x, s, 'unknown'))", [values, signed]
        )
        wanted = [number(value, signed) for value in values]
        assert got == wanted


def test_names_are_moved_apart_as_in_the_static_figures(arithmetic: Any) -> None:
    generator = np.random.default_rng(0)
    for n in (1, 2, 5, 8, 30):
        positions = generator.uniform(-0.2, 1.2, n).tolist()
        got = arithmetic.evaluate("p => descentlabExplorer.spread(p, 0.055, 0, 1)", positions)
        np.testing.assert_allclose(got, spread_labels(positions, 0.055), atol=1e-8)


def test_ticks_of_a_logarithmic_axis(arithmetic: Any) -> None:
    ticks = "([limits, most]) => descentlabExplorer.logTicks(limits, most)"
    np.testing.assert_allclose(arithmetic.evaluate(ticks, [[0.3, 40], 9]), [1, 10])
    np.testing.assert_allclose(arithmetic.evaluate(ticks, [[0.9, 12], 9]), [1, 2, 5, 10])
    assert len(arithmetic.evaluate(ticks, [[1e-12, 1], 5])) <= 5
    labels = arithmetic.evaluate(
        "values => values.map(descentlabExplorer.tickLabel)", [0, 0.01, 20000, 1e5, 1e-6, -0.5, 2e-7]
    )
    assert labels == ["0", "0.01", "20000", "10⁵", "10⁻⁶", "−0.5", "2·10⁻⁷"]


def test_differences_are_framed_with_0_and_without_the_wildest(arithmetic: Any) -> None:
    code = "points => descentlabExplorer.differenceLimits(points)"
    calm = [{"value": value, "low": value - 1, "high": value + 1, "half": 1} for value in (2, 3, 4)]
    low, high = arithmetic.evaluate(code, calm)["domain"]
    assert low < 0 and high > 5
    wild = [{"value": 1e6, "low": 1e6, "high": 1e6, "half": 0}, *calm * 20]
    found = arithmetic.evaluate(code, wild)
    assert found["domain"][1] < 10 and found["constant"] == 4
    ticks = arithmetic.evaluate(
        "([limits, constant]) => descentlabExplorer.symlogTicks(limits, constant, 8)", [[-20, 200], 0.5]
    )
    np.testing.assert_allclose(ticks, [-10, -1, 0, 1, 10, 100])
