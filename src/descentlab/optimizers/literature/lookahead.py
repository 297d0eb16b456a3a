"""Lookahead (Zhang et al. 2019): slow weights that follow any optimizer's fast ones."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="descentlab")
class Lookahead(keras.optimizers.Optimizer):
    """Lets another optimizer make k updates, then moves only a part of the way and starts again from there.

    The rule::

        fast ← one update of the inner optimizer
        after every k updates:  slow ← slow + α (fast − slow),   fast ← slow

    Zhang, Lucas, Hinton & Ba 2019, *Lookahead Optimizer: k Steps Forward, 1 Step Back*, algorithm 1. The model holds the fast
    weights while it trains; the result is the slow ones. ``fit`` puts them into the model at its end, and descentlab evaluates
    them; before the first k updates are done, they are the initial weights.

    The defaults are those of the paper's experiments on ImageNet. The inner optimizer keeps its state when the fast weights move
    back, one of the choices that the paper compares. Nothing departs from the paper.

    Weight decay, clipping, averages and the learning rate are the inner optimizer's: give them to it. With its ``use_ema``, the
    result is that average of the fast weights. It must update the weights that it finds in the model, which Keras'
    ScheduleFreeAdamW and :class:`~descentlab.optimizers.literature.ScheduleFreeSGD` don't.

    Args:
        inner_optimizer: a Keras optimizer that is not yet built, its name, or its config.
        k: updates between two moves of the slow weights.
        alpha: α, the part of the way that the slow weights go.
        name: the optimizer's name.

    Raises:
        ValueError: k is not a positive whole number.

    Example::

        optimizer = Lookahead(keras.optimizers.Adam(0.001), k=5, alpha=0.5)
    """

    def __init__(self, inner_optimizer: Any, k: int = 5, alpha: float = 0.5, name: str | None = None) -> None:
        super().__init__(learning_rate=0.0, name=name)  # Keras requires a rate; the inner optimizer's counts
        if k < 1 or k != int(k):
            raise ValueError(f"Lookahead: k must be a positive whole number; received {k!r}")
        self.inner_optimizer = keras.optimizers.get(inner_optimizer)
        self.k = int(k)
        self.alpha = alpha

    def build(self, variables: list[Any]) -> None:
        """Create the inner optimizer's variables and the slow weights."""
        if self.built:
            return
        super().build(variables)
        self.inner_optimizer.build(variables)
        self._slow = self.add_optimizer_variables(variables, "slow")
        for slow, variable in zip(self._slow, variables, strict=True):
            if slow is not None:
                self.assign(slow, ops.copy(variable))

    @property
    def variables(self) -> list[Any]:
        """Its own variables and the inner optimizer's."""
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Updates of the inner optimizer."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """The inner optimizer divides its gradients by this scale."""
        return self.inner_optimizer.scale_loss(loss)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """One update of the inner optimizer; after every k, the slow weights follow."""
        if not self.built:
            self.build(list(trainable_variables))
        before = self.iterations + 0  # the counter itself would show the later number
        self.inner_optimizer.apply(grads, trainable_variables)
        after = self.iterations + 0
        # Under gradient accumulation most calls update nothing.
        follow = ops.logical_and(ops.not_equal(after, before), ops.equal(after % self.k, 0))
        for slow, variable in zip(self._slow, self._trainable_variables, strict=True):
            if slow is not None:
                moved = (1 - self.alpha) * slow + self.alpha * variable
                self.assign(slow, ops.where(follow, moved, slow))
                self.assign(variable, ops.where(follow, slow, variable))

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Put the slow weights into the model's variables; ``fit`` calls this at its end."""
        if self.inner_optimizer.use_ema:
            self.inner_optimizer.finalize_variable_values(var_list)
            return
        for variable in var_list:
            slow = self._slow[self._get_variable_index(variable)]
            if slow is not None:
                variable.assign(slow)

    def get_config(self) -> dict[str, Any]:
        """The arguments for ``from_config``, the inner optimizer as its serialized config."""
        inner = keras.optimizers.serialize(self.inner_optimizer)
        return {"name": self.name, "inner_optimizer": inner, "k": self.k, "alpha": self.alpha}


def lookahead_momentum(
    learning_rate: float = 0.1, momentum: float = 0.9, k: int = 5, alpha: float = 0.5, **inner_options: Any
) -> Lookahead:
    """Lookahead around SGD with momentum, as in the paper's experiments on images: what descentlab's ``lookahead`` is.

    Args:
        learning_rate: of SGD.
        momentum: of SGD.
        k: updates between two moves of the slow weights.
        alpha: the part of the way that the slow weights go.
        **inner_options: further arguments of ``keras.optimizers.SGD``, such as ``weight_decay``.
    """
    return Lookahead(keras.optimizers.SGD(learning_rate, momentum, **inner_options), k, alpha)
