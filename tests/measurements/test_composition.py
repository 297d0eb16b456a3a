"""Adam's parts put together: the first two updates by hand, and Keras' Adam against its own terms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descentlab.measurements.composition import (
    BETA_1,
    BETA_2,
    LEARNING_RATE,
    compositions,
    cosines,
    measure_composition,
)


def test_the_first_two_updates_by_hand() -> None:
    """Of one weight with gradients 1 and 3; epsilon is too small to matter."""
    found = compositions(np.array([[1.0], [3.0]]))
    first = np.array([1.0, (BETA_1 * (1 - BETA_1) + (1 - BETA_1) * 3) / (1 - BETA_1**2)])
    second = np.array([1.0, (BETA_2 * (1 - BETA_2) + (1 - BETA_2) * 9) / (1 - BETA_2**2)])
    assert found["momentum"].ravel() == pytest.approx(-LEARNING_RATE * first)
    assert found["rmsprop_corrected"].ravel() == pytest.approx(-LEARNING_RATE * first / np.sqrt(second), rel=1e-5)
    assert found["adagrad"].ravel() == pytest.approx(-LEARNING_RATE * first / np.sqrt([1.0, 10.0]), rel=1e-5)


def test_the_cosine_knows_no_length() -> None:
    rows = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    others = np.array([[0.3, 0.4], [0.0, 2.0], [1.0, 1.0]])
    assert cosines(rows, others).tolist() == pytest.approx([1.0, 0.0, 0.0])


@pytest.mark.usefixtures("device")
def test_keras_adam_makes_the_update_of_its_own_terms_and_goes_adagrads_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("descentlab.measurements.composition.UPDATES", 50)
    table = measure_composition([0, 1])
    means = table.groupby("composition")[["cosine", "relative_distance"]].mean()
    own = means.loc["rmsprop_corrected"]
    assert own["cosine"] > 0.999 and own["relative_distance"] < 0.01  # but for the rounding of the weights
    assert means.loc["adagrad", "cosine"] > 0.99 > 0.9 > means.loc["momentum", "cosine"]
    assert means.loc["adagrad", "relative_distance"] > 0.5  # the same way, much shorter
    again, other = (measure_composition([seed]) for seed in (0, 2))
    pd.testing.assert_frame_equal(table[table["seed"] == 0], again)
    assert not np.allclose(again["cosine"], other["cosine"], rtol=1e-9)
