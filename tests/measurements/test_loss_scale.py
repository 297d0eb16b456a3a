"""Distances of known paths, closed forms of plain descent, and that AdaGrad's invariance hangs on its constants."""

from __future__ import annotations

import functools
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from descentlab.measurements import loss_scale as module
from descentlab.measurements.loss_scale import (
    LOSS_SCALE_COLUMNS,
    RATES,
    SCALES,
    measure_loss_scale,
    record_path,
    relative_distance,
    scaled_entry,
)
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import ADAGRAD_FROM_ZERO
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data, Problem
from descentlab.problems.random_streams import data_order
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer
from support.tiny_training import BATCH, EPOCHS, TRAIN, UPDATES, tiny_data, tiny_problem

pytestmark = pytest.mark.usefixtures("device")

RATE, STEPS = 0.1, 6


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patched:  # the others have no claim of their own, and take seconds to compile
        patched.setattr(module, "OPTIMIZER_NAMES", ("sgd", "adagrad", ADAGRAD_FROM_ZERO, "adam"))
        return measure_loss_scale([0, 1])


def distances(table: pd.DataFrame, scale: float) -> pd.DataFrame:
    """A row a seed, a column an optimizer."""
    return table[table["scale"] == scale].pivot(index="seed", columns="optimizer", values="relative_distance")


def random_path(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(8, 5))


def parabola() -> Problem:
    """(w - 1)² from w = 0."""
    import keras

    def build_model() -> Any:
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        return keras.Sequential([keras.Input((1,)), layer])

    one = np.ones((1, 1), np.float32)
    return replace(
        tiny_problem(),
        build_model=build_model,
        load_data=lambda path: Data(one, one),
        loss=keras.losses.MeanSquaredError(),
    )


@functools.cache
def parabola_trainer() -> Trainer:
    return Trainer(CompiledModel(parabola(), "xla"), partial(build, OPTIMIZERS["sgd"], "tuned", RATE))


def parabola_path(scale: float) -> np.ndarray:
    trainer = parabola_trainer()
    problem = trainer.problem
    rates = learning_rates(RATE, "constant", STEPS)
    order = np.zeros((1, 1), np.int32)
    start = initial_variables(problem, 0)
    path, losses = record_path(trainer, problem.load_data(None), start, order, rates, [*range(STEPS + 1)], scale)
    np.testing.assert_allclose(losses, (path[:, 0] - 1) ** 2, rtol=1e-4)  # unscaled
    return path


@functools.cache
def tiny_trainer(name: str) -> Trainer:
    """One for all rates, which are given to each update."""
    return Trainer(CompiledModel(tiny_problem(), "xla"), partial(build, scaled_entry(name), "tuned", RATE))


def tiny_path(name: str, rate: float, scale: float) -> np.ndarray:
    trainer = tiny_trainer(name)
    order = data_order("tiny", 0, TRAIN, BATCH, EPOCHS)
    rates = learning_rates(rate, "constant", UPDATES)
    start = initial_variables(trainer.problem, 0)
    return record_path(trainer, tiny_data(), start, order, rates, [*range(UPDATES + 1)], scale)[0]


def test_distances_of_known_paths() -> None:
    start, path = np.zeros((1, 2)), np.array([[1.0, 0.0], [3.0, 4.0]])
    walked = np.concatenate([start, path])
    assert relative_distance(walked, walked) == 0
    assert relative_distance(walked, np.zeros((3, 2))) == 1  # stands still
    assert relative_distance(walked, -walked) == 1
    assert relative_distance(walked, 3 * walked) == pytest.approx(0.5)
    assert relative_distance(walked, np.array([[0, 0], [0, 1], [3, 4]])) == pytest.approx(np.sqrt(2) / 4)
    assert relative_distance(np.zeros((3, 2)), np.zeros((3, 2))) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_path_that_diverges_is_as_far_as_can_be(bad: float) -> None:
    path, other = random_path(0), random_path(0)
    other[4:, 2] = bad
    assert relative_distance(path, other) == pytest.approx(4 / 7)  # from the fourth of seven records on
    assert relative_distance(other, path) == pytest.approx(4 / 7)
    far = path.copy()
    far[1:] += 1e12
    assert relative_distance(path, far) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_is_symmetric_bounded_and_knows_no_unit(seed: int) -> None:
    path, other = random_path(seed), random_path(seed + 100)
    other[0] = path[0]
    found = relative_distance(path, other)
    assert 0 < found < 1
    assert relative_distance(other, path) == pytest.approx(found)
    assert relative_distance(7 * path + 3, 7 * other + 3) == pytest.approx(found)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 5)))
    assert relative_distance(path @ turn, other @ turn) == pytest.approx(found)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_descent_on_a_scaled_parabola_in_closed_form(scale: float) -> None:
    """After t updates w = 1 - (1 - 2 c η)^t."""
    updates = np.arange(STEPS + 1)

    def weights(c: float) -> np.ndarray:
        return 1 - (1 - 2 * c * RATE) ** updates

    path, scaled = parabola_path(1.0), parabola_path(scale)
    np.testing.assert_allclose(scaled[:, 0], weights(scale), rtol=1e-5)
    a, b = weights(1.0)[1:], weights(scale)[1:]
    assert relative_distance(path, scaled) == pytest.approx(np.mean(np.abs(a - b) / (a + b)), rel=1e-4)


