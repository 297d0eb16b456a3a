"""Signum (Bernstein et al. 2018): steps by the sign of the averaged gradient."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="descentlab")
class Signum(keras.optimizers.Optimizer):
    """Moves every weight by exactly the learning rate, against the sign of its averaged gradient.

    The rule::

        m ← β m + (1 − β) g
        w ← w − γ sign(m)

    Bernstein, Wang, Azizzadenesheli & Anandkumar 2018, *signSGD: Compressed Optimisation for Non-Convex Problems*,
    algorithm 2, on one worker. A weight whose average is exactly zero stays.

    The defaults are those of the paper's experiments on ImageNet. Nothing departs from the paper; ``weight_decay`` λ shrinks
    the weights to w (1 − γ λ) before the step, which is the paper's γ λ w.

    Args:
        learning_rate: γ, how far each weight moves.
        momentum: β, from 0 (signSGD, algorithm 1) to below 1.
        **base_options: what every Keras optimizer takes, such as ``weight_decay``, ``clipnorm``, ``use_ema``.
    """

    def __init__(self, learning_rate: float = 1e-4, momentum: float = 0.9, **base_options: Any) -> None:
        super().__init__(learning_rate=learning_rate, **base_options)
        self.momentum = momentum

    def build(self, variables: list[Any]) -> None:
        """Create m for every variable."""
        if self.built:
            return
        super().build(variables)
        self._averages = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        average = self._averages[self._get_variable_index(variable)]
        gradient = ops.convert_to_tensor(gradient, variable.dtype)
        new = self.momentum * average + (1 - self.momentum) * gradient
        self.assign(average, new)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * ops.sign(new))

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``."""
        return {**super().get_config(), "momentum": self.momentum}
