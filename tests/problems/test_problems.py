"""The built-in problems: their models as the slides count them, their data and splits; data that can't be used."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from descentlab.problems.base import Data, Metric, Problem, ProblemError
from descentlab.problems.splits import Split, split_data
from descentlab.problems.table import BUILTIN_PROBLEMS, builtin_problem

pytestmark = pytest.mark.usefixtures("device")

BUNDLED = ["linear_regression", "logistic_regression", "slides_mlp", "mlp", "digits_cnn"]
PARAMETERS = {
    "linear_regression": 11,
    "logistic_regression": 650,
    "slides_mlp": 53,
    "mlp": 4810,
    "digits_cnn": 1898,
    "slides_cnn": 319370,
}


def problem_and_data(name: str) -> tuple[Problem, Data]:
    problem = builtin_problem(name)
    return problem, problem.load_data(None)


def message(function: Callable[[], Any]) -> str:
    with pytest.raises(ProblemError) as caught:
        function()
    return str(caught.value)


@pytest.mark.parametrize("name", BUILTIN_PROBLEMS)
def test_parameters_are_as_many_as_counted(name: str) -> None:
    """The sum that the report shows ends in the number of Keras, and so does the title."""
    problem = builtin_problem(name)
    assert problem.name == name
    trainable = sum(int(np.prod(variable.shape)) for variable in problem.build_model().trainable_variables)
    assert trainable == PARAMETERS.get(name, trainable)  # the test of a problem of its own has its number
    assert f"{trainable:,} parameters" in problem.title
    assert problem.count.endswith(f"= {trainable:,}")


def test_slides_cnn_is_the_slides_table() -> None:
    """Slide "Cuenta de parámetros", line by line (it numbers its Flatten 7)."""
    model = builtin_problem("slides_cnn").build_model()
    table = [(layer.name, type(layer).__name__, layer.output.shape, layer.count_params()) for layer in model.layers]
    assert table == [
        ("c1", "Conv2D", (None, 28, 28, 32), 320),
        ("mp1", "MaxPooling2D", (None, 14, 14, 32), 0),
        ("c2", "Conv2D", (None, 7, 7, 64), 18496),
        ("mp2", "MaxPooling2D", (None, 3, 3, 64), 0),
        ("flatten", "Flatten", (None, 576), 0),
        ("fc1", "Dense", (None, 512), 295424),
        ("fc2", "Dense", (None, 10), 5130),
    ]
    assert (model.count_params(), len(model.non_trainable_variables)) == (319370, 0)


def test_slides_mlp_is_the_slides_count() -> None:
    """Slide "¿Qué optimizamos?": W1 12, W2 20, W3 10, B1 4, B2 5, B3 2."""
    weights = builtin_problem("slides_mlp").build_model().get_weights()
    assert [w.size for w in weights if w.ndim == 2] == [12, 20, 10]
    assert [w.size for w in weights if w.ndim == 1] == [4, 5, 2]
    assert [w.shape for w in weights if w.ndim == 2] == [(3, 4), (4, 5), (5, 2)]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_data_are_sound(name: str) -> None:
    problem, data = problem_and_data(name)
    data.check(f"problem '{name}'")
    assert data.x.dtype == np.float32
    assert data.x.shape[1:] == problem.build_model().input_shape[1:]
    assert data.hash() == problem.load_data(None).hash()
    examples = {"linear_regression": 442, "slides_mlp": 600}
    assert len(data.y) == examples.get(name, 1797)


def test_digits_lie_between_zero_and_one() -> None:
    digits = problem_and_data("mlp")[1]
    assert (digits.x.min(), digits.x.max()) == (0, 1)
    np.testing.assert_array_equal(np.unique(digits.y), np.arange(10))


def test_diabetes_is_standardized_without_its_test_examples() -> None:
    problem, data = problem_and_data("linear_regression")
    split = split_data(problem, data, 0, problem.batch_size)
    for values in (data.x, data.y):
        outside = np.delete(values, split.test, axis=0)
        np.testing.assert_allclose(outside.mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(outside.std(0), 1, atol=1e-5)
        assert np.abs(values.mean(0)).max() > 1e-3  # with them it isn't


def test_slides_mlp_has_two_classes_of_equal_size_inside_and_outside_a_sphere() -> None:
    _, data = problem_and_data("slides_mlp")
    radius = np.linalg.norm(data.x, axis=1)
    assert np.bincount(data.y).tolist() == [300, 300]
    assert radius[data.y == 0].max() < radius[data.y == 1].min()


@pytest.mark.parametrize(("seed", "batch_size"), [(0, None), (1, 7), (1000, 50)])
@pytest.mark.parametrize("name", BUNDLED)
def test_splits_are_disjoint_and_cover(name: str, seed: int, batch_size: int | None) -> None:
    problem, data = problem_and_data(name)
    size = batch_size or problem.batch_size
    split = split_data(problem, data, seed, size)
    np.testing.assert_array_equal(np.sort(np.concatenate([split.train, split.val, split.test])), np.arange(len(data.y)))
    assert len(split.train) % size == 0
    wanted = int((len(data.y) - len(split.test)) * (1 - problem.validation_share))
    assert wanted - size < len(split.train) <= wanted
    assert len(split.test) == np.ceil(problem.test_share * len(data.y))


@pytest.mark.parametrize("name", BUNDLED)
def test_the_test_split_is_sealed_and_the_others_are_drawn_by_seed(name: str) -> None:
    problem, data = problem_and_data(name)
    first, same, other = (split_data(problem, data, seed, problem.batch_size) for seed in (3, 3, 4))
    assert first.hash() == same.hash() != other.hash()
    np.testing.assert_array_equal(first.test, other.test)
    assert not np.array_equal(first.train, other.train)
    # Another batch size or fewer examples leave the test split alone too.
    np.testing.assert_array_equal(split_data(problem, data, 9, 10, 100).test, first.test)


def test_problems_on_one_data_set_share_its_sealed_test_split() -> None:
    """What one problem tunes on is never what another is tested on; their training splits are drawn apart."""
    problem, data = problem_and_data("mlp")
    ours = split_data(problem, data, 0, 32)
    for name in ("logistic_regression", "digits_cnn"):
        theirs = split_data(builtin_problem(name), data, 0, 32)
        np.testing.assert_array_equal(ours.test, theirs.test)
        assert not np.array_equal(ours.train, theirs.train)
    other = replace(problem, dataset="other digits")
    assert not np.array_equal(ours.test, split_data(other, data, 0, 32).test)
    alone, named = (replace(problem, dataset=dataset) for dataset in (None, "mlp"))
    np.testing.assert_array_equal(split_data(alone, data, 0, 32).test, split_data(named, data, 0, 32).test)


@pytest.mark.parametrize("name", ["logistic_regression", "slides_mlp", "mlp", "digits_cnn"])
def test_stratified_splits_keep_the_classes_shares(name: str) -> None:
    problem, data = problem_and_data(name)
    split = split_data(problem, data, 0, problem.batch_size)
    shares = np.bincount(data.y) / len(data.y)
    for part in (split.train, split.val, split.test):
        assert np.max(np.abs(np.bincount(data.y[part]) - shares * len(part))) < 1.5


def test_fewer_training_examples() -> None:
    problem, data = problem_and_data("mlp")
    few = split_data(problem, data, 0, 32, 500)
    assert (len(few.train), len(few.val), len(few.test)) == (480, 120, 599)
    assert len(np.intersect1d(few.train, few.val)) == 0
    assert len(np.intersect1d(np.concatenate([few.train, few.val]), few.test)) == 0
    everything = split_data(problem, data, 0, 32)
    assert split_data(problem, data, 0, 32, 10**6).hash() == everything.hash()


def test_a_canonical_test_split_is_kept() -> None:
    problem, data = problem_and_data("mlp")
    canonical = replace(data, test=np.array([30, 10, 20]))
    split = split_data(problem, canonical, 0, 32)
    np.testing.assert_array_equal(split.test, [10, 20, 30])
    assert len(split.train) + len(split.val) == len(data.y) - 3


def test_splits_that_cant_be_drawn() -> None:
    problem, data = problem_and_data("mlp")
    assert message(lambda: split_data(problem, data, 0, 2000)) == (
        "problem 'mlp': batch_size must fit into the training split; received batch_size=2000, with 958 training "
        "examples"
    )
    assert message(lambda: split_data(problem, data, 0, 32, 32)) == (
        "problem 'mlp': 1198 examples can't be split into 32 and 8 with equal shares of the classes: "
        "The test_size = 8 should be greater or equal to the number of classes = 10"
    )
    whole = replace(problem, stratified=False, validation_share=0.0)
    assert message(lambda: split_data(whole, data, 0, 1)) == (
        "problem 'mlp': batch_size must fit into the training split; received batch_size=1, with 1198 training examples"
    )


def test_split_hash_knows_which_part_an_example_is_in() -> None:
    a, b, c = (np.array(values) for values in ([1, 2], [3], [4]))
    assert Split(a, b, c).hash() == Split(a.astype(np.int32), b, c).hash()
    others = ((a, c, b), (b, a, c), (np.array([1]), np.array([2, 3]), c))
    assert len({Split(*parts).hash() for parts in ((a, b, c), *others)}) == 4


def test_sealed_data_have_no_test_example() -> None:
    _, data = problem_and_data("mlp")
    test = np.array([1, 2, 5])
    before = data.y.copy()
    sealed = data.sealed(test)
    assert (sealed.y[test] == 0).all()
    assert (sealed.x[test] == 0).all()
    others = np.setdiff1d(np.arange(len(data.y)), test)
    np.testing.assert_array_equal(sealed.y[others], before[others])
    np.testing.assert_array_equal(sealed.x[others], data.x[others])
    np.testing.assert_array_equal(data.y, before)
    assert data.x[test].any()


def test_data_hash_knows_every_array() -> None:
    x, y, weight = np.zeros((4, 2), np.float32), np.zeros(4, np.int32), np.ones(4, np.float32)
    data = Data(x, y, np.array([3]), weight)
    others = [
        replace(data, x=x + 1),
        replace(data, y=y + 1),
        replace(data, test=np.array([2])),
        replace(data, test=None),
        replace(data, sample_weight=2 * weight),
        replace(data, sample_weight=None),
        replace(data, x=x.reshape(4, 2, 1)),
        replace(data, x=x.astype(np.float64)),
    ]
    assert replace(data, x=x.copy()).hash() == data.hash()
    assert len({data.hash(), *(other.hash() for other in others)}) == 9


def test_inputs_come_in_a_fixed_order() -> None:
    a, b, y = np.zeros(2), np.ones(2), np.zeros(2)
    assert Data({"b": b, "a": a}, y).inputs() == [a, b] == Data({"a": a, "b": b}, y).inputs()
    assert Data((b, a), y).inputs() == [b, a]
    assert Data(a, y, None, b).arrays() == [a, y, b]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (Data(np.zeros((3, 2)), np.zeros(2)), "all arrays must have the same, positive length; received [2, 3]"),
        (Data(np.zeros((0, 2)), np.zeros(0)), "all arrays must have the same, positive length; received [0]"),
        (
            Data({"a": np.ones(1), "b": np.array([np.nan])}, np.zeros(1)),
            "x['b'] must be finite; received NaN or infinity",
        ),
        (Data(np.ones(1), [np.ones(1), np.array([np.inf])]), "y[1] must be finite; received NaN or infinity"),
        (
            Data([np.ones(3), np.ones(3)], np.zeros(2)),
            "all arrays must have the same, positive length; received [2, 3]. A list of arrays is one for each input or output; "
            "examples become one array by np.stack",
        ),
        (
            Data(np.ones(2), np.ones(2), None, np.ones((3, 1))),
            "all arrays must have the same, positive length; received [2, 3]",
        ),
        (
            Data(np.ones(3), np.ones(3), np.array([1, 3])),
            "test must hold distinct indices from 0 to 2, at least one and not all; received 2, of which 1 are valid",
        ),
        (
            Data(np.ones(3), np.ones(3), np.array([1, 1])),
            "test must hold distinct indices from 0 to 2, at least one and not all; received 2, of which 1 are valid",
        ),
        (
            Data(np.ones(3), np.ones(3), np.arange(3)),
            "test must hold distinct indices from 0 to 2, at least one and not all; received 3, of which 3 are valid",
        ),
        (
            Data(np.ones(3), np.ones(3), np.array([0.0, 1.0])),
            "test must hold distinct indices from 0 to 2, at least one and not all; received 2, of which 0 are valid",
        ),
        (
            Data(np.ones(3), np.ones(3), np.array([], int)),
            "test must hold distinct indices from 0 to 2, at least one and not all; received 0, of which 0 are valid",
        ),
    ],
)
def test_data_that_do_not_belong_together(data: Data, expected: str) -> None:
    assert message(lambda: data.check("problem 'mine'")) == f"problem 'mine': {expected}"


@pytest.mark.parametrize("test", [[2, 0], range(0, 3, 2), np.array([True, False, True]), pd.Index([0, 2])])
def test_a_test_split_is_indices_or_a_mask(test: Any) -> None:
    data = Data(np.ones(3), np.ones(3), test)
    data.check("problem 'mine'")
    assert sorted(data.test) == [0, 2] and len(data.hash()) == 64


@pytest.mark.parametrize("field", ["x", "y"])
def test_data_without_inputs_or_targets_say_which(field: str) -> None:
    data = Data(**{"x": np.ones(3), "y": np.ones(3), field: None})
    assert message(lambda: data.check("problem 'mine'")) == (
        f"problem 'mine': data must have inputs and targets; received {field}=None. Where fit takes x alone, as for an "
        "autoencoder or a loss that layers add, give x as y too"
    )


def test_tables_tensors_and_lists_become_arrays() -> None:
    """Whatever a reader's numbers come in; a list of arrays stays a list, of several inputs."""
    tensor = keras.ops.ones((2, 1))
    data = Data({"a": pd.DataFrame({"b": [1.0, 2.0]}), "c": [[1], [2]]}, pd.Series([3.0, 4.0]), None, tensor)
    data.check("problem 'mine'")
    assert {type(array) for array in data.arrays()} == {np.ndarray}
    assert data.x["a"].tolist() == [[1.0], [2.0]] and data.y.tolist() == [3.0, 4.0]
    assert [array.shape for array in Data([np.ones(2), tensor], np.ones(2)).x] == [(2,), (2, 1)]
    assert Data(pd.Series(["one", "other"]), np.ones(2)).x.dtype.kind == "U"


