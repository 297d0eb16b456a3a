"""The table of optimizers: whole, its grid, its arms, its memory; and what is said of one that can't be made."""

from __future__ import annotations

import inspect
import re
import sys
import types
from typing import Any

import numpy as np
import pytest

from descentlab.experiment.optimizer_config import OptimizerConfig
from descentlab.optimizers.build import (
    REFUSED_HYPERPARAMETERS,
    OptimizerError,
    arm_hyperparameters,
    build,
    default_learning_rate,
)
from descentlab.optimizers.evaluation_weights import evaluation_weights
from descentlab.optimizers.import_path import ImportPathError, import_object, suggestion
from descentlab.optimizers.table import ASSUMED, EXCLUDED, OPTIMIZERS, OptimizerEntry
from support.optimizer_trials import slot

pytestmark = pytest.mark.usefixtures("device")

SLIDES_ADAGRAD = OptimizerConfig.model_validate(
    {"optimizer": "descentlab.optimizers.slides_adagrad:SlidesAdaGrad", "learning_rate": None}
).entry()
SGD_VALID = (
    "learning_rate, momentum, nesterov, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, "
    "ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name"
)


def entry(factory: str, hyperparameters: dict[str, Any] | None = None, center: float | None = 0.1) -> OptimizerEntry:
    return OptimizerEntry("mine", factory, center, ASSUMED, None, "", hyperparameters or {})


def message(wanted: OptimizerEntry, rate: float = 0.1, error: type[ValueError] = OptimizerError) -> str:
    with pytest.raises(error) as caught:
        build(wanted, "default", rate)
    return str(caught.value)


def test_every_public_class_of_keras_is_listed_once() -> None:
    """Fails when Keras adds an optimizer: then give it an entry, or exclude it with a reason."""
    import keras

    public = {name for name, value in vars(keras.optimizers).items() if inspect.isclass(value)}
    listed = {known.factory for known in OPTIMIZERS.values()}
    assert listed & set(EXCLUDED) == set()
    assert listed | set(EXCLUDED) == public
    assert all(reason for reason in EXCLUDED.values())


