"""Compiled training: many updates per call, batches gathered on the device, members side by side.

A member is one training: initial values, batches, learning rates. One :class:`Trainer` compiles a (problem, optimizer) once,
for a fixed number of members, its width; fewer are padded with copies of the first. So a member's result is bit-for-bit
identical whether it trains alone or batched with others. The compiled loop does to a Keras model what ``model.fit`` does;
models for which it can't are rejected with a reason (:func:`~descentlab.training.engine.trainable.check_compilable`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from descentlab.problems.base import Data
from descentlab.training.engine.batches import gather_examples, shapes_of
from descentlab.training.engine.compiled_model import CompiledModel, vectorized
from descentlab.training.engine.member import Evaluation, Member
from descentlab.training.engine.packing import Packing
from descentlab.training.engine.stateless_optimizer import state_bytes, state_variables, without_distribution
from descentlab.training.engine.trainable import count_parameters


class Trainer:
    """Trains members of one (problem, optimizer); compiles only once, for the first.

    Args:
        compiled: the problem's model, which other trainers may share.
        make_optimizer: returns a new Keras optimizer.
        has_learning_rate: False for an optimizer without one, to which no rates are assigned.
    """

    def __init__(
        self, compiled: CompiledModel, make_optimizer: Callable[[], Any], has_learning_rate: bool = True
    ) -> None:
        self.problem = compiled.problem
        self.width = compiled.width
        self.mode = compiled.mode
        self.compile_seconds = 0.0
        self._compiled_model = compiled
        self._make_optimizer = make_optimizer
        self._has_learning_rate = has_learning_rate
        self.model = compiled.model
        self.optimizer = self._new_optimizer()
        self._fresh: list[np.ndarray] | None = None
        self._advances: dict[Any, Any] = {}
        self._packing = Packing(state_variables(self.optimizer))
        self._packed: tuple[list[Any], list[Any]] = ([], [])
        self._averaged: Callable[..., list[Any]] | None = None
        self._evaluate: Callable[..., list[Evaluation]] = lambda *_: []
        self._seconds = 0.0, 0.0
        self.compiled = False  # whether a training has come as far as its first update

    def _new_optimizer(self) -> Any:
        optimizer = without_distribution(self._make_optimizer())
        optimizer.build(self.model.trainable_variables)
        return optimizer

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return count_parameters(self.model)

    @property
    def state_bytes_per_parameter(self) -> float:
        """Bytes of the optimizer's variables (without counter and learning rate) per trainable parameter."""
        return state_bytes(self.optimizer) / self.parameters

    def _fresh_state(self, initial: list[np.ndarray]) -> list[np.ndarray]:
        """The state of a new optimizer at these values of the model's variables; for most it doesn't depend on them."""

        def state_at(values: list[np.ndarray]) -> list[np.ndarray]:
            for variable, value in zip(self.model.variables, values, strict=True):
                variable.assign(value)
            return [np.asarray(variable).copy() for variable in state_variables(self._new_optimizer())]

        if self._fresh is not None:
            return self._fresh
        here = state_at(initial)
        elsewhere = state_at([value + np.ones((), value.dtype) for value in initial])
        if all(np.array_equal(a, b) for a, b in zip(here, elsewhere, strict=True)):
            self._fresh = here
        return here

    def train(
        self,
        data: Data,
        initial: list[np.ndarray],
        order: np.ndarray,
        rates: np.ndarray,
        evaluate_at: list[int],
        examples: np.ndarray,
        last_examples: np.ndarray | None = None,
    ) -> Iterator[Evaluation]:
        """Train one :class:`Member` made of these arguments, and yield its evaluations like :meth:`train_members`."""
        member = Member(initial, order, rates, (examples,), None if last_examples is None else (last_examples,))
        for (evaluation,) in self.train_members(data, [member], evaluate_at):
            yield evaluation

    def train_members(self, data: Data, members: list[Member], evaluate_at: list[int]) -> Iterator[list[Evaluation]]:
        """Train at most ``width`` members; yield all their evaluations at each of ``evaluate_at``.

        The caller may stop at any of them. Shapes must be the same for all members.

        Args:
            data: all examples.
            members: what to train.
            evaluate_at: ascending numbers of updates; the last is the budget.
        """
        compiled = self._compiled_model
        advance = self.begin(data, members)
        before = compiled.compile_seconds
        evaluate = compiled.evaluation(data, self._padded(members), self._evaluated_values())
        self.compile_seconds += compiled.compile_seconds - before
        self.compiled = True
        done, train_seconds, evaluation_seconds = 0, 0.0, 0.0
        for updates in evaluate_at:
            if updates > done:
                train_seconds += advance(updates - done) / len(members)
                done = updates
            start = time.perf_counter()
            self._evaluate = partial(evaluate, packed=self._evaluated_values())
            evaluations = self._evaluate(done, last=updates == evaluate_at[-1])[: len(members)]
            evaluation_seconds += (time.perf_counter() - start) / len(members)
            self._seconds = train_seconds, evaluation_seconds
            yield [evaluation.timed(*self._seconds) for evaluation in evaluations]

    def begin(self, data: Data, members: list[Member]) -> Callable[[int], float]:
        """Begin to train at most ``width`` members, from their initial values and a new optimizer's state.

        Args:
            data: all examples.
            members: what to train; shapes must be the same for all.

        Returns:
            ``advance(updates)``, which does so many more updates, none or some, and returns the seconds until their results
            have arrived. Whatever it needs is compiled before.
        """
        import tensorflow as tf

        compiled, padded = self._compiled_model, self._padded(members)
        arrays = compiled.training_arrays(data)
        states = [self._fresh_state(member.initial) for member in padded]
        model = [tf.constant(values) for values in compiled.packing.from_rows([member.initial for member in padded])]
        state = [tf.constant(values) for values in self._packing.from_rows(states)]
        order = tf.constant(np.stack([member.order for member in padded], axis=1))

        def rates_now() -> Any:
            return tf.constant(np.stack([member.rates for member in padded], axis=1), tf.float32)

        before, done = compiled.compile_seconds, 0
        compiled_advance, self._averaged = self._compile_for(arrays, model, state, order, rates_now())
        self.compile_seconds += compiled.compile_seconds - before
        self._packed = model, state

        def advance(updates: int) -> float:
            nonlocal done
            start = time.perf_counter()
            stretch = tf.constant(done), tf.constant(done + updates)
            reached, model, state = compiled_advance(arrays, *self._packed, order, rates_now(), *stretch)
            int(reached)  # waits for the device
            done, self._packed = done + updates, (model, state)
            return time.perf_counter() - start

        return advance

    def _padded(self, members: list[Member]) -> list[Member]:
        return [*members, *[members[0]] * (self.width - len(members))]

    def _evaluated_values(self) -> list[Any]:
        """The packed values of the model's variables that an evaluation takes now."""
        return self._averaged(*self._packed) if self._averaged else self._packed[0]

    def evaluate_last(self, updates: int) -> list[Evaluation]:
        """What would be found now, after these updates, if they were the last: for members that end before their budget."""
        return [evaluation.timed(*self._seconds) for evaluation in self._evaluate(updates, last=True)]

    def _compile_for(self, arrays: Any, model: list[Any], state: list[Any], order: Any, rates: Any) -> tuple[Any, Any]:
        """``advance`` and ``averaged`` (None if not needed) for these shapes, compiled before any run is timed."""
        import tensorflow as tf

        zero, compiled = tf.constant(0), self._compiled_model
        key = shapes_of(arrays, model, state, order, rates)
        if key not in self._advances:
            advance, averaged = compiled.compile(self._advance, arrays, model, state, order, rates, zero, zero), None
            if compiled.step.evaluated(self.optimizer, self._row(model, state, 0)) is not None:
                averaged = compiled.compile(self._average, model, state)
            self._advances[key] = advance, averaged
        return self._advances[key]

    def _values(self, model: list[Any], state: list[Any]) -> list[Any]:
        return [*self._compiled_model.packing.unpack(model), *self._packing.unpack(state)]

    def _advance(
        self, arrays: Any, model: list[Any], state: list[Any], order: Any, rates: Any, start: Any, stop: Any
    ) -> Any:
        """The packed values after the updates from ``start`` to ``stop``; to be compiled."""
        import tensorflow as tf

        def update_one(values: list[Any], rate: Any, *batch: Any) -> list[Any]:
            assigned_rate = rate if self._has_learning_rate else None
            return self._compiled_model.step.update(self.optimizer, values, assigned_rate, *batch)

        update = vectorized(update_one, self.width)
        if self._compiled_model.mode == "graph":
            # A separate function, kept out of the loop's cycle: TensorFlow gives the gradient of a pooling to oneDNN only if it
            # visits the pooling first, and in a cycle that is a matter of chance (19 or 32 ms for slides_cnn).
            update = tf.function(update, autograph=False, experimental_attributes={"_noinline": True})

        # `while` on tensors, not tf.range: XLA recompiles for each new bound of a range.
        def turn(done: Any, values: list[Any]) -> Any:
            batch = gather_examples(arrays, order[done % tf.shape(order)[0]])
            return done + 1, update(values, rates[done], *batch)

        done, values = tf.while_loop(lambda done, _: done < stop, turn, (start, self._values(model, state)))
        n_model = len(self.model.variables)
        return done, self._compiled_model.packing.pack(values[:n_model]), self._packing.pack(values[n_model:])

    def _average(self, model: list[Any], state: list[Any]) -> list[Any]:
        """The packed values that are evaluated; to be compiled."""
        evaluated = vectorized(lambda values: self._compiled_model.step.evaluated(self.optimizer, values), self.width)
        return self._compiled_model.packing.pack(evaluated(self._values(model, state)))

    def _row(self, model: list[Any], state: list[Any], member: int) -> list[np.ndarray]:
        return [*self._compiled_model.packing.row(model, member), *self._packing.row(state, member)]

    def variables(self, member: int = 0) -> list[np.ndarray]:
        """Current values of ``model.variables`` in a member's training."""
        return self._row(*self._packed, member)[: len(self.model.variables)]

    def state(self, member: int = 0) -> list[np.ndarray]:
        """Current values of the optimizer's variables in a member's training, in the order of ``state_variables``."""
        return self._row(*self._packed, member)[len(self.model.variables) :]

    def evaluated_variables(self, member: int = 0) -> list[np.ndarray]:
        """The values of ``model.variables`` that were evaluated last, which may differ from the trained ones."""
        evaluated = self._compiled_model.step.evaluated(self.optimizer, self._row(*self._packed, member))
        return self.variables(member) if evaluated is None else [np.asarray(value) for value in evaluated]
