"""Traits of problems: known answers of the arithmetic, and of problems whose Hessian is known."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from descentlab.experiment.config import parse_config
from descentlab.experiment.traits import TRAITS, TRAITS_COLUMNS
from descentlab.measurements.training_gradient import TrainingGradient
from descentlab.measurements.traits import (
    Slopes,
    class_slope,
    curvature_spread,
    measure_traits,
    noise_scale,
    parts_of_model,
    plan_traits,
)
from descentlab.problems.base import Data, Metric, Problem
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.make_plan import make_plan
from models import zoo
from support.job_data import job_data

pytestmark = pytest.mark.usefixtures("device")


def line(rows: np.ndarray, targets: np.ndarray) -> tuple[Problem, Data]:
    """Least squares without a bias: the loss's Hessian is 2 XᵀX / n at any weights."""
    problem = Problem(
        name="line",
        title="A line",
        build_model=lambda: keras.Sequential(
            [keras.Input((rows.shape[1],)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
        ),
        load_data=lambda path: Data(rows, targets),
        loss="mean_squared_error",
        metric=Metric("squared error", False, lambda y, y_pred: keras.ops.square(y - y_pred)[:, 0]),
        stratified=False,
        convex=True,
    )
    return problem, Data(rows, targets)


@pytest.fixture(scope="module")
def regression() -> tuple[Problem, Data]:
    generator = np.random.default_rng(3)
    rows = generator.standard_normal((200, 4)) * [10, 1, 1, 1]
    return line(rows, rows @ [[0.1], [1], [-1], [0.5]] + generator.standard_normal((200, 1)))


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5])
def test_the_slope_of_a_power_law(power: float) -> None:
    counts = np.round(1e5 / np.arange(1, 50) ** power).astype(int)
    targets = np.random.default_rng(0).permutation(np.repeat(np.arange(49), counts))
    assert class_slope(targets) == pytest.approx(-power, abs=0.002)
    assert class_slope(targets.reshape(-1, 1)) == class_slope(targets)


def test_no_classes_no_slope() -> None:
    assert np.isnan(class_slope(np.array([0.5, 1.5])))
    assert np.isnan(class_slope(np.array([1, 1])))


def test_noise_scale_is_variance_over_signal() -> None:
    """Gradients with mean (3, 4) and variance 0.25 a weight: 0.5 / 25."""
    gradients = [3, 4] + 0.5 * np.random.default_rng(0).standard_normal((20000, 2))
    assert noise_scale(gradients) == pytest.approx(0.02, rel=0.03)
    assert noise_scale(np.array([[1.0], [-1.0]])) == np.inf
    assert np.isnan(noise_scale(np.ones((1, 3))))


def test_products_are_those_with_the_hessian(regression: tuple[Problem, Data]) -> None:
    problem, data = regression
    hessian = 2 * data.x.T @ data.x / len(data)
    everything = np.arange(len(data))
    slopes = Slopes(TrainingGradient(problem, data, initial_variables(problem, 0)))
    vector = np.array([1.0, -2.0, 0.5, 3.0])
    np.testing.assert_allclose(slopes.hessian_product(everything, vector), hessian @ vector, rtol=1e-5)
    # At zero weights the gradient is −2 Xᵀy / n.
    np.testing.assert_allclose(
        slopes.gradient(everything), -2 * (data.x.T @ data.y)[:, 0] / len(data), rtol=1e-4, atol=1e-6
    )
    eigenvalues = np.linalg.eigvalsh(hessian)
    spread = curvature_spread(lambda probe: slopes.hessian_product(everything, probe), 4, seed=0)
    assert spread == pytest.approx(eigenvalues.max() / np.sqrt(np.mean(eigenvalues**2)), rel=0.02)


def test_a_seed_is_the_same_again_and_another_differs(regression: tuple[Problem, Data]) -> None:
    problem = job_data(replace(regression[0], batch_size=16))
    first, again, other = (measure_traits(problem, seed) for seed in (0, 0, 1))
    assert first == pytest.approx(again, nan_ok=True)
    assert first["noise_scale"] != other["noise_scale"]
    assert (first["convex"], first["parameters"], first["embedding_share"]) == (1, 4, 0)


def test_a_models_parts_are_found_inside_of_others() -> None:
    tokens = keras.Input((8,), dtype="int32")
    embedded = keras.layers.Embedding(10, 4)(tokens)
    attended = keras.layers.MultiHeadAttention(1, 4)(embedded, embedded)
    inner = keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dense(2)])
    model = keras.Model(tokens, inner(attended))
    # Embedding 40; attention 4 × (16 + 4) = 80; BatchNormalization 8 trainable; dense 10.
    assert parts_of_model(model) == {"embedding_share": 40 / 138, "attention": 1, "batch_norm": 1}
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    assert parts_of_model(plain) == {"embedding_share": 0, "attention": 0, "batch_norm": 0}


def test_a_model_that_cannot_be_differentiated_has_no_slopes(regression: tuple[Problem, Data]) -> None:
    def raising(y: object, y_pred: object) -> object:
        raise RuntimeError("no loss")

    said: list[str] = []
    traits = measure_traits(job_data(replace(regression[0], loss=raising)), 0, said.append)
    assert np.isnan(traits["noise_scale"]) and np.isnan(traits["curvature_spread"])
    assert traits["parameters"] == 4 and len(said) == 2


@pytest.mark.parametrize(("name", "slopes"), [("heads_dict", True), ("structured_data", True), ("gan", False)])
def test_whatever_trains_has_traits(name: str, slopes: bool) -> None:
    """A model with a step of its own lacks those that need its gradient, and one line says so."""
    said: list[str] = []
    traits = measure_traits(job_data(zoo.problem(name), "keras", by_example=False), 0, said.append)
    assert set(traits) >= set(TRAITS) and traits["parameters"] > 0 and traits["embedding_share"] == 0
    assert (traits["noise_scale"] > 0, traits["curvature_spread"] > 0) == (slopes, slopes)
    assert len(said) == (not slopes)


def test_an_experiments_problems_have_a_row_each() -> None:
    raw = {
        "experiment": "e",
        "problems": [{"problem": "linear_regression", "train_examples": 64}, "logistic_regression"],
        "optimizers": ["sgd"],
        "measurements": ["traits"],
    }
    table = plan_traits(make_plan(parse_config(raw, "test")), print)
    assert list(table.columns) == list(TRAITS_COLUMNS)
    assert table["problem"].tolist() == ["linear_regression", "logistic_regression"]
    assert table["train_examples"].iloc[0] == 64 and table["parameters"].tolist() == [11, 650]
    assert np.isnan(table["class_slope"].iloc[0]) and -0.1 < table["class_slope"].iloc[1] <= 0
    assert (table["convex"] == 1).all() and (table[["noise_scale", "curvature_spread"]] > 0).all(axis=None)
