"""Keras' own evaluation, and the jackknife values of a metric by group of examples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from scipy.stats import norm, rankdata

from descentlab.analysis.statistics.paired import estimate_crossed
from descentlab.problems.base import Data, Metric, Problem, ProblemError
from descentlab.training.engine.keras_model import GROUPS, KerasModel, jackknife_values
from support.tiny_training import tiny_data, tiny_problem

pytestmark = pytest.mark.usefixtures("device")

EVERY = np.arange(60)


def keras_model(metric: Metric, problem: Problem | None = None) -> KerasModel:
    keras.utils.set_random_seed(3)
    return KerasModel(replace(problem or tiny_problem(), metric=metric), None, 16)


def scores_of(model: KerasModel, data: Data, index: np.ndarray) -> np.ndarray:
    values = model.values()
    return model.group_scores(data, index, values, model.evaluate(data, index, values).metric)


def test_values_of_a_mean_are_the_means_of_the_groups() -> None:
    """A known answer: with groups of one example each, they are the examples' scores."""
    model = keras_model(tiny_problem().metric)
    backwards = EVERY[::-1]
    values = scores_of(model, tiny_data(), backwards)
    predicted = model.model.predict(tiny_data().x, verbose=0).argmax(1)
    right = (predicted == tiny_data().y)[backwards]
    assert 0 < right.mean() < 1
    np.testing.assert_allclose(values, right, atol=1e-4)
    np.testing.assert_array_equal(model.example_scores(tiny_data(), backwards, model.values()), right)


def test_values_of_the_area_under_the_curve_are_those_of_its_formula() -> None:
    """AUC by ranks, with each example left out in turn, in NumPy; Keras sums over thresholds, hence the tolerance."""

    def build_model() -> Any:
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid")])

    generator = np.random.default_rng(1)
    y = generator.integers(0, 2, 60)
    data = Data((y + generator.normal(size=60))[:, None].astype(np.float32), y)
    metric = Metric("auc", True, keras.metrics.AUC(num_thresholds=50_000))
    model = keras_model(metric, Problem("auc", "", build_model, lambda path: data, "binary_crossentropy", metric))
    scores = model.model.predict(data.x, verbose=0)[:, 0]

    def area(kept: np.ndarray) -> float:
        positive = int(y[kept].sum())
        ranks = rankdata(scores[kept])
        below = ranks[y[kept] == 1].sum() - positive * (positive + 1) / 2
        return float(below / (positive * (len(kept) - positive)))

    expected = np.array([60 * area(EVERY) - 59 * area(np.delete(EVERY, left_out)) for left_out in EVERY])
    values = scores_of(model, data, EVERY)
    assert values.mean() == pytest.approx(model.evaluate(data, EVERY, model.values()).metric, abs=1e-5)
    np.testing.assert_allclose(values - values.mean(), expected - expected.mean(), atol=0.1)
    assert values.std() == pytest.approx(expected.std(), rel=0.05)


