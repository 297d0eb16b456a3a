"""The table of the literature's optimizers: whole, apart from Keras', its rates, its memory; and a package that imports late."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from descentlab.experiment.optimizer_config import OptimizerConfig
from descentlab.optimizers import literature
from descentlab.optimizers.build import OptimizerError, build, default_learning_rate, resolve_factory
from descentlab.optimizers.search_space import extended_trials
from descentlab.optimizers.table import LITERATURE, OPTIMIZERS, OptimizerEntry

pytestmark = pytest.mark.usefixtures("device")

MATRIX_AND_VECTOR = ((3, 4), (4,))
every_row = pytest.mark.parametrize("known", LITERATURE.values(), ids=lambda known: known.name)


def test_every_class_of_the_package_has_a_row() -> None:
    made = [type(build(known, "default", None)) for known in LITERATURE.values()]
    assert sorted(one.__name__ for one in made) == sorted(literature.__all__)
    assert all(one is getattr(literature, one.__name__) for one in made)
    assert {*LITERATURE} & {*OPTIMIZERS} == set()


@every_row
def test_the_default_rate_is_the_papers_as_is_the_center(known: OptimizerEntry) -> None:
    assert re.search(r"\b(19|20)\d\d\b", known.center_source)
    assert known.grid(7)[3] == known.center_learning_rate == default_learning_rate(known)
    assert float(build(known, "tuned", 0.125).learning_rate) == 0.125


@every_row
def test_state_bytes_per_parameter(known: OptimizerEntry) -> None:
    """Single precision: 4 bytes a slot; SOAP has two slots, and two matrices for each axis of a matrix."""
    import keras

    from descentlab.training.engine.stateless_optimizer import state_bytes

    optimizer = build(known, "default", known.center_learning_rate)
    optimizer.build([keras.Variable(np.ones(shape, np.float32)) for shape in MATRIX_AND_VECTOR])
    expected = 4 * (2 * 16 + 2 * (3 * 3 + 4 * 4)) / 16 if known.name == "soap" else 4 * (known.state_slots or 0)
    assert state_bytes(optimizer) / 16 == expected


@every_row
def test_every_extended_trial_can_be_built(known: OptimizerEntry) -> None:
    for trial in extended_trials(known, points=7, trials=10):
        assert build(known, "extended", trial.learning_rate, trial.hyperparameters).built is False


def test_a_hyperparameter_that_is_not_one_is_named() -> None:
    wrong = OptimizerConfig.model_validate({"optimizer": "prodigy", "growth": 2.0}).entry()
    with pytest.raises(OptimizerError, match=r"optimizer 'prodigy'.*growth"):
        build(wrong, "default", 1.0)


def test_a_wrong_type_is_named() -> None:
    wrong = OptimizerConfig.model_validate({"optimizer": "adopt", "clip": 1.0}).entry()
    with pytest.raises(OptimizerError, match="'clip' must be true or false; received 1.0"):
        build(wrong, "default", 0.001)


def test_the_lookahead_row_is_around_sgd_with_momentum() -> None:
    chosen = OptimizerConfig.model_validate({"optimizer": "lookahead", "momentum": 0.5, "k": 3, "nesterov": True})
    made = build(chosen.entry(), "default", 0.2)
    assert (made.k, made.alpha, made.inner_optimizer.momentum, made.inner_optimizer.nesterov) == (3, 0.5, 0.5, True)
    assert resolve_factory(chosen.entry()).__name__ == "lookahead_momentum"


def test_the_package_itself_needs_no_keras() -> None:
    """The Snakefile's imports pass it, and Keras takes seconds to import."""
    code = "import sys, descentlab.optimizers.literature as it; it.__all__; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="has no attribute 'Prodigi'; it has AdaBelief"):
        _ = literature.Prodigi