@pytest.mark.parametrize("points", [1, 3, 7])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_grid_is_half_a_decade_apart_around_the_center(name: str, points: int) -> None:
    grid = OPTIMIZERS[name].grid(points)
    assert len(grid) == points
    assert grid[points // 2] == OPTIMIZERS[name].center_learning_rate
    # Rates are rounded to three digits, so a step is half a decade to 0.5 %.
    np.testing.assert_allclose(np.diff(np.log10(grid)), 0.5, atol=0.0045)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_source_recommends_the_center(name: str) -> None:
    assert re.search(r"\b(19|20)\d\d\b", OPTIMIZERS[name].center_source)


def test_grid_without_a_learning_rate_is_one_point() -> None:
    assert SLIDES_ADAGRAD.grid(7) == [None]
    assert default_learning_rate(SLIDES_ADAGRAD) is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_default_rate_is_that_of_keras(name: str) -> None:
    import keras

    known = OPTIMIZERS[name]
    optimizer = getattr(keras.optimizers, known.factory)()
    assert float(optimizer.learning_rate) == pytest.approx(default_learning_rate(known))


def test_default_rate_of_an_import_path() -> None:
    assert default_learning_rate(entry("keras.optimizers:Adam", center=0.5)) == 0.001
    assert default_learning_rate(entry("collections:OrderedDict", center=0.5)) == 0.5
    assert (
        default_learning_rate(
            OptimizerEntry("mine", "keras.optimizers:Adam", 0.5, ASSUMED, None, "", default_learning_rate=0.2)
        )
        == 0.2
    )


def test_both_arms_have_keras_own_hyperparameters() -> None:
    """Weight decay, too, which is 0.004 in AdamW and Muon and none in the others (docs/protocol.md, "Arms")."""
    for known in OPTIMIZERS.values():
        assert arm_hyperparameters(known, "default") == arm_hyperparameters(known, "tuned") == known.hyperparameters
    decays = {name: build(known, "tuned", 0.01).weight_decay for name, known in OPTIMIZERS.items()}
    assert {name: decay for name, decay in decays.items() if decay is not None} == {"adamw": 0.004, "muon": 0.004}


def test_weight_decay_of_the_tuned_arm_can_be_declared_for_any() -> None:
    chosen = OptimizerConfig.model_validate({"optimizer": "adam", "tuned_weight_decay": 0.02}).entry()
    assert arm_hyperparameters(chosen, "default") == {}
    assert arm_hyperparameters(chosen, "tuned") == {"weight_decay": 0.02}
    both = OptimizerConfig.model_validate({"optimizer": "muon", "tuned_weight_decay": 0.0}).entry()
    assert arm_hyperparameters(both, "tuned") == {"weight_decay": 0.0, "adam_weight_decay": 0.0}


MATRIX_AND_VECTOR = ((3, 4), (4,))
# Slots are of the weights' size; Adafactor keeps a row and a column besides, Muon a second slot for what is no matrix.
BYTES = {known.name: 4.0 * known.state_slots for known in OPTIMIZERS.values() if known.state_slots is not None} | {
    "adafactor": 4.0 * (16 + 3 + 4) / 16,
    "muon": 4.0 * (12 + 2 * 4) / 16,
    "slides_ada_grad": 4.0,
}


@pytest.mark.parametrize("known", [*OPTIMIZERS.values(), SLIDES_ADAGRAD], ids=lambda known: known.name)
def test_state_bytes_per_parameter(known: OptimizerEntry) -> None:
    """Single precision: 4 bytes a slot; counters and other scalars are not counted."""
    import keras

    from descentlab.training.engine.stateless_optimizer import state_bytes

    optimizer = build(known, "default", known.center_learning_rate)
    optimizer.build([keras.Variable(np.ones(shape, np.float32)) for shape in MATRIX_AND_VECTOR])
    assert state_bytes(optimizer) / 16 == BYTES[known.name]


@pytest.mark.parametrize("known", [*OPTIMIZERS.values(), SLIDES_ADAGRAD], ids=lambda known: known.name)
def test_loss_falls_on_a_quadratic(known: OptimizerEntry) -> None:
    """f(w) = ½ Σ c (w − w*)² with curvatures from 0.5 to 1.5, at a rate of the grid: to a fifth in 100 updates.

    From weights of 1, because the steps of Adafactor and Lamb are shares of the weights: from 0 they hardly move.
    """
    import keras

    above = {"lion": 2, "ftrl": 3}.get(known.name, 0)  # half-decades: their centers are for many more updates
    optimizer = build(known, "default", known.rate_at(above) if above else known.center_learning_rate)
    curvature = np.linspace(0.5, 1.5, 6).reshape(2, 3).astype(np.float32)
    target = 1 + np.array([[0.1, -0.05, 0.06], [-0.08, 0.07, -0.03]], np.float32)
    weights = keras.Variable(np.ones((2, 3), np.float32))
    optimizer.build([weights])

    def loss() -> float:
        return float(np.sum(0.5 * curvature * (np.asarray(weights) - target) ** 2))

    start = loss()
    for _ in range(100):
        optimizer.apply([keras.ops.convert_to_tensor(curvature * (np.asarray(weights) - target))], [weights])
    assert loss() < 0.2 * start


@pytest.mark.parametrize("known", [*OPTIMIZERS.values(), SLIDES_ADAGRAD], ids=lambda known: known.name)
def test_config_round_trip_gives_the_same_updates(known: OptimizerEntry) -> None:
    """Bit for bit, in the tuned arm (which has weight decay) and with a rate that is no default."""
    import keras

    first = build(known, "tuned", 0.0123 if known.center_learning_rate else None)
    second = type(first).from_config(first.get_config())
    start = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    gradient = keras.ops.convert_to_tensor(np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32))
    weights = []
    for optimizer in (first, second):
        variable = keras.Variable(start)
        optimizer.build([variable])
        for _ in range(2):
            optimizer.apply([gradient], [variable])
        weights.append(np.asarray(variable))
    assert not np.array_equal(weights[0], start)
    np.testing.assert_array_equal(*weights)


def test_evaluation_weights_are_those_trained_but_for_schedule_free() -> None:
    import keras

    for name, known in OPTIMIZERS.items():
        weights = keras.Variable(np.ones(2, np.float32))
        optimizer = build(known, "default", 0.01)
        optimizer.build([weights])
        assert (evaluation_weights(optimizer, [weights]) is None) == (name != "schedule_free_adamw")


