"""A compiled loop of one optimizer's updates on constant gradients: the update alone, without forward and backward pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from descentlab.measurements.workload import Workload
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.table import OptimizerEntry
from descentlab.training.engine.stateless_optimizer import state_variables


class UpdateLoop:
    """Updates of a workload's weights by one optimizer.

    Several may share a workload, and thus its weights; each begins with the initial ones.

    Args:
        entry: the optimizer.
        workload: every weight has a dense gradient.
        mode: ``graph``; otherwise it is compiled by XLA.
    """

    def __init__(self, entry: OptimizerEntry, workload: Workload, mode: str) -> None:
        self._workload = workload
        workload.restore_weights()
        self._optimizer = build(entry, Arm.TUNED, entry.center_learning_rate)
        self._optimizer.build(workload.weights)
        self._initial_state = [np.asarray(variable).copy() for variable in state_variables(self._optimizer)]
        self._updates = self._compile(xla=mode != "graph")

    def begin(self) -> Callable[[int], float]:
        """Begin with the initial weights and a new optimizer's state.

        Returns:
            ``advance(updates)``, which does so many more updates, none or some, and returns the seconds until their result has
            arrived.
        """
        self._workload.restore_weights()
        for variable, value in zip(state_variables(self._optimizer), self._initial_state, strict=True):
            variable.assign(value)

        def advance(updates: int) -> float:
            started = time.perf_counter()
            self._updates(updates)
            return time.perf_counter() - started

        return advance

    def _compile(self, xla: bool) -> Callable[[int], float]:
        import tensorflow as tf

        optimizer, weights = self._optimizer, self._workload.weights
        # XLA would compute whatever depends only on constants once, before the loop. So it gets the gradients twice and picks
        # a copy by the turn's number; and it gets them as arguments, as a captured tensor is a constant too.
        constant = self._workload.gradients
        arguments = [tf.stack([gradient, gradient]) for gradient in constant] if xla else constant

        def updates(turns: Any, gradients: Any) -> Any:
            def turn(done: Any) -> tuple[Any]:
                optimizer.apply([pair[done % 2] for pair in gradients] if xla else gradients, weights)
                return (done + 1,)

            tf.while_loop(lambda done: done < turns, turn, (tf.constant(0),))
            return tf.reshape(weights[0].value, (-1,))[0]  # a call waits for this value

        # Without autograph, which would convert Keras' own code before it is traced, for seconds.
        traced = tf.function(updates, jit_compile=xla, autograph=False)
        concrete = traced.get_concrete_function(tf.constant(0), arguments)

        def call(turns: int) -> float:
            return float(concrete(tf.constant(turns), arguments).numpy())

        call(0)
        return call
