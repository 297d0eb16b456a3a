"""Where Adam ends at the worst point and AMSGrad at the best: linear losses whose rare large gradients are right.

Reddi, Kale & Kumar 2018, *On the Convergence of Adam and Beyond*, theorem 1 and the synthetic experiment of section 5. The loss
of update t is g_t x, x is projected on [-1, 1] after every update, and the rate is α/√t. The gradients of a period sum to
more than 0, so -1 is best. Adam divides a large gradient by its own magnitude, so that the many small ones drive it to +1.

Keras' AMSGrad takes the largest v, as the paper does, and then corrects the bias of both averages, which the paper's doesn't.
(With a correction before the maximum, the first gradient would count as the largest v for ever.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data, Metric, Problem
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.member import Member
from descentlab.training.engine.trainer import Trainer

pytestmark = pytest.mark.usefixtures("device")

ALPHA = 0.5
# 1010 where t mod 101 is 1, else -10: they sum to 10.
RARE = [1010.0, *[-10.0] * 100]
BETA_2 = 0.99
UPDATES = 101 * 20_000  # AMSGrad needs 1.6 million for a distance of 1
LAST_PERIOD = range(UPDATES - 100, UPDATES + 1)


def linear_problem() -> Problem:
    """A model with one weight x and no bias; its input is the gradient, its output the loss."""
    import keras

    def project(weight: Any) -> Any:
        return keras.ops.clip(weight, -1, 1)

    def loss(y: Any, y_pred: Any) -> Any:
        del y
        return y_pred[:, 0]

    def build_model() -> Any:
        return keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_constraint=project, name="x")]
        )

    metric = Metric("linear loss", higher_is_better=False, per_example=loss)
    return Problem("linear", "Linear losses", build_model, lambda path: periodic_data(RARE), loss, metric)


def periodic_data(gradients: Sequence[float]) -> Data:
    """The gradients of one period as inputs; targets mean nothing."""
    inputs = np.array(gradients, np.float32)[:, None]
    return Data(inputs, np.zeros_like(inputs))


def rates(updates: int) -> np.ndarray:
    return (ALPHA / np.sqrt(np.arange(1, updates + 1))).astype(np.float32)


def positions(
    name: str,
    gradients: Sequence[float],
    starts: Sequence[float],
    evaluate_at: Sequence[int],
    betas: tuple[float, float],
    rates_of_updates: np.ndarray | None = None,
) -> tuple[np.ndarray, Trainer]:
    """Where each start is after some updates, shape (evaluations, starts), and what trained it.

    Args:
        name: of the table.
        gradients: of one period.
        starts: values of x to start from.
        evaluate_at: ascending numbers of updates.
        betas: β₁ and β₂.
        rates_of_updates: None for α/√t.
    """
    hyperparameters = {"beta_1": betas[0], "beta_2": betas[1], "epsilon": 0.0}  # the paper has no ε
    make = partial(build, OPTIMIZERS[name], "default", ALPHA, hyperparameters)
    trainer = Trainer(CompiledModel(linear_problem(), "xla", len(starts)), make)
    order = np.arange(len(gradients), dtype=np.int32)[:, None]
    each = rates(evaluate_at[-1]) if rates_of_updates is None else rates_of_updates
    members = [Member([np.full((1, 1), start, np.float32)], order, each, (order[0],)) for start in starts]
    reached = []
    for _ in trainer.train_members(periodic_data(gradients), members, list(evaluate_at)):
        reached.append([trainer.variables(member)[0].item() for member in range(len(starts))])
    return np.array(reached), trainer


@pytest.mark.parametrize("c", [3.0, 10.0])
def test_adam_is_back_at_the_worst_point_after_every_period(c: float) -> None:
    """Theorem 1: gradients C, -1, -1 with C > 2, β₁ = 0, β₂ = 1 / (1 + C²), α < √(1 - β₂): x is 1 after every third update.

    AMSGrad is at -1 after every large gradient; the two small ones lead away by at most α_t / √v̂ each, and v̂ is at least
    (1 - β₂) C².
    """
    gradients, betas, updates = [c, -1.0, -1.0], (0.0, 1 / (1 + c**2)), 600
    assert np.sqrt(1 - betas[1]) > ALPHA
    adam, _ = positions("adam", gradients, [1.0], range(updates + 1), betas)
    np.testing.assert_array_equal(adam[::3], 1)
    assert (adam[1::3] < 1).all()
    amsgrad, _ = positions("amsgrad", gradients, [1.0], [updates - 2, updates], betas)
    assert amsgrad[0] == -1
    away = 2 * ALPHA / np.sqrt((updates - 2) * (1 - betas[1]) * c**2)
    assert -1 < amsgrad[1] < -1 + away


def largest_v() -> float:
    """The v after the large gradient of a period, once its start is forgotten: 16,097, whose root is 127.

    From v = β₂¹⁰¹ v + (1 - β₂) (1010² + Σ β₂ᵏ 10²), k = 1 … 100.
    """
    squares = np.square([RARE[0], *RARE[:0:-1]])
    return float((1 - BETA_2) * np.sum(BETA_2 ** np.arange(101) * squares) / (1 - BETA_2**101))


@pytest.mark.parametrize("beta_1", [0.9, 0.0])
def test_adam_leaves_the_best_point_for_the_worst(beta_1: float) -> None:
    """From the best point, the middle and the worst; the large gradient's step from +1 is α/√t 1010/127 = 0.0028."""
    reached, _ = positions("adam", RARE, [-1.0, 0.0, 1.0], LAST_PERIOD, (beta_1, BETA_2))
    assert reached.min() > 0.995
    assert reached.max() == 1


