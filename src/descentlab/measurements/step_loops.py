"""Compiled loops of one optimizer's updates and whole steps on models of several sizes: what step-cost timing runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from descentlab.experiment.plan import TrainingPlan
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import PLAIN
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry
from descentlab.problems.base import Data, Problem
from descentlab.training.engine.convolution import with_patches
from descentlab.training.engine.modes import choose_mode
from descentlab.training.engine.stateless_optimizer import state_bytes, state_variables
from descentlab.training.engine.trainable import compile_loss

MODELS = ("slides_mlp", "mlp", "slides_cnn")
LARGE_MODEL = "large"
BATCH_SIZE = 32
REPEATED = 10  # updates on one gradient, to measure their size: a momentum of 0.9 then has two thirds of its speed


@dataclass(frozen=True)
class Workload:
    """A model at its initial weights, one batch, and the gradients of its loss there.

    Attributes:
        x, y: the batch, on the device.
        batch_size: number of its examples.
        gradients: one tensor per trainable variable, of its shape.
        initial: values of the trainable variables.
        called: computes the model's outputs in this mode, with the model's variables.
        mode: ``xla``, ``graph`` or ``patches``.
    """

    name: str
    model: Any
    x: Any
    y: Any
    batch_size: int
    gradients: list[Any]
    initial: list[np.ndarray]
    called: Any
    mode: str

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(value.size for value in self.initial)


def planned_entries(plan: TrainingPlan) -> list[OptimizerEntry]:
    """An experiment's optimizers, each once, and plain SGD, which the others are compared with."""
    entries = {PLAIN: OPTIMIZERS[PLAIN]}
    entries |= {entry.name: entry for problem in plan.config.problems for entry in plan.config.entries(problem)}
    return list(entries.values())


def build_large_model() -> Any:
    """A dense network 784-2048-4096-10 of 10,041,354 parameters."""
    import keras

    layers = [keras.Input((784,)), *(keras.layers.Dense(units, activation="relu") for units in (2048, 4096))]
    return keras.Sequential([*layers, keras.layers.Dense(10)], name=LARGE_MODEL)


def build_workload(name: str, seed: int, device: str) -> Workload:
    """The model ``name`` with random weights and one batch of its problem (random images if its data would need a download).

    Raises:
        ValueError: the model is unknown.
    """
    from descentlab.problems.builtin import mlp, slides_cnn, slides_mlp

    if name == LARGE_MODEL:
        problem = replace(mlp.PROBLEM, build_model=build_large_model)
    elif name in MODELS:
        problem = {"slides_mlp": slides_mlp, "mlp": mlp, "slides_cnn": slides_cnn}[name].PROBLEM
    else:
        raise ValueError(f"a model must be one of {', '.join((*MODELS, LARGE_MODEL))}; received '{name}'")
    if name in ("slides_mlp", "mlp"):
        return problem_workload(name, problem, problem.load_data(None), BATCH_SIZE, seed, device)
    generator = np.random.default_rng(seed)
    shape = (BATCH_SIZE, *problem.build_model().input_shape[1:])
    images = generator.random(shape, dtype=np.float32)
    data = Data(images, generator.integers(0, 10, BATCH_SIZE).astype(np.int32))
    return problem_workload(name, problem, data, BATCH_SIZE, seed, device)


def problem_workload(name: str, problem: Problem, data: Data, batch_size: int, seed: int, device: str) -> Workload:
    """A problem's model with random weights and one random batch of its data."""
    import keras
    import tensorflow as tf

    batch = np.random.default_rng(seed).choice(len(data.y), batch_size, replace=False)
    keras.utils.set_random_seed(seed)
    model = problem.build_model()
    compile_loss(problem, model)
    x, y = tf.nest.map_structure(lambda array: tf.constant(array[batch]), data.x), tf.constant(data.y[batch])
    mode = choose_mode(model, device, batch_size)
    called = with_patches(model) if mode == "patches" else model
    with tf.GradientTape() as tape:
        value = model.compute_loss(x, y, called(x, training=True))
    gradients = tape.gradient(value, model.trainable_variables)
    initial = [np.asarray(variable).copy() for variable in model.trainable_variables]
    return Workload(name, model, x, y, batch_size, gradients, initial, called, mode)


class CompiledLoops:
    """One optimizer's two compiled loops on a workload: ``update(turns)`` and ``step(turns)``, both synchronized.

    Several may share a workload, and thus its weights; :meth:`start` removes what another left there. ``update`` is None if
    it is not requested, as compiling it takes longer than timing it.
    """

    def __init__(self, entry: OptimizerEntry, workload: Workload, with_update: bool = True) -> None:
        self.entry = entry
        self._with_update = with_update
        self._workload = workload
        self._restore_weights()  # ScheduleFreeAdamW copies the weights into its state
        self._optimizer = build(entry, Arm.TUNED, entry.center_learning_rate)
        self._optimizer.build(workload.model.trainable_variables)
        self._initial_state = [np.asarray(variable).copy() for variable in state_variables(self._optimizer)]
        self.state_bytes = state_bytes(self._optimizer)
        self.update, self.step = self._compile()

    def _restore_weights(self) -> None:
        for variable, value in zip(self._workload.model.trainable_variables, self._workload.initial, strict=True):
            variable.assign(value)

    def start(self) -> None:
        """Reset the model to its initial weights and the optimizer to a new one's state."""
        self._restore_weights()
        for variable, value in zip(state_variables(self._optimizer), self._initial_state, strict=True):
            variable.assign(value)

    def _compile(self) -> tuple[Callable[[int], float] | None, Callable[[int], float]]:
        import tensorflow as tf

        work, optimizer = self._workload, self._optimizer
        weights = work.model.trainable_variables

        def repeated(turn: Callable[[Any], None], turns: Any) -> Any:
            def body(done: Any) -> tuple[Any]:
                turn(done)
                return (done + 1,)

            tf.while_loop(lambda done: done < turns, body, (tf.constant(0),))
            return tf.reshape(weights[0].value, (-1,))[0]  # a call waits for this value

        # XLA would compute whatever depends only on constants once, before the loop. So it gets the gradients twice and picks
        # a copy by the turn's number; and it gets them as arguments, as a captured tensor is a constant too.
        xla = work.mode != "graph"
        gradients_in = [tf.stack([gradient, gradient]) for gradient in work.gradients] if xla else work.gradients

        def updates(turns: Any, gradients: Any) -> Any:
            def turn(done: Any) -> None:
                optimizer.apply([pair[done % 2] for pair in gradients] if xla else gradients, weights)

            return repeated(turn, turns)

        def steps(turns: Any, x: Any, y: Any) -> Any:
            def turn(done: Any) -> None:
                del done
                with tf.GradientTape() as tape:
                    value = work.model.compute_loss(x, y, work.called(x, training=True))
                optimizer.apply(tape.gradient(value, weights), weights)

            return repeated(turn, turns)

        def compiled(function: Callable[..., Any], *arguments: Any) -> Callable[[int], float]:
            # Without autograph, which would convert Keras' own code before it is traced, for seconds.
            traced = tf.function(function, jit_compile=xla, autograph=False)
            concrete = traced.get_concrete_function(tf.constant(0), *arguments)

            def call(turns: int) -> float:
                return float(concrete(tf.constant(turns), *arguments).numpy())

            call(0)
            return call

        return compiled(updates, gradients_in) if self._with_update else None, compiled(steps, work.x, work.y)
