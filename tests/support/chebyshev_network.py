"""A network on twenty points of a Chebyshev polynomial (Cohen et al. 2021, toy regression), and the sharpness of its loss.

The largest eigenvalue of a Hessian of 301 parameters is known to rounding: it is computed in double precision by automatic
differentiation of the formula, at weights that the engine has trained in single precision.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import eigsh

from descentlab.problems.base import Data, Metric, Problem
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.member import Member
from descentlab.training.engine.stateless_optimizer import state_variables
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

POINTS, DEGREE, UNITS = 20, 4, 100
EVERY = np.arange(POINTS)


@functools.cache
def chebyshev_data() -> Data:
    """Inputs evenly spaced on [-1, 1], targets T₄ of them; float32 of shape (20, 1)."""
    x = np.linspace(-1, 1, POINTS)[:, None]
    y = np.polynomial.chebyshev.chebval(x, [*[0.0] * DEGREE, 1.0])
    return Data(x.astype(np.float32), y.astype(np.float32))


def half_square(y: Any, y_pred: Any) -> Any:
    """½ (f(x) − y)² of each example: the papers' loss is its mean."""
    return (y_pred - y)[:, 0] ** 2 / 2


def network(start: str) -> Any:
    """1-100-1 with tanh.

    Args:
        start: ``glorot``, Keras' default, without biases; or ``uniform``: weights and biases within ±1/√(inputs of the
            layer), as PyTorch's layers start, with a sharpness about seven times as high.
    """
    import keras

    def dense(units: int, inputs: int, activation: str | None = None) -> Any:
        width = inputs**-0.5
        uniform = {
            name: keras.initializers.RandomUniform(-width, width) for name in ("kernel_initializer", "bias_initializer")
        }
        return keras.layers.Dense(units, activation, **(uniform if start == "uniform" else {}))

    return keras.Sequential([keras.Input((1,)), dense(UNITS, 1, "tanh"), dense(1, UNITS)])


def chebyshev_problem(start: str) -> Problem:
    """The regression from one of :func:`network`'s starts."""
    metric = Metric("half the squared error", higher_is_better=False, per_example=half_square)
    return Problem("chebyshev", "T₄", lambda: network(start), lambda path: chebyshev_data(), half_square, metric)


@dataclass(frozen=True)
class Snapshot:
    """One member after some updates.

    Attributes:
        weights: of all layers, float32 of shape (301,).
        state: the optimizer's slots of the weights' size, by name, of the same shape and order.
    """

    updates: int
    loss: float
    weights: np.ndarray
    state: dict[str, np.ndarray]


def flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """All values in one vector."""
    return np.concatenate([array.ravel() for array in arrays])


def train_full_batch(
    make_optimizer: Callable[[], Any], starts: Sequence[tuple[str, int, float]], evaluate_at: list[int]
) -> Iterator[list[Snapshot]]:
    """Train members side by side with constant rates, each update on all points; a snapshot of each at each evaluation.

    Args:
        make_optimizer: returns a new Keras optimizer.
        starts: start, seed and learning rate of each member.
        evaluate_at: ascending numbers of updates.
    """
    trainer = Trainer(CompiledModel(chebyshev_problem("glorot"), "xla", len(starts)), make_optimizer)
    order, updates = EVERY.astype(np.int32)[None, :], evaluate_at[-1]
    members = [
        Member(initial_variables(chebyshev_problem(start), seed), order, np.full(updates, rate, np.float32), (EVERY,))
        for start, seed, rate in starts
    ]
    names = [variable.path.rpartition("_")[2] for variable in state_variables(trainer.optimizer)]
    slots = [name for name in dict.fromkeys(names) if names.count(name) == len(trainer.model.trainable_variables)]
    for evaluations in trainer.train_members(chebyshev_data(), members, evaluate_at):
        snapshots = []
        for member, evaluation in enumerate(evaluations):
            state = trainer.state(member)
            kept = {slot: flat([v for name, v in zip(names, state, strict=True) if name == slot]) for slot in slots}
            (means,) = evaluation.means
            snapshots.append(Snapshot(evaluation.updates, means.loss, flat(trainer.variables(member)), kept))
        yield snapshots


@functools.cache
def compiled_derivatives() -> Any:
    """``weights -> loss, Hessian`` in double precision."""
    import tensorflow as tf

    x, y = (tf.constant(array.astype(np.float64)) for array in (chebyshev_data().x, chebyshev_data().y))

    @tf.function(jit_compile=True, autograph=False)
    def derivatives(weights: Any) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(weights)
            with tf.GradientTape() as inner:
                inner.watch(weights)
                kernel, bias, output, shift = tf.split(weights, [UNITS, UNITS, UNITS, 1])
                loss = tf.reduce_mean((tf.tanh(x * kernel + bias) @ output[:, None] + shift - y) ** 2) / 2
            gradient = inner.gradient(loss, weights)
        return loss, outer.jacobian(gradient, weights)

    return derivatives


def loss_and_hessian(weights: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss at these weights and its Hessian, shape (301, 301)."""
    import tensorflow as tf

    loss, hessian = compiled_derivatives()(tf.constant(weights.astype(np.float64)))
    return float(loss), np.asarray(hessian)


def sharpness(weights: np.ndarray, preconditioner: np.ndarray | None = None) -> float:
    """Largest eigenvalue of the Hessian H, or of P⁻¹H for a diagonal P of shape (301,)."""
    _, hessian = loss_and_hessian(weights)
    if preconditioner is not None:
        root = np.sqrt(preconditioner)  # P^-½ H P^-½ is symmetric, and has the eigenvalues of P⁻¹H
        hessian = hessian / root / root[:, None]
    (largest,) = eigsh(hessian, 1, which="LA", return_eigenvectors=False, v0=np.ones(len(hessian)))
    return float(largest)