def test_evaluation_weights_solve_for_the_average() -> None:
    """By hand: y = (1 − β₁) z + β₁ x with x = (1, 2), z = (3, −1) and β₁ = 0.9 is y = (1.2, 1.7)."""
    import keras

    optimizer = build(OPTIMIZERS["schedule_free_adamw"], "default", 0.01)
    y = keras.Variable(np.array([1.2, 1.7], np.float32))
    optimizer.build([y])
    slot(optimizer, "momentum").assign([3.0, -1.0])
    averaged = evaluation_weights(optimizer, [y])
    assert averaged is not None
    np.testing.assert_allclose(averaged[0], [1.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize("word", ["lr", "alpha"])
def test_the_slides_words_for_the_learning_rate(word: str) -> None:
    assert message(entry("SGD", {word: 0.1})) == (
        f"optimizer 'mine': unknown hyperparameter '{word}', did you mean 'learning_rate'? Valid: {SGD_VALID}"
    )


def test_unknown_hyperparameters() -> None:
    assert message(entry("SGD", {"momentun": 0.9})) == (
        f"optimizer 'mine': unknown hyperparameter 'momentun', did you mean 'momentum'? Valid: {SGD_VALID}"
    )
    assert message(entry("SGD", {"zzz": 1})) == f"optimizer 'mine': unknown hyperparameter 'zzz'. Valid: {SGD_VALID}"
    no_epsilon = entry("descentlab.optimizers.slides_adagrad:SlidesAdaGrad", {"epsilon": 1.0}, None)
    assert message(no_epsilon, float("nan")) == ("optimizer 'mine': unknown hyperparameter 'epsilon'. Valid: name")


@pytest.mark.parametrize("name", REFUSED_HYPERPARAMETERS)
def test_refused_hyperparameters(name: str) -> None:
    assert message(entry("SGD", {name: 2})) == (
        f"optimizer 'mine': '{name}' is not supported: {REFUSED_HYPERPARAMETERS[name]}"
    )


def test_what_keras_objects_to_is_named() -> None:
    assert message(entry("SGD", {"momentum": 2.0})) == (
        "optimizer 'mine': SGD could not be built with {'momentum': 2.0, 'learning_rate': 0.1}: "
        "ValueError: `momentum` must be a float between [0, 1]"
    )


def test_an_import_path_to_a_function_of_any_hyperparameter(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    module = types.ModuleType("reader_optimizers")
    module.__dict__["make"] = lambda learning_rate, **rest: keras.optimizers.SGD(learning_rate, rest["friction"])
    module.__dict__["ragged"] = lambda learning_rate: int("one\n  two")
    monkeypatch.setitem(sys.modules, "reader_optimizers", module)
    made = build(entry("reader_optimizers:make", {"friction": 0.5}), "default", 0.25)
    assert (float(made.learning_rate), made.momentum) == (0.25, 0.5)
    assert message(entry("reader_optimizers:ragged")).startswith(
        "optimizer 'mine': reader_optimizers:ragged could not be built with {'learning_rate': 0.1}: "
        "ValueError: invalid literal for int() with base 10: 'one\\n two' (line "
    )


def test_import_paths_that_yield_no_optimizer() -> None:
    assert message(entry("nowhere.module:Thing"), error=ImportPathError) == (
        "optimizer 'mine': 'nowhere.module:Thing' can't be imported: ModuleNotFoundError: No module named 'nowhere'"
    )
    assert message(entry("descentlab:Adam"), error=ImportPathError) == (
        "optimizer 'mine': an import path is 'package.module:name'; module 'descentlab' has no 'Adam'. It has: "
        + ", ".join(sorted(name for name in vars(sys.modules["descentlab"]) if not name.startswith("_")))
    )
    assert message(entry("json:__name__"), error=ImportPathError) == (
        "optimizer 'mine': an import path must name a class or function; 'json:__name__' is a str"
    )
    assert message(entry("collections:OrderedDict")) == (
        "optimizer 'mine': 'collections:OrderedDict' must return a keras.optimizers.Optimizer; it returned OrderedDict"
    )
    assert message(entry("fractions:Fraction")) == (
        "optimizer 'mine': fractions:Fraction could not be built with {'learning_rate': 0.1}: TypeError: "
        "Fraction.__new__() got an unexpected keyword argument 'learning_rate'"
    )


def test_import_object_suggests_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("reader_module")
    module.__dict__.update(Adamant=1, other=2, _private=3)
    monkeypatch.setitem(sys.modules, "reader_module", module)
    with pytest.raises(ImportPathError) as caught:
        import_object("reader_module:Adamnt", "here")
    assert str(caught.value) == (
        "here: an import path is 'package.module:name'; module 'reader_module' has no 'Adamnt', did you mean "
        "'Adamant'? It has: Adamant, other"
    )


def test_suggestion() -> None:
    assert suggestion("ADAMW_", ["adam", "AdamW", "sgd"]) == ", did you mean 'AdamW'?"
    assert suggestion("zzz", ["adam"]) == "."
