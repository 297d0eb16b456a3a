"""Prodigy (Mishchenko & Defazio 2023): Adam that estimates its own learning rate."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="descentlab")
class Prodigy(keras.optimizers.Optimizer):
    """Adam whose step is d, an estimate of the distance from the first weights w₀ to the solution that never falls.

    The rule::

        m ← β₁ m + (1 − β₁) d g
        v ← β₂ v + (1 − β₂) d² g²
        r ← √β₂ r + (1 − √β₂) γ d² ⟨g, w₀ − w⟩
        s ← √β₂ s + (1 − √β₂) γ d² g
        w ← w − γ d m / (√v + d ε)
        d ← max(d, r / ‖s‖₁)

    d, r and the norm ‖s‖₁ are of all variables together; all lines use the d from before the update. Mishchenko & Defazio 2023,
    *Prodigy: An Expeditiously Adaptive Parameter-Free Learner*, the form with Adam's step.

    There is no learning rate to tune: γ = 1, and may follow a schedule (the paper anneals it with a cosine). d₀ is a number that
    is surely too small. The other defaults are the paper's too. Two things depart from the form in which it is written: r is
    kept by variable, and r and s are divided by d₀², so that they don't vanish in single precision; neither changes their
    quotient. Weight decay is decoupled, w (1 − γ d λ) before the step, as in the authors' code.

    Args:
        learning_rate: γ, a factor that multiplies the estimated rate.
        beta_1: β₁, for the average of gradients.
        beta_2: β₂, for the average of squares; its root for those that d is estimated from.
        epsilon: ε.
        initial_d: d₀, the first estimate.
        **base_options: what every Keras optimizer takes, such as ``weight_decay``, ``clipnorm``, ``use_ema``.
    """

    def __init__(
        self,
        learning_rate: float = 1.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        initial_d: float = 1e-6,
        **base_options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **base_options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.initial_d = initial_d

    def build(self, variables: list[Any]) -> None:
        """Create m, v, s, w₀ and r for every variable, and one d."""
        if self.built:
            return
        super().build(variables)
        self._averages, self._squares, self._sums, self._starts = self.add_optimizer_variables(
            variables, ["momentum", "velocity", "sum", "start"]
        )
        for start, variable in zip(self._starts, variables, strict=True):
            if start is not None:
                self.assign(start, ops.copy(variable))
        self._products = [self.add_variable((), name="product") for _ in variables]
        self.d = self.add_variable((), initializer=keras.initializers.Constant(self.initial_d), name="d")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable with the present d."""
        place = self._get_variable_index(variable)
        kind = variable.dtype
        gradient = ops.convert_to_tensor(gradient, kind)
        rate, d = ops.cast(learning_rate, kind), ops.cast(self.d, kind)
        average = self.beta_1 * self._averages[place] + (1 - self.beta_1) * d * gradient
        squares = self.beta_2 * self._squares[place] + (1 - self.beta_2) * ops.square(d * gradient)
        root_beta_2 = self.beta_2**0.5
        weight = (1 - root_beta_2) * rate * ops.square(d / self.initial_d)
        product = ops.sum(gradient * (self._starts[place] - variable))
        self.assign(self._averages[place], average)
        self.assign(self._squares[place], squares)
        self.assign(self._products[place], root_beta_2 * self._products[place] + weight * product)
        self.assign(self._sums[place], root_beta_2 * self._sums[place] + weight * gradient)
        self.assign_sub(variable, rate * d * average / (ops.sqrt(squares) + d * self.epsilon))

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                share = (
                    ops.cast(self.learning_rate, variable.dtype) * ops.cast(self.d, variable.dtype) * self.weight_decay
                )
                self.assign_sub(variable, share * variable)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Update all variables, then d."""
        super().apply(grads, trainable_variables)
        norm = sum(ops.sum(ops.abs(part)) for part in self._sums if part is not None)
        estimate = ops.divide_no_nan(sum(ops.convert_to_tensor(part) for part in self._products), norm)
        self.assign(self.d, ops.maximum(self.d, estimate))

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "initial_d": self.initial_d,
        }
