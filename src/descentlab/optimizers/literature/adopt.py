"""ADOPT (Taniguchi et al. 2024): Adam that converges whatever its β₂."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="descentlab")
class ADOPT(keras.optimizers.Optimizer):
    """Adam that divides a gradient by the root of earlier squares only, and averages afterward.

    The rule::

        t = 0:  v ← g², and the weights stay
        t ≥ 1:  m ← β₁ m + (1 − β₁) clip(g / max(√v, ε), ±t^¼)
                w ← w − α m
                v ← β₂ v + (1 − β₂) g²

    Taniguchi et al. 2024, *ADOPT: Modified Adam Can Converge with Any β₂ with the Optimal Rate*. The clipping was
    added in the paper's revised version, because a first gradient near zero makes the next quotient huge; the authors
    recommend it and so it is the default here. ``clip=False`` is the first version.

    The defaults are the paper's. Nothing departs from it; weight decay is decoupled, and happens at t = 0 too.

    Args:
        learning_rate: α.
        beta_1: β₁, for the average of quotients.
        beta_2: β₂, for the average of squared gradients.
        epsilon: ε, the least divisor.
        clip: whether quotients are clipped to ±t^¼.
        **base_options: what every Keras optimizer takes, such as ``weight_decay``, ``clipnorm``, ``use_ema``.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.9999,
        epsilon: float = 1e-6,
        clip: bool = True,
        **base_options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **base_options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.clip = clip

    def build(self, variables: list[Any]) -> None:
        """Create m and v for every variable."""
        if self.built:
            return
        super().build(variables)
        self._averages, self._squares = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        place = self._get_variable_index(variable)
        gradient = ops.convert_to_tensor(gradient, variable.dtype)
        step = ops.cast(self.iterations, variable.dtype)
        begun = step > 0
        squares = ops.convert_to_tensor(self._squares[place])
        quotient = gradient / ops.maximum(ops.sqrt(squares), self.epsilon)
        if self.clip:
            bound = ops.power(step, 0.25)
            quotient = ops.clip(quotient, -bound, bound)
        average = self.beta_1 * self._averages[place] + (1 - self.beta_1) * quotient
        average = ops.where(begun, average, ops.zeros_like(average))
        square = ops.square(gradient)
        self.assign(self._averages[place], average)
        self.assign(self._squares[place], ops.where(begun, self.beta_2 * squares + (1 - self.beta_2) * square, square))
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * average)

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "clip": self.clip,
        }
