"""The construction's algebra, in NumPy; then that training ends where the theory says, and that its conditions matter."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from descentlab.measurements import linear_construction as module
from descentlab.measurements.linear_construction import (
    CONSTRUCTION_COLUMNS,
    EXAMPLES,
    FULL_BATCH,
    KERAS_ACCUMULATOR,
    LEARNING_RATES,
    MINI_BATCHES,
    OWN,
    SHARED,
    TEST_EXAMPLES,
    construction_problem,
    draw_data,
    features,
    measure_construction,
    train_variant,
    variant_entry,
)
from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.trainer import Trainer

pytestmark = pytest.mark.usefixtures("device")

ADAPTIVE, PLAIN = ["adagrad", "rmsprop", "adam"], ["sgd", "momentum"]


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    return measure_construction([0, 1])


def cells(table: pd.DataFrame, variant: str, optimizers: list[str]) -> pd.DataFrame:
    found = table[(table["variant"] == variant) & table["optimizer"].isin(optimizers)]
    assert len(found) == 2 * len(optimizers)
    return found


def test_features_of_three_examples_by_hand() -> None:
    x = features(np.array([1.0, -1.0]), np.array([-1.0]))
    assert x.tolist() == [
        [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [-1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1],
        [-1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_what_the_theory_needs_of_the_data(seed: int) -> None:
    """Labels' sum above 0; examples' products y y' + 2; and that weights of a quarter, signed as X'y, fit them all."""
    data = draw_data(seed)
    x, y = data.x[:EXAMPLES].astype(np.float64), data.y[:EXAMPLES, 0]
    assert data.x.shape == (EXAMPLES + TEST_EXAMPLES, SHARED + OWN * EXAMPLES)
    assert y.sum() > 0 and set(y) == {-1, 1}
    own = np.where(y > 0, 1, OWN)
    np.testing.assert_array_equal(x @ x.T, np.outer(y, y) + 2 + np.diag(own))
    adaptive = np.sign(x.T @ y) / 4
    np.testing.assert_array_equal(x @ adaptive, y)
    tests, labels = data.x[EXAMPLES:], data.y[EXAMPLES:, 0]
    assert (tests @ adaptive > 0).all()
    assert (tests @ (np.linalg.pinv(x) @ y) * labels > 0).all()


def test_a_seed_draws_the_same_again_and_another_draws_others() -> None:
    np.testing.assert_array_equal(draw_data(3).x, draw_data(3).x)
    assert (draw_data(3).y[EXAMPLES:] != draw_data(4).y[EXAMPLES:]).any()


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_training_ends_in_the_solution_of_the_theory(name: str) -> None:
    """Momentum in that of least norm; Adam at ±1/4, but for Keras' epsilon."""
    data = draw_data(0)
    x, y = data.x[:EXAMPLES].astype(np.float64), data.y[:EXAMPLES, 0]
    expected = np.sign(x.T @ y) / 4 if name == "adam" else np.linalg.pinv(x) @ y
    entry, rate = variant_entry(name, FULL_BATCH), LEARNING_RATES[name]
    trainer = Trainer(CompiledModel(construction_problem(), "xla"), partial(build, entry, "tuned", rate))
    train_variant(trainer, data, 0, FULL_BATCH, rate)
    (weights,) = trainer.variables()
    np.testing.assert_allclose(np.asarray(weights)[:, 0], expected, atol=1e-4)


def test_everybody_fits_the_training_examples(measured: pd.DataFrame) -> None:
    assert (measured["train_error"] == 0).all()
    assert measured["train_loss"].max() < 1e-5


def test_plain_methods_make_no_error_and_adaptive_ones_err_on_every_negative_example(measured: pd.DataFrame) -> None:
    assert (cells(measured, FULL_BATCH, PLAIN)["test_error"] == 0).all()
    adaptive = cells(measured, FULL_BATCH, ADAPTIVE)
    assert (adaptive["test_error"] == adaptive["negative_share"]).all()
    assert adaptive["negative_share"].between(0.4, 0.5).all()


def test_without_its_conditions_the_effect_is_gone(measured: pd.DataFrame) -> None:
    assert (cells(measured, MINI_BATCHES, PLAIN + ADAPTIVE)["test_error"] == 0).all()
    assert (cells(measured, KERAS_ACCUMULATOR, ["adagrad"])["test_error"] == 0).all()
    assert set(measured.loc[measured["variant"] == KERAS_ACCUMULATOR, "optimizer"]) == {"adagrad"}


def test_the_accumulator_is_kerass_own_in_its_variant_alone() -> None:
    assert variant_entry("adagrad", KERAS_ACCUMULATOR) is OPTIMIZERS["adagrad"]
    for variant, accumulator in ((FULL_BATCH, 0.0), (MINI_BATCHES, 0.0), (KERAS_ACCUMULATOR, 0.1)):
        assert build(variant_entry("adagrad", variant), "tuned", 0.1).initial_accumulator_value == accumulator
    assert variant_entry("adam", FULL_BATCH) is OPTIMIZERS["adam"]


def test_a_seed_is_the_same_beside_others_and_other_seeds_differ(
    measured: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(measured.columns) == list(CONSTRUCTION_COLUMNS)
    monkeypatch.setattr(module, "LEARNING_RATES", {"rmsprop": LEARNING_RATES["rmsprop"]})
    mine = (measured["seed"] == 1) & (measured["optimizer"] == "rmsprop")
    same = measured[mine].reset_index(drop=True)
    pd.testing.assert_frame_equal(measure_construction([1]), same, check_exact=True)
    assert measured.groupby(["variant", "optimizer"])["negative_share"].nunique().eq(2).all()
