"""A physics-informed network (Raissi, Perdikaris & Karniadakis 2019) for Burgers' equation.

u_t + u u_x = ν u_xx for x in [-1, 1] and t in [0, 1], with u(0, x) = -sin(πx) and u(t, ±1) = 0. A network of (x, t) is trained to
satisfy the equation at collocation points, and the initial and boundary values at others. Such a loss sums terms with derivatives
of different orders, so it is badly conditioned, and plain gradient descent is slow (Wang, Teng & Perdikaris 2021, "Understanding
and mitigating gradient flow pathologies in physics-informed neural networks"): a problem that adaptive methods are expected to
win clearly. In the paper ν = 0.01/π, which makes the wave a shock; here it is 0.05/π, steep but learned within the budget.

The derivatives of the network with respect to its input are propagated forward beside its value, layer by layer, by the chain
rule (:class:`JetDense`), so a model is an ordinary one, whose weights have an ordinary gradient.

The metric is the error against the known solution on every split, so the learning rate is chosen by it too, at validation points.
Whoever solves an equation without a known solution would choose by the loss. The question here is how exact a solution an
optimizer can reach, and the loss never uses the solution inside.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem

VISCOSITY = 0.05 / math.pi
WIDTH, DEPTH = 20, 3
INTERIOR, INITIAL, BOUNDARY = 1600, 200, 200  # points to train and validate on
GRID_X, GRID_T = 65, 21  # points to test on
QUADRATURE = 100  # nodes of the reference solution


@keras.saving.register_keras_serializable("descentlab")
class Jet(keras.layers.Layer):
    """From points (x, t), shape (n, 2), to their value and derivatives (·, ∂x, ∂t, ∂xx), shape (n, 4, 2)."""

    def call(self, points: Any) -> Any:
        """The identity map's derivatives: 1 along its own axis, and 0."""
        zeros = keras.ops.zeros_like(points)
        along_x, along_t = (zeros + keras.ops.convert_to_tensor(row, points.dtype) for row in ([1.0, 0.0], [0.0, 1.0]))
        return keras.ops.stack([points, along_x, along_t, zeros], axis=1)


@keras.saving.register_keras_serializable("descentlab")
class JetDense(keras.layers.Layer):
    """A dense layer of the value and the derivatives (·, ∂x, ∂t, ∂xx) of its input, shape (n, 4, inputs) to (n, 4, units).

    With z = W h + b, the derivatives of z are W times those of h; those of tanh(z) follow by the chain rule from its own first
    and second derivative at z, 1 - tanh² and -2 tanh (1 - tanh²).

    Args:
        units: outputs.
        activated: whether tanh is applied; otherwise the layer is linear.
    """

    def __init__(self, units: int, activated: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.activated = units, activated

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Glorot's uniform weights and no bias, as of ``keras.layers.Dense``."""
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, jet: Any) -> Any:
        """The layer's value and derivatives."""
        z, z_x, z_t, z_xx = keras.ops.unstack(keras.ops.matmul(jet, self.kernel), 4, axis=1)
        z = z + self.bias
        if not self.activated:
            return keras.ops.stack([z, z_x, z_t, z_xx], axis=1)
        value = keras.ops.tanh(z)
        slope = 1 - value**2
        second = -2 * value * slope
        return keras.ops.stack([value, slope * z_x, slope * z_t, slope * z_xx + second * z_x**2], axis=1)

    def get_config(self) -> dict[str, Any]:
        """What Keras needs to make the layer again."""
        return {**super().get_config(), "units": self.units, "activated": self.activated}


@keras.saving.register_keras_serializable("descentlab")
class BurgersResidual(keras.layers.Layer):
    """From the network's value and derivatives, shape (n, 4, 1), to (u, u_t + u u_x - ν u_xx), shape (n, 2)."""

    def call(self, jet: Any) -> Any:
        """The solution and how far it is from satisfying the equation."""
        u, u_x, u_t, u_xx = keras.ops.unstack(jet, 4, axis=1)
        return keras.ops.concatenate([u, u_t + u * u_x - VISCOSITY * u_xx], axis=-1)


def build_model() -> keras.Model:
    """Three hidden layers of 20 tanh units; from (x, t) to the solution and the residual of the equation."""
    layers: list[keras.layers.Layer] = [keras.Input((2,)), Jet(name="jet")]
    layers += [JetDense(WIDTH, name=f"fc{number}") for number in range(1, DEPTH + 1)]
    return keras.Sequential(
        [*layers, JetDense(1, activated=False, name="u"), BurgersResidual(name="residual")], name="burgers"
    )


