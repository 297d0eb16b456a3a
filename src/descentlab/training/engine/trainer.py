"""Compiled training: whole stretches of updates in one call, batches gathered on the device, members side by side.

A member is one training: initial values, batches, learning rates. One :class:`Trainer` compiles a (problem, optimizer)
once, for a fixed number of members, its width; fewer are filled up with copies of the first. So what a member is computed
with doesn't depend on which others train beside it, and neither do its bits. What the compiled loop does to a Keras model
is what ``model.fit`` does; what it can't do is refused by name (:func:`~descentlab.training.engine.trainable.check_trainable`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from descentlab.problems.base import Data
from descentlab.training.engine.compiled_model import CompiledModel, chunked, shapes_of, taken, vectorised
from descentlab.training.engine.packing import Packing
from descentlab.training.engine.stateless_optimizer import state_bytes, state_variables, without_distribution
from descentlab.training.engine.trainable import count_parameters


@dataclass(frozen=True)
class Member:
    """One training.

    Attributes:
        initial: values of ``model.variables``.
        order: int32 (rows, batch size): row ``update % rows`` holds the examples of an update.
        rates: float32 (updates,): the learning rate of each update.
        examples: indices of the examples to evaluate, shape (n,).
        last_examples: the same for the last evaluation, where it is another.
    """

    initial: list[np.ndarray]
    order: np.ndarray
    rates: np.ndarray
    examples: np.ndarray
    last_examples: np.ndarray | None = None


@dataclass(frozen=True)
class Evaluation:
    """Loss and metric of each evaluated example after some updates, in the order of the index that was given.

    ``loss`` and ``score`` have shape (n,); ``penalty`` is what the model's own losses add. Seconds are wall time, divided by
    the number of members that shared it.
    """

    updates: int
    train_seconds: float
    evaluation_seconds: float
    loss: np.ndarray
    score: np.ndarray
    penalty: float


class Trainer:
    """Trains members of one (problem, optimizer); compiles at the first, and only then.

    Args:
        compiled: the problem's model, which other trainers may share.
        make_optimizer: makes a new Keras optimizer.
        has_learning_rate: False for an optimizer without one: rates are then not assigned.
    """

    def __init__(
        self, compiled: CompiledModel, make_optimizer: Callable[[], Any], has_learning_rate: bool = True
    ) -> None:
        self.problem = compiled.problem
        self.width = compiled.width
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

    def _new_optimizer(self) -> Any:
        optimizer = without_distribution(self._make_optimizer())
        optimizer.build(self.model.trainable_variables)
        return optimizer

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return count_parameters(self.model)

    @property
    def state_bytes_per_parameter(self) -> float:
        """Bytes of the optimizer's variables (its counter and learning rate apart) by trainable parameter."""
        return state_bytes(self.optimizer) / self.parameters

    def _fresh_state(self, initial: list[np.ndarray]) -> list[np.ndarray]:
        """The state of a new optimizer at these values of the model's variables; most have the same at any."""

        def state_at(values: list[np.ndarray]) -> list[np.ndarray]:
            for variable, value in zip(self.model.variables, values, strict=True):
                variable.assign(value)
            return [np.asarray(variable).copy() for variable in state_variables(self._new_optimizer())]

        if self._fresh is not None:
            return self._fresh
        here = state_at(initial)
        elsewhere = state_at([value + np.ones((), value.dtype) for value in initial])
        if all(np.array_equal(one, other) for one, other in zip(here, elsewhere, strict=True)):
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
        """Train one :class:`Member` of these; yield its evaluations, as :meth:`train_members` does."""
        member = Member(initial, order, rates, examples, last_examples)
        for (evaluation,) in self.train_members(data, [member], evaluate_at):
            yield evaluation

    def train_members(self, data: Data, members: list[Member], evaluate_at: list[int]) -> Iterator[list[Evaluation]]:
        """Train at most ``width`` members; yield all their evaluations at each of ``evaluate_at``.

        The caller may stop at any. Shapes must be the same for all members.

        Args:
            evaluate_at: ascending numbers of updates; the last is the budget.
        """
        import tensorflow as tf

        compiled = self._compiled_model
        filled = [*members, *[members[0]] * (self.width - len(members))]
        arrays = compiled.device_arrays(data)
        states = [self._fresh_state(member.initial) for member in filled]
        model = [tf.constant(one) for one in compiled.packing.from_rows([member.initial for member in filled])]
        state = [tf.constant(one) for one in self._packing.from_rows(states)]
        order = tf.constant(np.stack([member.order for member in filled], axis=1))
        rates = tf.constant(np.stack([member.rates for member in filled], axis=1), tf.float32)
        during = tf.constant(np.stack([chunked(member.examples) for member in filled], axis=1))
        index_of = {False: during, True: during}
        if members[0].last_examples is not None:
            last_examples = [chunked(member.last_examples) for member in filled if member.last_examples is not None]
            index_of[True] = tf.constant(np.stack(last_examples, axis=1))
        advance, evaluate, averaged = self._compile_for(arrays, model, state, order, rates, index_of)
        done, train_seconds, evaluation_seconds = 0, 0.0, 0.0
        for updates in evaluate_at:
            begun = time.perf_counter()
            if updates > done:
                stretch = tf.constant(done), tf.constant(updates)
                reached, model, state = advance(arrays, model, state, order, rates, *stretch)
                int(reached)  # waits for the device
                done = updates
            trained = time.perf_counter()
            last = updates == evaluate_at[-1]
            index = index_of[last]
            self._packed = model, state
            seen = averaged(model, state) if averaged else model
            loss, score, penalty = (
                np.asarray(found) for found in evaluate[last](arrays, seen, index, tf.constant(index.shape[0]))
            )
            train_seconds += (trained - begun) / len(members)
            evaluation_seconds += (time.perf_counter() - trained) / len(members)
            evaluations = []
            for row, member in enumerate(members):
                shown = member.last_examples if last and member.last_examples is not None else member.examples
                losses, scores = (array[:, row].ravel()[: len(shown)] for array in (loss, score))
                evaluations.append(
                    Evaluation(done, train_seconds, evaluation_seconds, losses, scores, float(penalty[row]))
                )
            yield evaluations

    def _compile_for(
        self, arrays: Any, model: list[Any], state: list[Any], order: Any, rates: Any, index_of: dict[bool, Any]
    ) -> tuple[Any, dict[bool, Any], Any]:
        """``advance``, ``evaluate`` and what is evaluated, for these shapes, compiled before any clock of a run starts."""
        import tensorflow as tf

        zero, compiled = tf.constant(0), self._compiled_model
        before = compiled.compile_seconds
        key = shapes_of(arrays, model, state, order, rates)
        if key not in self._advances:
            advance, averaged = compiled.compile(self._advance, arrays, model, state, order, rates, zero, zero), None
            if compiled.step.evaluated(self.optimizer, self._row(model, state, 0)) is not None:
                averaged = compiled.compile(self._average, model, state)
            self._advances[key] = advance, averaged
        advance, averaged = self._advances[key]
        seen = averaged(model, state) if averaged else model
        evaluate = {last: compiled.evaluation(arrays, seen, index) for last, index in index_of.items()}
        self.compile_seconds += compiled.compile_seconds - before
        return advance, evaluate, averaged

    def _values(self, model: list[Any], state: list[Any]) -> list[Any]:
        return [*self._compiled_model.packing.unpack(model), *self._packing.unpack(state)]

    def _advance(
        self, arrays: Any, model: list[Any], state: list[Any], order: Any, rates: Any, start: Any, stop: Any
    ) -> Any:
        """What the updates from ``start`` to ``stop`` make of the packed values; to be compiled."""
        import tensorflow as tf

        def update_one(values: list[Any], rate: Any, *batch: Any) -> list[Any]:
            given = rate if self._has_learning_rate else None
            return self._compiled_model.step.update(self.optimizer, values, given, *batch)

        update = vectorised(update_one, self.width)
        if self._compiled_model.mode == "graph":
            # A function of its own, kept out of the loop's cycle: TensorFlow gives the gradient of a pooling to oneDNN only
            # where it meets the pooling first, and in a cycle that is a matter of chance (19 or 32 ms for slides_cnn).
            update = tf.function(update, autograph=False, experimental_attributes={"_noinline": True})

        # `while` on tensors, not tf.range: XLA compiles again for each new bound of a range.
        def turn(done: Any, values: list[Any]) -> Any:
            batch = taken(arrays, order[done % tf.shape(order)[0]])
            return done + 1, update(values, rates[done], *batch)

        done, values = tf.while_loop(lambda done, _: done < stop, turn, (start, self._values(model, state)))
        of_model = len(self.model.variables)
        return done, self._compiled_model.packing.pack(values[:of_model]), self._packing.pack(values[of_model:])

    def _average(self, model: list[Any], state: list[Any]) -> list[Any]:
        """The packed values that are evaluated; to be compiled."""
        evaluated = vectorised(lambda values: self._compiled_model.step.evaluated(self.optimizer, values), self.width)
        return self._compiled_model.packing.pack(evaluated(self._values(model, state)))

    def _row(self, model: list[Any], state: list[Any], member: int) -> list[np.ndarray]:
        return [*self._compiled_model.packing.row(model, member), *self._packing.row(state, member)]

    def variables(self, member: int = 0) -> list[np.ndarray]:
        """Values of ``model.variables`` where a member's training stands."""
        return self._row(*self._packed, member)[: len(self.model.variables)]

    def state(self, member: int = 0) -> list[np.ndarray]:
        """Values of the optimizer's variables where a member's training stands, in the order of ``state_variables``."""
        return self._row(*self._packed, member)[len(self.model.variables) :]

    def evaluated_variables(self, member: int = 0) -> list[np.ndarray]:
        """Values of ``model.variables`` that were evaluated last, where an optimizer evaluates others than it trains."""
        found = self._compiled_model.step.evaluated(self.optimizer, self._row(*self._packed, member))
        return self.variables(member) if found is None else [np.asarray(value) for value in found]
