"""Each optimizer's first updates, with Keras' defaults, beside its formula in NumPy (optimizer_references.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from descentlab.experiment.optimizer_config import OptimizerConfig
from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from support import optimizer_references as rules
from support.muon_reference import muon
from support.optimizer_trials import BOTH, TOLERANCE, amsgrad_rates, distance, trained
from support.schedule_free_reference import schedule_free_adamw

pytestmark = pytest.mark.usefixtures("device")

SLIDES_ADAGRAD = OptimizerConfig.model_validate(
    {"optimizer": "descentlab.optimizers.slides_adagrad:SlidesAdaGrad", "learning_rate": None}
).entry()


def muon_or_adamw(w: np.ndarray, gradients: Sequence[np.ndarray], alpha: float) -> list[np.ndarray]:
    """Keras' Muon: Muon for a matrix, AdamW for anything else, both with the decay of 0.004."""
    if w.ndim == 2:
        return muon(w, gradients, alpha, 0.95, 0.004)
    return rules.adam(w, gradients, alpha, 0.9, 0.999, 1e-7, hat=True, decay=0.004)


# What each row does with Keras' defaults: (weights, gradients, learning rate) -> weights after each update.
REFERENCES: dict[str, Callable[[np.ndarray, Sequence[np.ndarray], float], list[np.ndarray]]] = {
    "gd": rules.gradient_descent,
    "sgd": rules.gradient_descent,
    "momentum": lambda w, g, a: rules.momentum(w, g, a, 0.9)[0],
    "nesterov": lambda w, g, a: rules.nesterov(w, g, a, 0.9),
    "adagrad": lambda w, g, a: rules.adagrad(w, g, a, inside=1e-7, start=0.1),
    "rmsprop": lambda w, g, a: rules.rmsprop(w, g, a, 0.9, inside=1e-7),
    "adam": lambda w, g, a: rules.adam(w, g, a, 0.9, 0.999, 1e-7, hat=True),
    "amsgrad": lambda w, g, a: rules.amsgrad(w, g, amsgrad_rates(a, len(g)), 0.9, 0.999, 1e-7),
    "adamw": lambda w, g, a: rules.adam(w, g, a, 0.9, 0.999, 1e-7, hat=True, decay=0.004),
    "adamax": lambda w, g, a: rules.adamax(w, g, a, 0.9, 0.999, 1e-7),
    "nadam": lambda w, g, a: rules.nadam(w, g, a, 0.9, 0.999, 1e-7, exponent=1, scheduled_m=False),
    "adadelta": lambda w, g, a: rules.adadelta(w, g, a, 0.95, 1e-7),
    "adafactor": rules.adafactor,
    "ftrl": lambda w, g, a: rules.ftrl(w, g, a, start=0.1),
    "lion": lambda w, g, a: rules.lion(w, g, a, 0.9, 0.99),
    "lamb": lambda w, g, a: rules.lamb(w, g, a, 0.9, 0.999, 1e-7),
    "muon": muon_or_adamw,
    "schedule_free_adamw": lambda w, g, a: schedule_free_adamw(
        w, g, [a] * len(g), 0.9, 0.999, 1e-8, equal_weights=True, keras_recovery=True
    )[0],
}


def test_every_row_of_the_table_has_a_reference() -> None:
    assert set(REFERENCES) == set(OPTIMIZERS)


@pytest.mark.parametrize(("start", "gradients"), BOTH, ids=["matrix", "vector"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_equal_the_reference(name: str, start: np.ndarray, gradients: list[np.ndarray]) -> None:
    """Three updates with Keras' defaults, at the usual rate and at a tenth of it."""
    usual = OPTIMIZERS[name].center_learning_rate
    assert usual is not None
    for rate in (usual, usual / 10):
        expected = REFERENCES[name](start, gradients, rate)
        assert distance(build(OPTIMIZERS[name], "default", rate), expected, start, gradients) < TOLERANCE


@pytest.mark.parametrize(("start", "gradients"), BOTH, ids=["matrix", "vector"])
def test_the_slides_adagrad_is_exactly_the_slides(start: np.ndarray, gradients: list[np.ndarray]) -> None:
    expected = rules.slides_adagrad(start, gradients)
    assert distance(build(SLIDES_ADAGRAD, "default", None), expected, start, gradients) < 1e-6
    # ε is 1e-4 and outside the root: at a gradient of 1e-4 the first step is one half, not nearly one.
    path, _ = trained(build(SLIDES_ADAGRAD, "default", None), np.zeros(1), [np.array([1e-4])])
    np.testing.assert_allclose(path[0], [-0.5], rtol=1e-6)
