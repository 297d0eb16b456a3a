"""SOAP (Vyas et al. 2024): Adam in the eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="descentlab")
class SOAP(keras.optimizers.Optimizer):
    """Adam on a matrix's gradient G in coordinates that turn slowly with the gradients' own directions.

    The rule::

        M ← β₁ M + (1 − β₁) G
        V ← β₂ V + (1 − β₂) (Qₗᵀ G Qᵣ)²
        W ← W − η Qₗ (Qₗᵀ M̂ Qᵣ / (√V̂ + ε)) Qᵣᵀ
        L ← β₂ L + (1 − β₂) G Gᵀ,   R ← β₂ R + (1 − β₂) Gᵀ G
        every f updates:  Qₗ ← orthogonal factor of L Qₗ,   Qᵣ ← orthogonal factor of R Qᵣ

    Vyas et al. 2024, *SOAP: Improving and Stabilizing Shampoo using Adam*. The first update only finds the
    eigenvectors of the first L and R and moves no weight, so that no gradient is turned by itself. A vector keeps the identity as
    its basis: it is updated by Adam from the second update on. A tensor has a basis for each of its axes.

    As in the authors' code, and not in the paper's listing: M̂ and V̂ are corrected for their bias as in Adam, and a basis's
    directions, V along with them, are sorted by their estimated eigenvalues, the largest first, before they are orthogonalized.
    The defaults are that code's, too, but for weight decay, which is none here as in most of Keras.

    Directions in which the first gradient is zero have no order of their own. Their basis is what the eigensolver happens to
    find, so devices and compilers may follow different paths, all of them SOAP's.

    Args:
        learning_rate: η.
        beta_1: β₁, for the average of gradients.
        beta_2: β₂, for the average of squares, and for L and R.
        epsilon: ε.
        refresh_every: f, updates from one orthogonalization to the next.
        largest_basis: longer axes keep the identity as their basis.
        **base_options: what every Keras optimizer takes, such as ``weight_decay``, ``clipnorm``, ``use_ema``.
    """

    def __init__(
        self,
        learning_rate: float = 0.003,
        beta_1: float = 0.95,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        refresh_every: int = 10,
        largest_basis: int = 10_000,
        **base_options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **base_options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.refresh_every = refresh_every
        self.largest_basis = largest_basis

    def turned_axes(self, shape: Sequence[int]) -> list[int]:
        """The axes of a variable of this shape that have a basis of their own."""
        return [axis for axis, size in enumerate(shape) if len(shape) > 1 and 1 < size <= self.largest_basis]

    def build(self, variables: list[Any]) -> None:
        """Create M and V for every variable, and for each of its axes a basis and what it is the eigenbasis of."""
        if self.built:
            return
        super().build(variables)
        self._averages, self._squares = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        sizes = [[variable.shape[axis] for axis in self.turned_axes(variable.shape)] for variable in variables]
        self._factors = [[self.add_variable((size, size), name="factor") for size in of_one] for of_one in sizes]
        identity = keras.initializers.Identity()
        self._bases = [[self.add_variable((size, size), identity, name="basis") for size in one] for one in sizes]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        place = self._get_variable_index(variable)
        kind = variable.dtype
        gradient = ops.convert_to_tensor(gradient, kind)
        step = ops.cast(self.iterations, kind)
        begun = step > 0
        axes = self.turned_axes(variable.shape)
        bases = [ops.convert_to_tensor(basis) for basis in self._bases[place]]
        average = self.beta_1 * self._averages[place] + (1 - self.beta_1) * gradient
        turned = _multiplied(gradient, bases, axes)
        squares = self.beta_2 * self._squares[place] + (1 - self.beta_2) * ops.square(turned)
        average, squares = (ops.where(begun, value, ops.zeros_like(value)) for value in (average, squares))
        later = ops.maximum(step, 1)
        corrected = average / (1 - ops.power(ops.cast(self.beta_1, kind), later))
        root = ops.sqrt(squares / (1 - ops.power(ops.cast(self.beta_2, kind), later)))
        direction = _multiplied(corrected, bases, axes) / (root + self.epsilon)
        direction = _multiplied(direction, [ops.transpose(basis) for basis in bases], axes)
        self.assign(self._averages[place], average)
        self.assign_sub(variable, ops.cast(learning_rate, kind) * direction)
        factors = []
        for factor, axis in zip(self._factors[place], axes, strict=True):
            rows = ops.reshape(ops.moveaxis(gradient, axis, 0), (variable.shape[axis], -1))
            factors.append(self.beta_2 * factor + (1 - self.beta_2) * ops.matmul(rows, ops.transpose(rows)))
        if axes:
            bases, squares = self._refreshed(factors, bases, squares, axes)
        self.assign(self._squares[place], squares)
        for slots, values in ((self._factors[place], factors), (self._bases[place], bases)):
            for slot, value in zip(slots, values, strict=True):
                self.assign(slot, value)

    def _refreshed(self, factors: list[Any], bases: list[Any], squares: Any, axes: list[int]) -> tuple[list[Any], Any]:
        """The bases and V after this update: the first finds eigenvectors, every f-th turns the bases toward them."""

        def first() -> Any:
            return [ops.flip(ops.linalg.eigh(factor)[1], 1) for factor in factors], squares

        def turned() -> Any:
            new, sorted_squares = [], squares
            for factor, basis, axis in zip(factors, bases, axes, strict=True):
                product = ops.matmul(factor, basis)
                order = ops.argsort(-ops.sum(basis * product, axis=0))
                sorted_squares = ops.take(sorted_squares, order, axis)
                new.append(ops.linalg.qr(ops.take(product, order, 1))[0])
            return new, sorted_squares

        due = ops.equal(self.iterations % self.refresh_every, 0)
        at_first = ops.equal(self.iterations, 0)
        return ops.cond(due, lambda: ops.cond(at_first, first, turned), lambda: (bases, squares))

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "refresh_every": self.refresh_every,
            "largest_basis": self.largest_basis,
        }


def _multiplied(tensor: Any, matrices: Sequence[Any], axes: Sequence[int]) -> Any:
    """The tensor with each of these axes multiplied by its matrix: the sum over i of tensor[… i …] matrix[i, j]."""
    for matrix, axis in zip(matrices, axes, strict=True):
        tensor = ops.moveaxis(ops.tensordot(tensor, matrix, axes=[[axis], [0]]), -1, axis)
    return tensor