@pytest.mark.parametrize("name", ["sgd", "momentum"])
def test_a_factor_on_the_loss_is_a_factor_on_the_rate_of_descent(name: str) -> None:
    """To the bit, for a power of two."""
    np.testing.assert_array_equal(tiny_path(name, 0.05, 4.0), tiny_path(name, 0.2, 1.0))
    assert relative_distance(tiny_path(name, 0.05, 4.0), tiny_path(name, 0.05, 1.0)) > 0.1


@pytest.mark.parametrize("scale", SCALES)
def test_adagrad_without_its_constants_walks_the_same_path(scale: float) -> None:
    apart = {
        name: relative_distance(tiny_path(name, 0.03, 1.0), tiny_path(name, 0.03, scale))
        for name in (ADAGRAD_FROM_ZERO, "adagrad")
    }
    assert apart[ADAGRAD_FROM_ZERO] < 1e-5
    assert apart["adagrad"] > 0.1


def test_only_the_named_constants_and_the_rate_differ_from_the_table() -> None:
    entry = scaled_entry(ADAGRAD_FROM_ZERO)
    assert entry.hyperparameters == {"initial_accumulator_value": 0.0, "epsilon": 1e-30}
    assert entry.center_learning_rate == pytest.approx(RATES["adagrad"] / 10)
    for name in RATES:
        assert scaled_entry(name) == replace(OPTIMIZERS[name], center_learning_rate=RATES[name])


def test_who_keeps_the_path_on_digits(measured: pd.DataFrame) -> None:
    """Descent never; AdaGrad without constants always; Keras' AdaGrad as little as descent where gradients are small."""
    small, large = (distances(measured, scale) for scale in SCALES)
    for table in (small, large):
        assert (table["sgd"] > 0.9).all()
        assert (table[ADAGRAD_FROM_ZERO] < 1e-5).all()
        assert (table["adam"] < 0.4).all()
    assert (small["adagrad"] > 0.9).all()
    assert large["adagrad"].between(0.4, 0.9).all()
    assert measured["relative_distance"].between(0, 1).all()
    assert np.isfinite(measured[["relative_distance", "train_loss"]]).all().all()


def test_a_run_above_the_bound_is_marked_and_counts_as_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    from descentlab.problems.builtin import mlp

    monkeypatch.setattr(mlp, "PROBLEM", replace(mlp.PROBLEM, divergence_factor=2.0))
    monkeypatch.setattr(module, "OPTIMIZER_NAMES", ("sgd",))
    table = measure_loss_scale([0]).set_index("scale")
    assert table["diverged"].tolist() == [False, True]
    assert table.loc[1e3, "train_loss"] == pytest.approx(2 * np.log(10), rel=0.1)  # twice the initial loss
    assert table.loc[1e-3, "train_loss"] == pytest.approx(np.log(10), abs=0.2)  # it hardly moved


def test_a_seed_is_the_same_beside_others_and_other_seeds_differ(
    measured: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(measured.columns) == list(LOSS_SCALE_COLUMNS)
    monkeypatch.setattr(module, "OPTIMIZER_NAMES", ("adam",))
    mine = (measured["seed"] == 1) & (measured["optimizer"] == "adam")
    pd.testing.assert_frame_equal(measure_loss_scale([1]), measured[mine].reset_index(drop=True), check_exact=True)
    moved = measured[measured["optimizer"] != ADAGRAD_FROM_ZERO]
    assert moved.groupby(["scale", "optimizer"])["relative_distance"].nunique().eq(2).all()
