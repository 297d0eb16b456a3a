"""The doctor visits: one row a person, a standardized split, and the Poisson deviance of scikit-learn."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_poisson_deviance
from statsmodels.datasets import randhie

from descentlab.problems.base import Data
from descentlab.problems.builtin.doctor_visits import PROBLEM, load_data, poisson_deviance, poisson_loss

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(None)


@pytest.fixture(scope="module")
def original() -> pd.DataFrame:
    """The original file beside statsmodels' selection from it, with the person of each row."""
    path = Path(randhie.__file__).parent / "src" / "randhie.csv"
    return pd.read_csv(path, usecols=["zper", "year", "mdvis", "lpi", "disea", "physlm"])


def test_parameters_are_as_counted() -> None:
    model = PROBLEM.build_model()
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 1473
    assert model.count_params() == 1473 + 2 * 64  # with the averages of BatchNormalization
    assert PROBLEM.count.endswith("= 1,473") and "1,473 parameters" in PROBLEM.title


def test_the_original_file_has_the_rows_of_statsmodels_in_its_order(original: pd.DataFrame) -> None:
    """Otherwise the persons would be those of other rows."""
    table = randhie.load_pandas().data
    for column in ("mdvis", "lpi", "disea", "physlm"):
        np.testing.assert_array_equal(original[column], table[column])


def test_every_person_is_one_example_of_the_first_year(data: Data, original: pd.DataFrame) -> None:
    data.check("doctor_visits")
    first = original.sort_values(["zper", "year"], kind="stable").drop_duplicates("zper").sort_index()
    assert len(data) == original["zper"].nunique() == len(first) == 5912
    np.testing.assert_array_equal(data.y[:, 0], first["mdvis"])


def test_people_are_standardized_without_the_test_split(data: Data) -> None:
    assert (data.x.shape, data.x.dtype, data.y.shape, data.y.dtype) == ((5912, 9), np.float32, (5912, 1), np.float32)
    assert data.test is not None and len(data.test) == 2956
    outside = np.delete(data.x, data.test, axis=0)
    np.testing.assert_allclose(outside.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(outside.std(0), 1, atol=1e-4)
    assert np.abs(data.x.mean(0)).max() > 1e-3  # with the test split they aren't
    assert data.hash() == load_data(None).hash()


def test_visits_are_overdispersed_counts(data: Data) -> None:
    """As the docstring says: a Poisson variable's variance is its mean."""
    assert (data.y == np.round(data.y)).all() and data.y.min() == 0
    assert (data.y.mean(), data.y.var()) == (pytest.approx(3.0, abs=0.05), pytest.approx(19.4, abs=0.1))


def test_the_deviance_is_scikit_learns(data: Data) -> None:
    rates = np.random.default_rng(0).gamma(2.0, 1.5, size=(len(data), 1)).astype(np.float32)
    scores = keras.ops.convert_to_numpy(poisson_deviance(data.y, np.log(rates)))
    assert scores.shape == (5912,) and scores.min() >= -1e-5
    assert scores.mean() == pytest.approx(mean_poisson_deviance(data.y[:, 0], rates[:, 0]), rel=1e-5)


def test_the_loss_is_that_of_keras_but_for_what_the_counts_decide(data: Data) -> None:
    rates = np.random.default_rng(1).gamma(2.0, 1.5, size=(len(data), 1)).astype(np.float32)
    ours = keras.ops.convert_to_numpy(poisson_loss(data.y, np.log(rates)))
    keras_loss = keras.ops.convert_to_numpy(keras.losses.poisson(data.y, rates))
    y = data.y[:, 0]
    np.testing.assert_allclose(ours - keras_loss, y * np.log(np.maximum(y, 1)) - y, rtol=1e-4, atol=1e-4)


def test_of_constant_predictions_the_mean_is_the_best(data: Data) -> None:
    """Its deviance is computed by scikit-learn; a little more or less is worse, and a perfect prediction has none."""

    def deviance(rate: float) -> float:
        return float(keras.ops.mean(poisson_deviance(data.y, np.full_like(data.y, np.log(rate)))))

    mean = float(data.y.mean())
    assert deviance(mean) == pytest.approx(mean_poisson_deviance(data.y[:, 0], np.full(len(data), mean)), rel=1e-5)
    assert deviance(mean) < min(deviance(1.05 * mean), deviance(mean / 1.05))
    seen = data.y[data.y[:, 0] > 0]
    np.testing.assert_allclose(poisson_deviance(seen, np.log(seen)), 0, atol=1e-4)