def solution(points: np.ndarray) -> np.ndarray:
    """The solution of the equation in closed form (Cole 1951; Hopf 1950), its integrals by Gauss-Hermite quadrature.

    Args:
        points: (x, t), float64 of shape (n, 2).

    Returns:
        float64, shape (n,).
    """
    nodes, weights = np.polynomial.hermite.hermgauss(QUADRATURE)
    x, t = points[:, :1], points[:, 1:]
    places = np.pi * (x - 2 * np.sqrt(VISCOSITY * t) * nodes)
    exponents = -np.cos(places) / (2 * np.pi * VISCOSITY)
    kernel = weights * np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return -(kernel * np.sin(places)).sum(axis=1) / kernel.sum(axis=1)


def grid() -> np.ndarray:
    """The points that a network is tested on: a grid with both ends of both axes, float64 of shape (65 · 21, 2)."""
    x, t = np.meshgrid(np.linspace(-1, 1, GRID_X), np.linspace(0, 1, GRID_T))
    return np.column_stack([x.ravel(), t.ravel()])


@functools.cache
def mean_size() -> float:
    """The mean of the solution's absolute value over the test points."""
    return float(np.abs(solution(grid())).mean())


def targets(points: np.ndarray) -> np.ndarray:
    """What a loss and a metric need to know of points, float32 of shape (n, 3): u, and the weights of two squared errors.

    The weight of the error in u is 0 inside, and that of the residual is 0 at t = 0 and x = ±1. Elsewhere they are n over the
    number of such points, so that the mean of the loss over all points is the sum of the two terms' means over their own.
    """
    given = (points[:, 1] == 0) | (np.abs(points[:, 0]) == 1)
    columns = [solution(points), given / given.mean(), ~given / (~given).mean()]
    return np.column_stack(columns).astype(np.float32)


def load_data(path: str | None) -> Data:
    """2,000 points to train and validate on, drawn uniformly, then the test grid's 1,365.

    Of the 2,000, 1,600 lie inside, 200 at t = 0 and 200 at x = ±1. The targets are those of :func:`targets`. Each point of them
    has the solution beside it, which the metric needs, but the loss uses it only where it is given by the problem.

    Args:
        path: ignored; the data are generated.
    """
    del path
    generator = np.random.default_rng(1915)  # the year of Bateman's paper on the equation
    x, t = generator.uniform(-1, 1, INTERIOR + INITIAL), generator.uniform(0, 1, INTERIOR + BOUNDARY)
    x = np.concatenate([x, np.repeat([-1.0, 1.0], BOUNDARY // 2)])
    t = np.concatenate([t[:INTERIOR], np.zeros(INITIAL), t[INTERIOR:]])
    points, tested = np.column_stack([x, t]), grid()
    y = np.concatenate([targets(points), targets(tested)])
    test = np.arange(len(points), len(points) + len(tested))
    return Data(np.concatenate([points, tested]).astype(np.float32), y, test)


def physics_loss(y: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Squared error where u is given, squared residual of the equation elsewhere, shape (n,).

    Args:
        y: of :func:`targets`, shape (n, 3).
        y_pred: u and the residual, shape (n, 2).
    """
    return y[:, 1] * (y_pred[:, 0] - y[:, 0]) ** 2 + y[:, 2] * y_pred[:, 1] ** 2


def relative_error(y: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Absolute errors of u over the mean absolute value of the solution, shape (n,): their mean is the relative L1 error."""
    return keras.ops.abs(y_pred[:, 0] - y[:, 0]) / mean_size()


PROBLEM = Problem(
    name="burgers",
    title=message("Physics-informed network (Burgers' equation, 921 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=physics_loss,
    metric=Metric(message("relative L1 error"), False, relative_error),
    epochs=1000,
    batch_size=64,
    margin=0.005,
    margin_reason=message(
        "half a hundredth of the solution's mean size, which no plot of it would show; the 1,365 test points leave the "
        "difference of two tuned optimizers a standard error of less than a tenth of that"
    ),
    stratified=False,
    count="fc1 60 + fc2 420 + fc3 420 + u 21 = 921",
    source=message("generated; the reference solution is Cole's and Hopf's"),
)
