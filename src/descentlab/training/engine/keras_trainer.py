"""Training by Keras' own step, with the interface of the compiled :class:`~descentlab.training.engine.trainer.Trainer`.

The model's ``train_step`` is called in a traced loop, as ``fit(steps_per_execution=…)`` does. The loop serves all members if it
keeps nothing but variables that are assigned anew for each, runs no Python, and a new optimizer's state is the same for every
seed. Otherwise every training has a new model, a new optimizer, a new trace and the random state of its seed, so that nothing of
it, not even a variable that only a layer knows, is carried into the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from descentlab.optimizers.evaluation_weights import evaluation_weights
from descentlab.problems.base import Data, Problem
from descentlab.training.engine.batches import gather_examples, shapes_of
from descentlab.training.engine.class_weight import for_training
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.member import Evaluation, Member
from descentlab.training.engine.stateless_optimizer import state_bytes, state_variables
from descentlab.training.engine.traced_state import calls_of_python, python_random_state, unaccounted_state
from descentlab.training.engine.trainable import count_parameters, for_keras

KERAS_MODES = ("keras", "eager")  # a model's own step, traced or in Python


class KerasTrainer:
    """Trains members of one (problem, optimizer) one at a time, as ``fit`` does.

    Args:
        problem: the problem.
        make_optimizer: returns a new Keras optimizer.
        batch_size: examples of a batch in an evaluation.
        has_learning_rate: False for an optimizer without one, to which no rates are assigned.
        eager: every step runs in Python, for models that can't be traced.
        by_example: whether the metric is a mean over examples; their scores are then those of a compiled loop.
    """

    width = 1

    def __init__(
        self,
        problem: Problem,
        make_optimizer: Callable[[], Any],
        batch_size: int,
        has_learning_rate: bool = True,
        eager: bool = False,
        by_example: bool = False,
    ) -> None:
        self.problem = problem
        self.mode = "eager" if eager else "keras"
        self.compile_seconds = 0.0
        self._make_optimizer = make_optimizer
        self._batch_size = batch_size
        self._by_example = by_example
        self._has_learning_rate = has_learning_rate
        self._keras: KerasModel
        self._advance: Callable[..., Any] | None = None
        self._advances_on: Any = None  # what the traced loop was traced for; None if it serves one member only
        self._last: tuple[Callable[[int], Evaluation], tuple[float, float]]

    @property
    def model(self) -> Any:
        """The model of the last training."""
        return self._keras.model

    @property
    def optimizer(self) -> Any:
        """The optimizer of the last training."""
        return self._keras.optimizer

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return count_parameters(self.model)

    @property
    def state_bytes_per_parameter(self) -> float:
        """Bytes of the optimizer's variables (without counter and learning rate) per trainable parameter."""
        return state_bytes(self.optimizer) / self.parameters

    def train_members(self, data: Data, members: list[Member], evaluate_at: list[int]) -> Iterator[list[Evaluation]]:
        """Train one member; yield its evaluation at each of ``evaluate_at``, as a list of one.

        Args:
            data: all examples.
            members: what to train, a list of one.
            evaluate_at: ascending numbers of updates; the last is the budget.
        """
        (member,) = members
        advance = self.begin(data, members)
        done, train_seconds, evaluation_seconds = 0, 0.0, 0.0
        for updates in evaluate_at:
            if updates > done:
                train_seconds += advance(updates - done)
                done = updates
            trained = time.perf_counter()
            evaluation = self._evaluate(data, member, updates, updates == evaluate_at[-1])
            evaluation_seconds += time.perf_counter() - trained
            seconds = train_seconds, evaluation_seconds
            self._last = partial(self._evaluate, data, member, last=True), seconds
            yield [evaluation.timed(*seconds)]

    def begin(self, data: Data, members: list[Member]) -> Callable[[int], float]:
        """Begin to train one member, from its initial values and a new optimizer's state.

        Args:
            data: all examples.
            members: what to train, a list of one.

        Returns:
            ``advance(updates)``, which does so many more updates, none or some, and returns the seconds until their results
            have arrived. Whatever it needs is traced before.
        """
        (member,) = members
        arrays = tuple(part for part in for_keras(for_training(self.problem, data).fields()) if part is not None)
        self._prepare(data, arrays, member)
        done = 0

        def advance(updates: int) -> float:
            nonlocal done
            started = time.perf_counter()
            self._update(arrays, member, done, done + updates)
            done += updates
            return time.perf_counter() - started

        return advance

    def evaluate_last(self, updates: int) -> list[Evaluation]:
        """What would be found now, after these updates, if they were the last: for a member that ends before its budget."""
        evaluate, seconds = self._last
        return [evaluate(updates).timed(*seconds)]

    def _prepare(self, data: Data, arrays: Any, member: Member) -> None:
        """A model and an optimizer with a member's initial values, and the loop that trains them."""
        import keras

        shapes = shapes_of(arrays), member.order.shape, member.rates.shape
        if self._advances_on == shapes:  # not seeded: that makes TensorFlow forget the functions that it has prepared
            self._keras.assign(member.initial)
            for variable, value in zip(self.optimizer.variables, self._fresh_state(), strict=True):
                variable.assign(value)
            return
        keras.utils.set_random_seed(member.seed)
        self._keras = KerasModel(
            self.problem, self._make_optimizer(), self._batch_size, self.mode == "eager", self._by_example
        )
        self._keras.assign(member.initial)
        self.optimizer.build(self.model.trainable_variables)  # some keep a copy of the weights
        if self.mode == "keras":
            seeded = self._state_is_seeded(member.seed)
            kept = self._trace(data, arrays, member)
            self._advances_on = None if seeded or kept else shapes

    def _fresh_state(self) -> list[np.ndarray]:
        """The values of a new optimizer's variables at the model's current weights."""
        import keras

        fresh = self._make_optimizer()
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer) and not isinstance(
            fresh, type(self.optimizer)
        ):
            fresh = keras.optimizers.LossScaleOptimizer(fresh, name=self.optimizer.name)
        fresh.build(self.model.trainable_variables)
        return [np.asarray(variable).copy() for variable in fresh.variables]

    def _state_is_seeded(self, seed: int) -> bool:
        """Whether a new optimizer's state depends on the seed; leaves the random state of this one."""
        import keras

        states = []
        for other in (seed + 1, seed):
            keras.utils.set_random_seed(other)
            states.append(self._fresh_state())
        return not all(map(np.array_equal, *states))

    def _trace(self, data: Data, arrays: Any, member: Member) -> list[str]:
        """Trace training and evaluation; names of what they may keep that isn't assigned anew for each member."""
        import tensorflow as tf

        started, drawn = time.perf_counter(), python_random_state()
        order, rates, zero = tf.constant(member.order), tf.constant(member.rates, tf.float32), tf.constant(0)
        self.model.test_step(gather_examples(arrays, order[0]))  # creates the metrics' variables
        self._keras.assign(member.initial)
        self._advance = tf.function(self._loop, autograph=False).get_concrete_function(arrays, order, rates, zero, zero)
        int(self._advance(arrays, order, rates, zero, zero))  # prepares the graph
        traced = [self._advance, *self._keras.prepare(data, member.parts[0])]
        known = [*self._keras.assigned, *self.optimizer.variables]
        kept = [name for function in traced for name in unaccounted_state(function, known) + calls_of_python(function)]
        if python_random_state() != drawn:  # what was drawn is a constant of the trace
            kept.append("random numbers of Python")
        self.compile_seconds += time.perf_counter() - started
        return kept

    def _loop(self, arrays: Any, order: Any, rates: Any, start: Any, stop: Any) -> Any:
        """The updates from ``start`` to ``stop``; to be traced."""
        import tensorflow as tf

        def step(done: Any) -> Any:
            if self._has_learning_rate:
                self.optimizer.learning_rate = rates[done]
            self.model.train_step(gather_examples(arrays, order[done % tf.shape(order)[0]]))
            return (done + 1,)

        return tf.while_loop(lambda done: done < stop, step, (start,))[0]

    def _update(self, arrays: Any, member: Member, start: int, stop: int) -> None:
        """Do the updates from ``start`` to ``stop``."""
        import tensorflow as tf

        if self._advance is not None:
            order, rates = tf.constant(member.order), tf.constant(member.rates, tf.float32)
            int(self._advance(arrays, order, rates, tf.constant(start), tf.constant(stop)))  # waits for the device
            return
        for update in range(start, stop):
            if self._has_learning_rate:
                self.optimizer.learning_rate = member.rates[update]
            self.model.train_step(gather_examples(arrays, member.order[update % len(member.order)]))

    def _evaluate(self, data: Data, member: Member, updates: int, last: bool) -> Evaluation:
        trained = self._keras.values()
        evaluation = self._keras.evaluate_member(data, member, updates, last, self.evaluated_variables())
        self._keras.assign(trained)
        return evaluation

    def variables(self, member: int = 0) -> list[np.ndarray]:
        """Current values of ``model.variables``."""
        del member
        return self._keras.values()

    def state(self, member: int = 0) -> list[np.ndarray]:
        """Current values of the optimizer's variables, in the order of ``state_variables``."""
        del member
        return [np.asarray(variable).copy() for variable in state_variables(self.optimizer)]

    def evaluated_variables(self, member: int = 0) -> list[np.ndarray]:
        """The values of ``model.variables`` that are evaluated, which may differ from the trained ones."""
        del member
        import keras

        scales_loss = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        optimizer = self.optimizer.inner_optimizer if scales_loss else self.optimizer
        averaged = evaluation_weights(optimizer, self.model.trainable_variables)
        values = self._keras.values()
        if averaged is not None:
            places = {id(variable): place for place, variable in enumerate(self.model.variables)}
            for variable, value in zip(self.model.trainable_variables, averaged, strict=True):
                values[places[id(variable)]] = np.asarray(value)
        return values