def test_rows_of_every_array_and_an_erased_test_split() -> None:
    data = Data({"a": np.arange(4), "b": np.arange(8).reshape(4, 2)}, (np.arange(4.0), np.arange(4)), None, np.ones(4))
    rows = data.rows(np.array([3, 1]))
    assert rows.x["a"].tolist() == [3, 1] and rows.x["b"].tolist() == [[6, 7], [2, 3]]
    assert [part.tolist() for part in rows.y] == [[3.0, 1.0], [3, 1]]
    assert len(rows) == 2 and rows.sample_weight.tolist() == [1, 1]
    sealed = data.sealed(np.array([1]))
    assert [array.tolist() for array in sealed.arrays()[:2]] == [[0, 0, 2, 3], [[0, 1], [0, 0], [4, 5], [6, 7]]]
    text = Data(np.array(["one", "two"]), np.ones(2)).sealed(np.array([1]))
    assert text.x.tolist() == ["one", ""]


def test_metrics_by_example() -> None:
    accuracy, error = builtin_problem("mlp").metric, builtin_problem("linear_regression").metric
    logits = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4]], np.float32)
    np.testing.assert_array_equal(accuracy.per_example(np.array([1, 1, 1]), logits), [1, 0, 1])
    predicted = np.array([[1.0], [3.0]], np.float32)
    np.testing.assert_allclose(error.per_example(np.array([[0.0], [1.0]], np.float32), predicted), [1, 4])
    assert (accuracy.name, accuracy.higher_is_better) == ("accuracy", True)
    assert (error.name, error.higher_is_better) == ("mean squared error", False)


