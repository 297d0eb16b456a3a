"""Metric by learning rate and the width of the range of good rates, on the generated experiment."""

from __future__ import annotations

import pytest

from support.generated_comparisons import generated_comparison, row


def test_sensitivity_and_widths() -> None:
    comparison = generated_comparison()
    mine = comparison.sensitivity[
        (comparison.sensitivity["problem"] == "up") & (comparison.sensitivity["optimizer"] == "adam")
    ]
    assert mine["chosen"].tolist() == [False, True, False]
    assert mine["val_metric_mean"].to_numpy() == pytest.approx([0.3, 0.6, 0.3], abs=0.01)
    width = row(comparison.widths, problem="up", optimizer="adam")
    assert width["width"] == pytest.approx(2 * 0.02 / 0.3, abs=0.02)  # falls by 0.3 a decade, margin 0.02
    assert not width["censored"]
