"""Fitting the training data apart from generalizing: paired differences of the training objective, in decades."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.choice_noise import NO_NOISE
from descentlab.analysis.contrasts import judge_fit
from descentlab.analysis.fit import estimate_fit, log_objective
from descentlab.analysis.statistics.paired import estimate_difference


def ended(losses: list[float], penalty: float = 0.0, diverged: tuple[int, ...] = ()) -> pd.Series:
    """The logarithms of the objectives of runs that ended so."""
    status = ["diverged" if seed in diverged else "finished" for seed in range(len(losses))]
    return log_objective(pd.DataFrame({"train_loss": losses, "penalty": penalty, "status": status}))


def test_a_tenth_of_the_objective_is_one_decade_lower() -> None:
    first, second = ended([0.01, 0.02, 0.04]), ended([0.1, 0.2, 0.4])
    estimate = estimate_fit(first, second, NO_NOISE)
    assert (estimate.mean, estimate.n) == (pytest.approx(1), 3)
    assert estimate_fit(second, first, NO_NOISE).mean == pytest.approx(-1)


def test_the_penalty_is_part_of_the_objective() -> None:
    assert ended([0.05], penalty=0.05).tolist() == pytest.approx([-1])


def test_pairs_with_a_run_that_diverged_or_fits_perfectly_have_no_ratio() -> None:
    first, second = ended([0.01, 0.02, 0.03, 0.0], diverged=(1,)), ended([0.1, 0.2, 0.4, 0.5], diverged=(2,))
    assert estimate_fit(first, second, NO_NOISE).n == 1


def test_the_unit_of_the_loss_does_not_matter() -> None:
    first, second = [0.01, 0.03, 0.04], [0.1, 0.2, 0.4]
    plain = estimate_fit(ended(first), ended(second), NO_NOISE)
    scaled = estimate_fit(ended([1e3 * v for v in first]), ended([1e3 * v for v in second]), NO_NOISE)
    assert (scaled.mean, scaled.variance) == (pytest.approx(plain.mean), pytest.approx(plain.variance))


def test_the_verdict_follows_the_interval() -> None:
    clear, open_, same = (np.array(values) for values in ([0.5, 0.6, 0.7], [-0.5, 0.6, 0.9], [0.01, 0.0, -0.01]))
    rows = [judge_fit(estimate_difference(values), 0.05) for values in (clear, open_, same)]
    assert [row["fit_verdict"] for row in rows] == ["better", "inconclusive", "negligible"]
    assert judge_fit(estimate_difference(clear), 0.01)["fit_low"] < rows[0]["fit_low"]
    assert judge_fit(estimate_difference(np.empty(0)), 0.05)["fit_verdict"] == "not tested"
