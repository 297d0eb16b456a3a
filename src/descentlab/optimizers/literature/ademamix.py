"""AdEMAMix (Pagliardini et al. 2024): Adam with a second, much slower average of gradients."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="descentlab")
class AdEMAMix(keras.optimizers.Optimizer):
    """Adam's step plus α times an average of gradients over thousands of updates.

    The rule::

        m₁ ← β₁ m₁ + (1 − β₁) g
        m₂ ← β₃(t) m₂ + (1 − β₃(t)) g
        v ← β₂ v + (1 − β₂) g²
        w ← w − η (m₁ / (1 − β₁ᵗ) + α(t) m₂) / (√(v / (1 − β₂ᵗ)) + ε)

    Pagliardini, Ablin & Grangier 2024, *The AdEMAMix Optimizer: Better, Faster, Older*, algorithm 1 with the schedulers of its
    section 3. With them α grows linearly from 0, and β₃ from β₁ so that the half-life of the average grows linearly::

        α(t) = min(t / T, 1) α
        β₃(t) = exp(ln β₁ ln β₃ / ((1 − t/T) ln β₃ + (t/T) ln β₁))   for t < T, then β₃

    The defaults are those of the authors' code, with α = 8 as in its example and in the paper's language models. In the paper T
    is the number of updates of the whole training. An optimizer doesn't know it, so by default there is no warm-up; then
    early training is less stable, which is why the paper has the schedulers. Nothing else departs from the paper: m₂ has no
    correction of its bias, and weight decay is decoupled.

    Args:
        learning_rate: η.
        beta_1: β₁, for the fast average.
        beta_2: β₂, for the average of squared gradients.
        beta_3: β₃, for the slow average.
        alpha: α, the slow average's weight.
        alpha_warmup_steps: T of α in updates; None for a constant α.
        beta_3_warmup_steps: T of β₃ in updates; None for a constant β₃.
        epsilon: ε.
        **base_options: what every Keras optimizer takes, such as ``weight_decay``, ``clipnorm``, ``use_ema``.

    Raises:
        ValueError: β₃ has a warm-up, and β₁ or β₃ is not between 0 and 1, so that it has no half-life.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        beta_3: float = 0.9999,
        alpha: float = 8.0,
        alpha_warmup_steps: int | None = None,
        beta_3_warmup_steps: int | None = None,
        epsilon: float = 1e-8,
        **base_options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **base_options)
        if beta_3_warmup_steps and not (0 < beta_1 < 1 and 0 < beta_3 < 1):
            raise ValueError(
                "AdEMAMix: with beta_3_warmup_steps, beta_1 and beta_3 must lie between 0 and 1; received "
                f"beta_1={beta_1}, beta_3={beta_3}"
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.beta_3 = beta_3
        self.alpha = alpha
        self.alpha_warmup_steps = alpha_warmup_steps
        self.beta_3_warmup_steps = beta_3_warmup_steps
        self.epsilon = epsilon

    def build(self, variables: list[Any]) -> None:
        """Create m₁, m₂ and v for every variable."""
        if self.built:
            return
        super().build(variables)
        self._fast, self._slow, self._squares = self.add_optimizer_variables(variables, ["fast", "slow", "velocity"])

    def alpha_at(self, step: Any) -> Any:
        """α(t); ``step`` is t, a number or tensor that counts updates from 1."""
        if not self.alpha_warmup_steps:
            return self.alpha
        return self.alpha * ops.minimum(step / self.alpha_warmup_steps, 1.0)

    def beta_3_at(self, step: Any) -> Any:
        """β₃(t); ``step`` is t, a number or tensor that counts updates from 1."""
        if not self.beta_3_warmup_steps:
            return self.beta_3
        share = ops.minimum(step / self.beta_3_warmup_steps, 1.0)
        first, last = math.log(self.beta_1), math.log(self.beta_3)
        return ops.exp(first * last / ((1 - share) * last + share * first))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        place = self._get_variable_index(variable)
        gradient = ops.convert_to_tensor(gradient, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        beta_3 = self.beta_3_at(step)
        fast = self.beta_1 * self._fast[place] + (1 - self.beta_1) * gradient
        slow = beta_3 * self._slow[place] + (1 - beta_3) * gradient
        squares = self.beta_2 * self._squares[place] + (1 - self.beta_2) * ops.square(gradient)
        for variable_of, value in ((self._fast, fast), (self._slow, slow), (self._squares, squares)):
            self.assign(variable_of[place], value)
        corrected = fast / (1 - ops.power(ops.cast(self.beta_1, variable.dtype), step))
        root = ops.sqrt(squares / (1 - ops.power(ops.cast(self.beta_2, variable.dtype), step)))
        direction = (corrected + self.alpha_at(step) * slow) / (root + self.epsilon)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * direction)

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "beta_3": self.beta_3,
            "alpha": self.alpha,
            "alpha_warmup_steps": self.alpha_warmup_steps,
            "beta_3_warmup_steps": self.beta_3_warmup_steps,
            "epsilon": self.epsilon,
        }
