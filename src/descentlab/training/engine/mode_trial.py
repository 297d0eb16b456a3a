"""Which way a problem's model is trained: the fastest on this machine that does what Keras does, tried on a few updates.

A way is taken only if its weights after some updates, and its evaluation, are those of Keras' own step
(:class:`~descentlab.training.engine.keras_trainer.KerasTrainer`) from the same start on the same batches. What the compiled loop
can't follow goes to Keras' own step; what Keras can't train either is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from descentlab.optimizers.import_path import one_line
from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.problems.random_streams import stream_generator
from descentlab.problems.splits import test_indices
from descentlab.training.engine.any_trainer import AnyTrainer
from descentlab.training.engine.by_example import not_by_example
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.keras_trainer import KERAS_MODES, KerasTrainer
from descentlab.training.engine.member import Evaluation, Member
from descentlab.training.engine.trainable import check_compilable, initial_variables
from descentlab.training.engine.trainer import Trainer

UPDATES = 3
TIMED = 40  # at most, after those
TIMED_SECONDS = 0.4
FASTER = 0.85  # of an earlier way's time, so that a clock's noise doesn't choose
LEARNING_RATE = 0.01
# Two ways of computing the same update differ by float32's rounding; a mask, a mean or a random number that is not the same
# differs by a hundredth or more.
TOLERANCE = 1e-3
ROUNDING = 1e-5


@dataclass(frozen=True)
class ModeTrial:
    """How a problem is trained, and why.

    Attributes:
        mode: ``xla``, ``patches``, ``graph``, ``keras`` or ``eager``.
        by_example: whether the compiled loop evaluates too; otherwise ``model.evaluate`` does.
        reasons: why each faster way is not taken, in the order in which they were tried.
    """

    mode: str
    by_example: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a way of training made of the trial's updates."""

    weights: list[np.ndarray]
    evaluations: list[Evaluation]


def make_sgd() -> Any:
    """The optimizer that modes are tried with."""
    import keras

    return keras.optimizers.SGD(LEARNING_RATE)


