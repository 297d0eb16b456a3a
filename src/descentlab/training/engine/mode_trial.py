"""Which way a problem's model is trained: the fastest on this machine that does what Keras does, tried on a few updates.

A way is taken only if its weights after some updates, and its evaluation, are those of Keras' own step
(:class:`~descentlab.training.engine.keras_trainer.KerasTrainer`) from the same start on the same batches. What the compiled loop
can't follow goes to Keras' own step; what Keras can't train either is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from descentlab.optimizers.error_line import one_line
from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.problems.random_streams import stream_generator
from descentlab.problems.splits import split_data, test_indices
from descentlab.training.engine.any_trainer import AnyTrainer
from descentlab.training.engine.by_example import not_by_example
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.keras_trainer import KERAS_MODES, KerasTrainer
from descentlab.training.engine.member import Evaluation, Member
from descentlab.training.engine.modes import choose_width
from descentlab.training.engine.traced_state import python_random_state
from descentlab.training.engine.trainable import check_compilable, initial_variables
from descentlab.training.engine.trainer import Trainer
from descentlab.training.engine.trial_outcome import Outcome, compare, compare_counts, compare_values

UPDATES = 3
TIMED = 40  # at most, after those
TIMED_SECONDS = 0.4
FASTER = 0.85  # of an earlier way's time, so that a clock's noise doesn't choose
CLEAR, ROUNDS = 5.0, 3  # ways that are not slower by this factor are timed so often again, by turns
LEARNING_RATE = 0.01
WITHOUT_SEED = (
    ": it draws random numbers that no seed reaches, or keeps something outside of the model. Draw from keras.random, tf.random "
    "or np.random, or from a generator that a layer makes with a seed of its own"
)


@dataclass(frozen=True)
class ModeTrial:
    """How a problem is trained, and why.

    Attributes:
        mode: ``xla``, ``patches``, ``graph``, ``keras`` or ``eager``.
        by_example: whether the compiled loop evaluates too; otherwise ``model.evaluate`` does.
        width: members that train side by side.
        reasons: why each faster way is not taken, in the order in which they were tried.
    """

    mode: str
    by_example: bool
    width: int = 1
    reasons: tuple[str, ...] = ()


class Way(NamedTuple):
    """A way of training that may be taken; the fields are those of :class:`ModeTrial`."""

    mode: str
    by_example: bool
    width: int = 1

    def words(self) -> str:
        """The way in a reason."""
        if not self.by_example:
            return f"{self.mode}, evaluated by Keras"
        return self.mode if self.width == 1 else f"{self.mode}, {self.width} side by side"


class Timing(NamedTuple):
    """Seconds of an update and of an evaluation of all parts by a way of training, and the evaluations that the trial has too."""

    update_seconds: float
    evaluation_seconds: float
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
        keras_modes: the ways of Keras' own that may be taken, the faster first.

    Raises:
        ProblemError: Keras can't train it.
    """

    def __init__(self, problem: Problem, data: Data, batch_size: int, keras_modes: Sequence[str] = KERAS_MODES) -> None:
        self._problem = problem
        self._keras_modes = keras_modes
        self._data = data
        self._batch_size = batch_size
        self._member = trial_member(problem, data, batch_size)
        self._updates_per_epoch = max(1, (len(data) - len(test_indices(problem, data))) // batch_size)
        self._seconds: dict[Way, float] = {}
        self._trained: dict[Way, tuple[AnyTrainer, Outcome]] = {}
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
            return ModeTrial(self._keras_mode, False, reasons=(*reasons, self._reason(error)))
        right = []
        for mode in modes:
            wide = choose_width(self._problem.build_model(), mode)
            for way in dict.fromkeys((Way(mode, True, wide), Way(mode, True), Way(mode, False))):
                difference = self.difference(way)
                if not difference:
                    right.append(way)
                    break
                reasons.append(f"{way.words()}: {difference}")
        ways = [*right, Way(self._keras_mode, False)][: None if fastest else 1]
        seconds = self._compare_seconds(ways)
        chosen = ways[0]
        for way in ways[1:]:
            if seconds[way] < FASTER * seconds[chosen]:
                chosen = way
        for way in right[: ways.index(chosen)]:
            reasons.append(
                f"{way.mode}: {1e3 * seconds[way]:.3g} ms an update on this machine, {1e3 * seconds[chosen]:.3g} by "
                f"{chosen.mode}"
            )
        return ModeTrial(*chosen, tuple(reasons))

    def _compare_seconds(self, ways: Sequence[Way]) -> dict[Way, float]:
        """A member's seconds an update by each way; the least of several rounds, as another program can only slow one down."""
        fastest = min(self._seconds[way] for way in ways)
        close = [way for way in ways if self._seconds[way] < CLEAR * fastest]
        for way in close * (ROUNDS if len(close) > 1 else 0):
            self._seconds[way] = min(self._seconds[way], self._time(way))
        return {way: self._seconds[way] for way in ways}

    @functools.cache  # noqa: B019  (a trial lives as long as the plan is made)
    def difference(self, way: Way) -> str:
        """How a compiled way differs from Keras, or why it can't be had; empty if it is the same."""
        problem, data = self._problem, self._data
        try:
            by_keras = None if way.by_example else KerasModel(problem, None, self._batch_size)
            compiled = CompiledModel(problem, way.mode, way.width, by_keras)
            if way.by_example and (
                fault := not_by_example(problem, compiled.model, data.rows(np.arange(min(3, len(data)))))
            ):
                return fault
            outcome = self._run(Trainer(compiled, make_sgd), way)
        except Exception as error:  # TensorFlow and the reader's code may raise anything
            return self._reason(error)
        if way.mode != "graph" and self._draws(compiled.model):
            # XLA draws other random numbers from the same state. So its loop is held against Keras before the first update and in
            # how often it draws, and in everything else the loop of the same functions in graph mode.
            return (
                compare_values(outcome.evaluations[:1], self._expected.evaluations[:1], problem.beside)
                or compare_counts(outcome.weights, self._expected.weights)
                or self.difference(Way("graph", way.by_example))
            )
        return compare(outcome, self._expected, self._member.initial, problem.beside)

    def _draws(self, model: Any) -> bool:
        """Whether Keras drew random numbers from a state of the model's; layers such as LSTM have one for a dropout of 0 too."""
        states = zip(model.variables, self._member.initial, self._expected.weights, strict=True)
        return any(
            variable.name == "seed_generator_state" and not np.array_equal(before, after)
            for variable, before, after in states
        )

    def _reason(self, error: Exception) -> str:
        """An error as the reason why a way is not taken."""
        if isinstance(error, ProblemError):
            return str(error).removeprefix(f"problem '{self._problem.name}': ")
        return one_line(error)

    def _try_keras(self) -> tuple[str, Outcome]:
        """The way of Keras' own that works, and what it gives; it notes why its faster one doesn't."""
        problem = self._problem
        for mode in self._keras_modes:
            try:
                trainer = KerasTrainer(problem, make_sgd, self._batch_size, eager=mode == "eager")
                return mode, self._run(trainer, Way(mode, False), WITHOUT_SEED)
            except ProblemError:
                raise
            except Exception as error:  # as above
                self._reasons.append(f"{mode}: {one_line(error)}")
        reason = self._reasons[-1].partition(": ")[2]
        raise ProblemError(f"problem '{problem.name}': Keras can't train and evaluate it: {reason}")

    def _run(self, trainer: AnyTrainer, way: Way, advice: str = "") -> Outcome:
        """What a way gives; it notes how long that takes.

        Raises:
            ProblemError: a second training gives something else; it ends with the advice.
        """
        outcome = run_trial(trainer, self._data, self._member)
        timing = measure(trainer, self._data, self._member, outcome)
        if compare_values(timing.evaluations, outcome.evaluations, self._problem.beside):
            raise ProblemError(f"problem '{self._problem.name}': two trainings with the same seed differ{advice}")
        self._trained[way] = trainer, outcome
        self._seconds[way] = self._seconds_of(way, timing)
        return outcome

    def _time(self, way: Way) -> float:
        """The same seconds of a way that has been run, measured again."""
        return self._seconds_of(way, measure(self._trained[way][0], self._data, self._member, self._trained[way][1]))

    def _seconds_of(self, way: Way, timing: Timing) -> float:
        """A member's seconds an update, with its share of the evaluation after an epoch."""
        return (timing.update_seconds + timing.evaluation_seconds / self._updates_per_epoch) / way.width


def trial_member(problem: Problem, data: Data, batch_size: int) -> Member:
    """A few updates on random batches, evaluated on whole batches and on parts that end as the validation and test splits do."""
    outside_test = np.setdiff1d(np.arange(len(data)), test_indices(problem, data))
    split = split_data(problem, data, 0, batch_size)
    examples = stream_generator(problem.name, 0, "trial").permutation(outside_test)
    order = np.resize(examples, (UPDATES, batch_size)).astype(np.int32)
    whole = max(1, min(len(examples) // batch_size, 4, 1 + 256 // batch_size)) * batch_size
    sizes = [whole, *(batch_size + len(part) % batch_size for part in (split.val, split.test))]
    return Member(
        initial_variables(problem, 0),
        order,
        np.full(UPDATES + TIMED, LEARNING_RATE, np.float32),
        tuple(np.resize(examples, size) for size in dict.fromkeys(sizes)),
        seed=1,
    )


def run_trial(trainer: AnyTrainer, data: Data, member: Member) -> Outcome:
    """Train the member of a trial on each of its batches once; evaluated before, after the first and at the end.

    Raises:
        ProblemError: a compiled loop draws from the random state of Python or NumPy, which it doesn't seed.
    """
    drawn = python_random_state()
    evaluations = [evaluation for (evaluation,) in trainer.train_members(data, [member], evaluated_updates(member))]
    if isinstance(trainer, Trainer) and python_random_state() != drawn:
        raise ProblemError("it draws random numbers of Python or NumPy, which are seeded for Keras' own step alone")
    return Outcome(trainer.variables(), evaluations)


def evaluated_updates(member: Member) -> list[int]:
    """After how many updates the member of a trial is evaluated."""
    return [0, 1, len(member.order)]


def measure(trainer: AnyTrainer, data: Data, member: Member, outcome: Outcome) -> Timing:
    """The time of an update and of an evaluation by a trainer that has been compiled, on the batches of a trial by turns.

    Args:
        trainer: has run the trial.
        data, member: of the trial, which is run again, and on.
        outcome: of the trial; the time that its updates took says how many more can be timed.
    """
    _, first, last = outcome.evaluations
    each = (last.train_seconds - first.train_seconds) / (last.updates - first.updates)
    count = int(np.clip(TIMED_SECONDS / max(each, 1e-9), 2, TIMED))
    evaluate_at = [*evaluated_updates(member), last.updates + count]
    *again, after = (evaluation for (evaluation,) in trainer.train_members(data, [member], evaluate_at))
    update_seconds = (after.train_seconds - again[-1].train_seconds) / count
    return Timing(update_seconds, (after.evaluation_seconds - again[0].evaluation_seconds) / len(again), again)
