"""AdaGrad exactly as the slides write it: the example of "fácil implementar nuevos" (easy to implement a new one).

In a config: ``{optimizer: "descentlab.optimizers.slides_adagrad:SlidesAdaGrad", learning_rate: null}``.
"""

from __future__ import annotations

from typing import Any

import keras


class SlidesAdaGrad(keras.optimizers.Optimizer):
    """``w = w - dw / (sqrt(gradient_history) + eps)``: no learning rate, and eps = 1e-4 outside the root."""

    def __init__(self, name: str = "slides_adagrad") -> None:
        super().__init__(learning_rate=1.0, name=name)  # Keras requires a rate; update_step ignores it

    def build(self, variables: list[Any]) -> None:
        """``gradient_history=np.zeros_like(dw)``."""
        super().build(variables)
        self.gradient_history = self.add_optimizer_variables(variables, "gradient_history")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one weight array."""
        gradient_history = self.gradient_history[self._get_variable_index(variable)]
        self.assign_add(gradient_history, gradient**2)
        self.assign_sub(variable, gradient / (keras.ops.sqrt(gradient_history) + 1e-4))

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``."""
        return {"name": self.name}
