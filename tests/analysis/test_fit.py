"""Fitting the training data apart from generalizing: paired differences of the training objective, in decades."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.choice_noise import NO_NOISE
from descentlab.analysis.contrasts import judge_fit
from descentlab.analysis.fit import FIT_MARGIN, compare_fit, log_objective
from descentlab.analysis.statistics.pair_test import PairTest


def ended(losses: list[float], penalty: float = 0.0, diverged: tuple[int, ...] = ()) -> pd.Series:
    """The logarithms of the objectives of runs that ended so."""
    status = ["diverged" if seed in diverged else "finished" for seed in range(len(losses))]
    return log_objective(pd.DataFrame({"train_loss": losses, "penalty": penalty, "status": status}))


def test_a_tenth_of_the_objective_is_one_decade_lower() -> None:
    first, second = ended([0.01, 0.02, 0.04]), ended([0.1, 0.2, 0.4])
    estimate = compare_fit(first, second, NO_NOISE).estimate
    assert (estimate.mean, estimate.n) == (pytest.approx(1), 3)
    assert compare_fit(second, first, NO_NOISE).estimate.mean == pytest.approx(-1)


def test_the_penalty_is_part_of_the_objective() -> None:
    assert ended([0.05], penalty=0.05).tolist() == pytest.approx([-1])


def test_a_run_that_diverged_fits_worst_and_one_at_zero_best() -> None:
    """The better runs of a side that mostly diverges are no proof that it fits better."""
    first = ended([0.01, 0.02, 9.0, 0.0, 9.0, 0.0], diverged=(2, 4))
    second = ended([0.1, 9.0, 0.4, 0.5, 9.0, 0.0], diverged=(1, 4))
    fit = compare_fit(first, second, NO_NOISE)
    assert (fit.estimate.n, fit.by_wins) == (2, True)  # the first pair, and the last, which is level
    assert fit.wins == (3, 4, 1)  # lost is the third; of the fifth both diverged, which is no evidence
    mostly = ended([0.01, 0.01, *[9.0] * 8], diverged=tuple(range(2, 10)))
    assert compare_fit(mostly, ended([0.1] * 10), NO_NOISE).verdict(0.05) == "inconclusive"  # two wins, eight losses
    assert (
        compare_fit(ended([9.0] * 10, diverged=tuple(range(10))), ended([0.1] * 10), NO_NOISE).verdict(0.05) == "worse"
    )


def test_the_unit_of_the_loss_does_not_matter() -> None:
    first, second = [0.01, 0.03, 0.04], [0.1, 0.2, 0.4]
    plain = compare_fit(ended(first), ended(second), NO_NOISE).estimate
    scaled = compare_fit(ended([1e3 * v for v in first]), ended([1e3 * v for v in second]), NO_NOISE).estimate
    assert (scaled.mean, scaled.variance) == (pytest.approx(plain.mean), pytest.approx(plain.variance))


def test_the_verdict_follows_the_interval() -> None:
    clear, open_, same = (np.array(values) for values in ([0.5, 0.6, 0.7], [-0.5, 0.6, 0.9], [0.01, 0.0, -0.01]))
    tests = [PairTest.of(values, FIT_MARGIN, NO_NOISE) for values in (clear, open_, same, np.empty(0))]
    rows = [judge_fit(test, 0.05) for test in tests]
    assert [row["fit_verdict"] for row in rows] == ["better", "inconclusive", "negligible", "not tested"]
    assert judge_fit(tests[0], 0.01)["fit_low"] < rows[0]["fit_low"]