@pytest.mark.parametrize("beta_1", [0.9, 0.0])
def test_amsgrad_ends_at_the_best_point(beta_1: float) -> None:
    """From the best point and from the middle; the small gradients' steps from -1 sum to 0.0028."""
    reached, trainer = positions("amsgrad", RARE, [-1.0, 0.0], LAST_PERIOD, (beta_1, BETA_2))
    assert reached.min() == -1
    assert reached.max() < -0.995
    *_, velocity_hat = trainer.state()
    assert velocity_hat.item() == pytest.approx(largest_v(), rel=1e-4)  # of a corrected v it would be 1010², the first


def test_amsgrad_drifts_as_fast_as_the_mean_gradient_over_the_largest_v() -> None:
    """Between its ends: Δx = -α (10/101) / √v̂ Σ 1/√t. Rounding in single precision takes 0.5 % here."""
    first, second = 101 * 3_000, 101 * 10_000
    ((before,), (after,)), _ = positions("amsgrad", RARE, [1.0], [first, second], (0.0, BETA_2))
    drift = np.mean(RARE) / np.sqrt(largest_v()) * np.sum(rates(second)[first:], dtype=np.float64)
    assert before - after == pytest.approx(drift, rel=0.01)


def paper_path(rates_of_updates: np.ndarray, betas: tuple[float, float]) -> np.ndarray:
    """Where x is after each update by the paper's algorithm 2, from 0: projected, and without a correction."""
    x = m = v = largest = 0.0
    path = []
    for update, rate in enumerate(rates_of_updates.astype(np.float64)):
        gradient = RARE[update % len(RARE)]
        m = betas[0] * m + (1 - betas[0]) * gradient
        v = betas[1] * v + (1 - betas[1]) * gradient**2
        largest = max(largest, v)
        x = min(1.0, max(-1.0, x - rate * m / np.sqrt(largest)))
        path.append(x)
    return np.array(path)


def test_the_corrected_bias_only_slows_the_first_updates() -> None:
    """By up to a half (0.47 at the 13th), by less than a thousandth from the 620th on.

    x is then 0.10 from the paper's, and stays so until both are at their end.
    """
    updates, betas = 1_010, (0.9, BETA_2)
    t = np.arange(1, updates + 1)
    correction = np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    assert correction.min() == pytest.approx(0.469, abs=1e-3)
    assert (correction[619:] > 0.999).all()
    plain, _ = positions("amsgrad", RARE, [0.0], t.tolist(), betas)
    undone, _ = positions("amsgrad", RARE, [0.0], t.tolist(), betas, (rates(updates) / correction).astype(np.float32))
    paper = paper_path(rates(updates), betas)
    np.testing.assert_allclose(plain[:, 0], paper_path(rates(updates) * correction, betas), atol=1e-4)
    np.testing.assert_allclose(undone[:, 0], paper, atol=1e-4)
    np.testing.assert_allclose((plain[:, 0] - paper)[[504, 1_009]], -0.1, atol=0.001)