def test_intervals_of_the_area_under_the_curve_hold_the_truth() -> None:
    """Two models on five seeds and the same 200 test examples in 40 groups; what makes an example hard is the same for both."""
    generator = np.random.default_rng(4)
    seeds, examples, groups, trials = 5, 200, 40, 300
    group = np.arange(examples) % groups
    kept = np.vstack([np.ones(examples, bool), group != np.arange(groups)[:, None]])

    def areas(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """The area of all examples, and without each group."""
        wins = scores[y == 1][:, None] > scores[y == 0]
        positive, negative = kept[:, y == 1].astype(float), kept[:, y == 0].astype(float)
        counts = positive.sum(axis=1) * negative.sum(axis=1)
        return np.einsum("ki,ij,kj->k", positive, wins.astype(float), negative) / counts

    held = 0
    separations = np.array([1.0, 1.4])
    truth = np.diff(norm.cdf(separations / np.sqrt(2 * (1 + 0.5**2))))[0]
    for _ in range(trials):
        y, hard = generator.integers(0, 2, examples), generator.normal(size=examples)
        values = []
        for separation in separations:
            scores = separation * y + hard + 0.5 * generator.normal(size=(seeds, examples))
            found = np.array([areas(y, of_seed) for of_seed in scores])
            values.append([jackknife_values(of_all, without) for of_all, *without in found])
        low, high = estimate_crossed(np.subtract(values[1], values[0])).interval()
        held += low <= truth <= high
    assert 0.92 <= held / trials <= 0.98


def test_groups_are_the_same_for_every_model_and_at_most_a_hundred() -> None:
    data = tiny_data(350)
    first, second = (scores_of(keras_model(tiny_problem().metric), data, np.arange(350)) for _ in range(2))
    assert len(first) == GROUPS
    np.testing.assert_array_equal(first, second)


def test_a_metric_that_does_not_follow_from_sums_has_no_values() -> None:
    """The root of each batch's mean square, averaged over batches, is no function of the examples' sums."""

    def root(y: Any, y_pred: Any) -> Any:
        return keras.ops.sqrt(keras.ops.mean(keras.ops.square(keras.ops.cast(y, "float32") - y_pred[:, 0])))

    assert len(scores_of(keras_model(Metric("root", False, root)), tiny_data(), EVERY)) == 0


def test_an_evaluation_is_of_the_values_that_it_is_given() -> None:
    model = keras_model(Metric("accuracy", True, "accuracy"))
    values = model.values()
    first = model.evaluate(tiny_data(), EVERY, values)
    assert model.evaluate(tiny_data(), EVERY, [value + 1 for value in values]) != first
    scores_of(model, tiny_data(), EVERY)
    assert model.evaluate(tiny_data(), EVERY, values) == first


def test_a_metric_that_is_not_reported_is_named() -> None:
    metric = Metric("precision", True, ["accuracy", "sparse_top_k_categorical_accuracy"])
    model = keras_model(metric)
    with pytest.raises(ProblemError) as caught:
        model.evaluate(tiny_data(), EVERY, model.values())
    assert str(caught.value).startswith(
        "problem 'tiny': model.evaluate reports accuracy, loss, sparse_top_k_categorical_accuracy, and no 'precision'."
    )


@pytest.mark.parametrize("structure", [list, tuple])
def test_the_metric_is_found_by_its_name_among_several(structure: type) -> None:
    several = structure(["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3, name="top3")])
    for name in ("accuracy", "top3"):
        model = keras_model(Metric(name, True, several))
        means = model.evaluate(tiny_data(), EVERY, model.values())
        assert (means.metric == 1) == (name == "top3")  # of three classes


def two_outputs() -> tuple[Problem, Data]:
    """One output is off by 1 for every example, the other by 10."""

    def build_model() -> Any:
        x = keras.Input((1,))
        outputs = {name: keras.layers.Dense(1, kernel_initializer="zeros", name=name)(x) for name in ("a", "b")}
        return keras.Model(x, outputs)

    targets = {"a": np.ones((20, 1), np.float32), "b": np.full((20, 1), 10, np.float32)}
    data = Data(np.zeros((20, 1), np.float32), targets)
    metrics = [Metric(f"{name}_mae", False, {name: "mae"}) for name in ("b", "a")]
    loss = {"a": "mse", "b": "mse"}
    return Problem("two", "", build_model, lambda path: data, loss, metrics[0], metrics=(metrics[1],)), data


def test_metrics_of_several_outputs_go_by_their_names() -> None:
    """Keras reports them in the order of the outputs."""
    problem, data = two_outputs()
    model = KerasModel(problem, None, 8)
    means = model.evaluate(data, np.arange(20), model.values())
    assert (means.metric, *means.beside) == pytest.approx((10, 1))


class Divergence(keras.Model):
    """Reports, as variational autoencoders do, a loss of its own beside others; its steps take what ``fit`` gives them."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.kept = [keras.metrics.Mean(name=name) for name in ("loss", "kl_loss", "mae")]

    @property
    def metrics(self) -> list[Any]:
        return self.kept

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        loss = keras.ops.mean(keras.ops.square(self(x) - y))
        for metric, value in zip(self.kept, (loss, 7 * loss, 3 * loss), strict=True):
            metric.update_state(value)
        return {"loss": self.kept[0].result(), "others": {metric.name: metric.result() for metric in self.kept[1:]}}


@pytest.mark.parametrize("eager", [False, True])
def test_a_step_of_the_models_own_reports_what_the_metric_names(eager: bool) -> None:
    def build_model() -> Any:
        x = keras.Input((1,))
        return Divergence(x, keras.layers.Dense(1, kernel_initializer="zeros")(x))

    data = Data(np.zeros((16, 1), np.float32), np.ones((16, 1), np.float32))
    problem = Problem("own", "", build_model, lambda path: data, "mse", Metric("kl_loss", False, "mae"))
    model = KerasModel(problem, None, 8, eager=eager)
    means = model.evaluate(data, np.arange(16), model.values())
    assert (means.loss, means.metric) == pytest.approx((1, 7))
    assert scores_of(model, data, np.arange(16)).mean() == pytest.approx(7)


class Within(keras.metrics.Mean):
    """Has an argument that its config lacks."""

    def __init__(self, tolerance: float = 0.1) -> None:
        super().__init__("within")
        self.tolerance = tolerance

    def update_state(self, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().update_state(keras.ops.abs(y - y_pred) < self.tolerance)


def test_a_metric_without_a_config_keeps_its_arguments() -> None:
    problem, data = two_outputs()
    metrics = {"a": [Within(2.0)], "b": [Within(2.0)]}
    for name, expected in (("a", 1), ("b", 0)):
        metric = Metric(f"{name}_within", True, {name: metrics[name]})
        model = KerasModel(replace(problem, metric=metric, metrics=()), None, 8)
        assert model.evaluate(data, np.arange(20), model.values()).metric == expected
