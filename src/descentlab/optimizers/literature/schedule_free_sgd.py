"""Schedule-free SGD (Defazio et al. 2024): averages of the iterates in place of a learning-rate schedule."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="descentlab")
class ScheduleFreeSGD(keras.optimizers.Optimizer):
    """SGD on z, with gradients taken at y between z and the average x of all z's.

    The rule::

        y = (1 − β) z + β x
        γ_t = γ min(1, t / warmup_steps)
        z ← z − γ_t (∇f(y) + λ y)
        x ← (1 − c) x + c z,   c = γ_t² / (γ₁² + … + γ_t²)

    Defazio et al. 2024, *The Road Less Scheduled*, with the warm-up and the weights c of its algorithm 1. The model holds y while
    it trains; the result is x. ``fit`` puts x into the model at its end, and descentlab evaluates x.

    The defaults are those of the authors' code; they advise rates 10 to 50 times those of SGD with momentum. Two things depart
    from it: x is kept in a variable of its own, where the authors compute it from y and z, so that training can go on after
    ``fit`` has left x in the model (the first gradient is then taken at x); and c uses γ_t as it is, not the largest so far.

    Args:
        learning_rate: γ; a schedule is allowed and not needed.
        momentum: β, from 0 (Polyak-Ruppert averaging) to 1 (primal averaging).
        warmup_steps: updates of the linear warm-up; 0 for none.
        **base_options: what every Keras optimizer takes, such as ``weight_decay`` (λ), ``clipnorm``, ``use_ema`` (of y, and then
            the result).
    """

    def __init__(
        self, learning_rate: float = 1.0, momentum: float = 0.9, warmup_steps: int = 0, **base_options: Any
    ) -> None:
        super().__init__(learning_rate=learning_rate, **base_options)
        self.momentum = momentum
        self.warmup_steps = warmup_steps

    def build(self, variables: list[Any]) -> None:
        """Create z, x and the sum of squared rates for every variable."""
        if self.built:
            return
        super().build(variables)
        self._iterates, self._averages = self.add_optimizer_variables(variables, ["z", "x"])
        for slots in (self._iterates, self._averages):
            for slot, variable in zip(slots, variables, strict=True):
                if slot is not None:
                    self.assign(slot, ops.copy(variable))
        self._weight_sums = [self.add_variable((), name="weight_sum") for _ in variables]

    def _warmed(self, learning_rate: Any, dtype: str) -> Any:
        """γ_t."""
        rate = ops.cast(learning_rate, dtype)
        if not self.warmup_steps:
            return rate
        return rate * ops.minimum(ops.cast(self.iterations + 1, dtype) / self.warmup_steps, 1.0)

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        """Shrink z by a share of y: the model's weights themselves are computed anew at every update."""
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                share = self.weight_decay * self._warmed(self.learning_rate, variable.dtype)
                self.assign_sub(self._iterates[self._get_variable_index(variable)], share * variable)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable, from y to the next y."""
        place = self._get_variable_index(variable)
        gradient = ops.convert_to_tensor(gradient, variable.dtype)
        rate = self._warmed(learning_rate, variable.dtype)
        weight_sum = self._weight_sums[place] + ops.square(rate)
        share = ops.divide_no_nan(ops.square(rate), weight_sum)
        iterate = self._iterates[place] - rate * gradient
        average = self._averages[place] + share * (iterate - self._averages[place])
        self.assign(self._weight_sums[place], weight_sum)
        self.assign(self._iterates[place], iterate)
        self.assign(self._averages[place], average)
        self.assign(variable, iterate + self.momentum * (average - iterate))

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Put x into the model's variables; ``fit`` calls this at its end."""
        if self.use_ema:
            super().finalize_variable_values(var_list)
            return
        for variable in var_list:
            average = self._averages[self._get_variable_index(variable)]
            if average is not None:
                variable.assign(average)

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``."""
        return {**super().get_config(), "momentum": self.momentum, "warmup_steps": self.warmup_steps}
