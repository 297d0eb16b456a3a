"""Training by Keras' own step, with the interface of the compiled :class:`~descentlab.training.engine.trainer.Trainer`.

Every training has a new model, a new optimizer and the random state of its seed, so that nothing of it, not even a variable that
only a layer knows, is carried into the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from descentlab.optimizers.evaluation_weights import evaluation_weights
from descentlab.problems.base import Data, Problem
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.member import Evaluation, Member
from descentlab.training.engine.stateless_optimizer import state_bytes, state_variables
from descentlab.training.engine.trainable import count_parameters

KERAS_MODES = ("keras", "eager")  # a model's own step, traced or in Python


class KerasTrainer:
    """Trains members of one (problem, optimizer) one at a time, as ``fit`` does.

    Args:
        problem: the problem.
        make_optimizer: returns a new Keras optimizer.
        batch_size: examples of a batch in an evaluation.
        has_learning_rate: False for an optimizer without one, to which no rates are assigned.
        eager: every step runs in Python, for models that can't be traced.
    """

    width = 1

    def __init__(
        self,
        problem: Problem,
        make_optimizer: Callable[[], Any],
        batch_size: int,
        has_learning_rate: bool = True,
        eager: bool = False,
    ) -> None:
        self.problem = problem
        self.mode = "eager" if eager else "keras"
        self.compile_seconds = 0.0
        self._make_optimizer = make_optimizer
        self._batch_size = batch_size
        self._has_learning_rate = has_learning_rate
        self._keras = self._new_model()

    def _new_model(self) -> KerasModel:
        optimizer = self._make_optimizer()
        made = KerasModel(self.problem, optimizer, self._batch_size, eager=self.mode == "eager")
        optimizer.build(made.model.trainable_variables)
        return made

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
        import keras

        (member,) = members
        keras.utils.set_random_seed(member.seed)
        self._keras = self._new_model()
        self._keras.assign(member.initial)
        done, later_seconds, evaluation_seconds = 0, 0.0, 0.0
        for updates in evaluate_at:
            for update in range(done, updates):
                seconds = self._update(data, member, update)
                if update == 0:
                    self.compile_seconds += seconds
                else:
                    later_seconds += seconds
            done = updates
            # The first update traces the model. Its own share is taken to be that of the others.
            train_seconds = later_seconds * done / max(done - 1, 1)
            started = time.perf_counter()
            evaluation = self._evaluate(data, member, updates, updates == evaluate_at[-1])
            evaluation_seconds += time.perf_counter() - started
            yield [replace(evaluation, train_seconds=train_seconds, evaluation_seconds=evaluation_seconds)]

    def _update(self, data: Data, member: Member, update: int) -> float:
        """Do one update; return its seconds."""
        started = time.perf_counter()
        if self._has_learning_rate:
            self.optimizer.learning_rate = member.rates[update]
        self._keras.update(data, member.order[update % len(member.order)])
        return time.perf_counter() - started

    def _evaluate(self, data: Data, member: Member, updates: int, last: bool) -> Evaluation:
        trained = self._keras.values()
        self._keras.assign(self.evaluated_variables())
        evaluation = self._keras.evaluate_member(data, member, updates, last)
        self._keras.assign(trained)
        return evaluation

    def variables(self, member: int = 0) -> list[np.ndarray]:
        """Current values of ``model.variables``."""
        del member
        return self._keras.values()

    def state(self, member: int = 0) -> list[np.ndarray]:
        """Current values of the optimizer's variables, in the order of ``state_variables``."""
        del member
        return [np.array(variable) for variable in state_variables(self.optimizer)]

    def evaluated_variables(self, member: int = 0) -> list[np.ndarray]:
        """The values of ``model.variables`` that are evaluated, which may differ from the trained ones."""
        del member
        averaged = evaluation_weights(self.optimizer, self.model.trainable_variables)
        values = self._keras.values()
        if averaged is not None:
            places = {id(variable): place for place, variable in enumerate(self.model.variables)}
            for variable, value in zip(self.model.trainable_variables, averaged, strict=True):
                values[places[id(variable)]] = np.asarray(value)
        return values