def test_what_is_no_problem_is_refused() -> None:
    mlp = builtin_problem("mlp")
    assert "metric must be a Metric" in message(lambda: replace(mlp, metric="accuracy"))
    assert "metric must be a Metric" in message(lambda: replace(mlp, metrics=("auc",)))
    for name in ("accuracy", "loss"):
        same = Metric(name, True, "accuracy")
        repeated = message(partial(replace, mlp, metrics=(same,)))
        assert f"names that differ, also from 'loss'; repeated: {name}" in repeated
    without_targets = Data(np.zeros((8, 2)), None)
    assert "targets" in message(lambda: without_targets.check("problem 'p'"))


def test_several_outputs_are_split_without_regard_to_classes() -> None:
    """There is no one array of classes whose shares could be kept."""
    labels = np.arange(100) % 2
    data = Data(np.zeros((100, 3)), {"a": labels, "b": labels})
    split = split_data(replace(builtin_problem("mlp"), dataset=None), data, 0, 10)
    assert sorted(np.concatenate([split.train, split.val, split.test])) == [*range(100)]


@pytest.mark.parametrize("name", BUILTIN_PROBLEMS)
def test_a_problem_says_where_its_data_come_from_and_why_its_margin(name: str) -> None:
    problem = builtin_problem(name)
    assert problem.source and problem.margin_reason


def test_the_page_of_problems_has_them_all() -> None:
    page = (Path(__file__).parents[2] / "docs" / "problems.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.M)) == sorted(BUILTIN_PROBLEMS)
