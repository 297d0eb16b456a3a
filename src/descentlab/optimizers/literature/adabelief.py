"""AdaBelief (Zhuang et al. 2020): Adam with steps that are long where gradients are as expected."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="descentlab")
class AdaBelief(keras.optimizers.Optimizer):
    """Adam that divides by how far gradients are from their average, rather than by how large they are.

    The rule::

        m ← β₁ m + (1 − β₁) g
        s ← β₂ s + (1 − β₂) (g − m)² + ε
        w ← w − α m̂ / (√ŝ + ε),   m̂ = m / (1 − β₁ᵗ),   ŝ = s / (1 − β₂ᵗ)

    Zhuang et al. 2020, *AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients*, algorithm 2.

    α, β₁ and β₂ are the paper's defaults, which are Adam's. ε is that of the authors' package since its version 0.1; the paper's
    is 1e-8. Nothing else departs from the paper: the rectified variant of the package is another rule, and weight decay is
    decoupled.

    Args:
        learning_rate: α.
        beta_1: β₁, for the average of gradients.
        beta_2: β₂, for the average of squared deviations.
        epsilon: ε, added to s at every update and once more to its root.
        **base_options: what every Keras optimizer takes, such as ``weight_decay``, ``clipnorm``, ``use_ema``.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-16,
        **base_options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **base_options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: list[Any]) -> None:
        """Create m and s for every variable."""
        if self.built:
            return
        super().build(variables)
        self._averages, self._deviations = self.add_optimizer_variables(variables, ["momentum", "deviation"])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        place = self._get_variable_index(variable)
        gradient = ops.convert_to_tensor(gradient, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        average = self.beta_1 * self._averages[place] + (1 - self.beta_1) * gradient
        deviation = self.beta_2 * self._deviations[place] + (1 - self.beta_2) * ops.square(gradient - average)
        deviation = deviation + self.epsilon
        self.assign(self._averages[place], average)
        self.assign(self._deviations[place], deviation)
        numerator = average / (1 - ops.power(ops.cast(self.beta_1, variable.dtype), step))
        root = ops.sqrt(deviation / (1 - ops.power(ops.cast(self.beta_2, variable.dtype), step)))
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * numerator / (root + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