class ModeTrials:
    """The trials of one problem's ways of training.

    Args:
        problem: its models are built.
        data: all examples; those of the test split are not needed.
        batch_size: examples per update.

    Raises:
        ProblemError: Keras can't train it.
    """

    def __init__(self, problem: Problem, data: Data, batch_size: int) -> None:
        self._problem = problem
        self._data = data
        self._batch_size = batch_size
        self._member = trial_member(problem, data, batch_size)
        self._updates_per_epoch = max(1, (len(data) - len(test_indices(problem, data))) // batch_size)
        self._seconds: dict[tuple[str, bool], float] = {}
        self._reasons: list[str] = []
        self._keras_mode, self._expected = self._try_keras()

    def choose(self, modes: tuple[str, ...], fastest: bool = True) -> ModeTrial:
        """The fastest of these compiled modes and Keras' own step, among those that train and evaluate as Keras does.

        Args:
            modes: to try.
            fastest: otherwise the first that is right.
        """
        reasons = list(self._reasons)
        try:
            check_compilable(self._problem, self._problem.build_model())
        except ProblemError as error:
            reason = str(error).removeprefix(f"problem '{self._problem.name}': ")
            return ModeTrial(self._keras_mode, False, (*reasons, reason))
        right = []
        for mode in modes:
            for by_example in (True, False):
                difference = self.difference(mode, by_example)
                if not difference:
                    right.append((mode, by_example))
                    break
                reasons.append(f"{mode}{'' if by_example else ', evaluated by Keras'}: {difference}")
        ways = [*right, (self._keras_mode, False)][: None if fastest else 1]
        seconds = {way: self._seconds[way] for way in ways}
        chosen = ways[0]
        for way in ways[1:]:
            if seconds[way] < FASTER * seconds[chosen]:
                chosen = way
        for way in right[: ways.index(chosen)]:
            reasons.append(
                f"{way[0]}: {1e3 * seconds[way]:.3g} ms an update on this machine, {1e3 * seconds[chosen]:.3g} by {chosen[0]}"
            )
        return ModeTrial(*chosen, tuple(reasons))

    @functools.cache  # noqa: B019  (a trial lives as long as the plan is made)
    def difference(self, mode: str, by_example: bool) -> str:
        """How a compiled way differs from Keras, or why it can't be had; empty if it is the same."""
        problem, data = self._problem, self._data
        try:
            by_keras = None if by_example else KerasModel(problem, None, self._batch_size)
            compiled = CompiledModel(problem, mode, by_keras=by_keras)
            if by_example and (
                fault := not_by_example(problem, compiled.model, data.rows(np.arange(min(3, len(data)))))
            ):
                return fault
            outcome = self._run(Trainer(compiled, make_sgd), (mode, by_example))
        except Exception as error:  # TensorFlow and the reader's code may raise anything
            return one_line(error)
        draws = any(variable.name == "seed_generator_state" for variable in compiled.model.variables)
        if draws and mode != "graph":
            # XLA draws other random numbers from the same state: it is held against Keras at the start, and in graph mode.
            start = Outcome([], outcome.evaluations[:1]), Outcome([], self._expected.evaluations[:1])
            return compare(*start, [], problem.beside) or self.difference("graph", by_example)
        return compare(outcome, self._expected, self._member.initial, problem.beside)

    def _try_keras(self) -> tuple[str, Outcome]:
        """The way of Keras' own that works, and what it gives; it notes why its faster one doesn't."""
        problem = self._problem
        for mode in KERAS_MODES:
            try:
                trainer = KerasTrainer(problem, make_sgd, self._batch_size, eager=mode == "eager")
                return mode, self._run(trainer, (mode, False))
            except ProblemError:
                raise
            except Exception as error:  # as above
                self._reasons.append(f"{mode}: {one_line(error)}")
        reason = self._reasons[-1].partition(": ")[2]
        raise ProblemError(f"problem '{problem.name}': Keras can't train and evaluate it: {reason}")

    def _run(self, trainer: AnyTrainer, way: tuple[str, bool]) -> Outcome:
        """What a way gives; it notes its seconds an update, with its share of the evaluation after an epoch."""
        outcome = run_trial(trainer, self._data, self._member)
        update, evaluation = measure_seconds(trainer, self._data, self._member, outcome)
        self._seconds[way] = update + evaluation / self._updates_per_epoch
        return outcome


def trial_member(problem: Problem, data: Data, batch_size: int) -> Member:
    """A few updates on random batches, evaluated on whole batches and on some that end with a part of one."""
    outside_test = np.setdiff1d(np.arange(len(data)), test_indices(problem, data))
    examples = stream_generator(problem.name, 0, "trial").permutation(outside_test)
    order = np.resize(examples, (UPDATES, batch_size)).astype(np.int32)
    most = min(len(examples), 4 * batch_size, 256 + batch_size)
    return Member(
        initial_variables(problem, 0),
        order,
        np.full(UPDATES + TIMED, LEARNING_RATE, np.float32),
        (examples[:most], examples[-(most // 2 + 1) :]),
        seed=1,
    )


def run_trial(trainer: AnyTrainer, data: Data, member: Member) -> Outcome:
    """Train the member of a trial on each of its batches once; evaluated before, after the first and at the end."""
    evaluate_at = [0, 1, len(member.order)]
    evaluations = [evaluation for (evaluation,) in trainer.train_members(data, [member], evaluate_at)]
    return Outcome(trainer.variables(), evaluations)


def measure_seconds(trainer: AnyTrainer, data: Data, member: Member, outcome: Outcome) -> tuple[float, float]:
    """The time of an update and of an evaluation by a trainer that has been compiled, on the batches of a trial by turns.

    Args:
        trainer: has run the trial.
        data, member: of the trial.
        outcome: of the trial; the time that its updates took says how many more can be timed.
    """
    _, first, last = outcome.evaluations
    each = (last.train_seconds - first.train_seconds) / (last.updates - first.updates)
    count = int(np.clip(TIMED_SECONDS / max(each, 1e-9), 2, TIMED))
    before, after = trainer.train_members(data, [member], [UPDATES, UPDATES + count])
    return (after[0].train_seconds - before[0].train_seconds) / count, after[0].evaluation_seconds / 2


def compare(outcome: Outcome, expected: Outcome, initial: list[np.ndarray], beside: Sequence[str] = ()) -> str:
    """How an outcome differs from Keras' by more than rounding; empty if it doesn't.

    Args:
        outcome, expected: ours and Keras'.
        beside: names of what is recorded beside the loss and the metric.
        initial: the weights before the updates, by whose movement a difference is measured.
    """
    for ours, theirs in zip(outcome.evaluations, expected.evaluations, strict=True):
        for mine, other in zip(ours.means, theirs.means, strict=True):
            both = (
                (mine.loss + ours.penalty, mine.metric, *mine.beside),
                (other.loss + theirs.penalty, other.metric, *other.beside),
            )
            for what, first, second in zip(("loss", "metric", *beside), *both, strict=True):
                if not np.isclose(first, second, TOLERANCE, ROUNDING, equal_nan=True):
                    return f"{what} {first:.6g} after {ours.updates} updates, {second:.6g} by Keras"
    for place, (weight, by_keras, start) in enumerate(zip(outcome.weights, expected.weights, initial, strict=True)):
        if by_keras.dtype.kind == "f" and by_keras.size:
            allowed = TOLERANCE * np.abs(by_keras - start).max() + ROUNDING * max(1.0, np.abs(start).max())
            gap = np.abs(weight - by_keras).max()
            if not (gap <= allowed or np.array_equal(weight, by_keras, equal_nan=True)):
                return f"variable {place} differs by {gap:.2g} from Keras' after {expected.evaluations[-1].updates} updates"
    return ""
