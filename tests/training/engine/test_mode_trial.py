"""Which ways are right, and which of them is chosen: the fastest on this machine, by clocks that are given here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from descentlab.problems.base import Problem, ProblemError
from descentlab.training.engine import mode_trial
from descentlab.training.engine.mode_trial import ModeTrial, ModeTrials, Timing, measure
from descentlab.training.engine.modes import WIDTH
from models import zoo
from support.tiny_training import tiny_data, tiny_problem

pytestmark = pytest.mark.usefixtures("device")

BATCH, UPDATES_PER_EPOCH = 8, 6  # of the 48 examples outside the test split


def chosen(
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[str, tuple[float, float]],
    fastest: bool = True,
    disturbed: str = "",
) -> ModeTrial:
    """The choice if a member's update and evaluation take these seconds by mode; both are measured before.

    Args:
        disturbed: the mode that takes three times as long when it is timed first.
    """
    timed: set[str] = set()

    def given(trainer: Any, *arguments: Any) -> Timing:
        measured = measure(trainer, *arguments)
        assert measured.update_seconds > 0 and measured.evaluation_seconds > 0
        update, evaluation = seconds[trainer.mode]
        if trainer.mode == disturbed and disturbed not in timed:
            update *= 3
        timed.add(trainer.mode)
        members = WIDTH if trainer.mode == "xla" else 1
        return measured._replace(update_seconds=members * update, evaluation_seconds=members * evaluation)

    monkeypatch.setattr(mode_trial, "measure", given)
    return ModeTrials(tiny_problem(), tiny_data(), BATCH).choose(("xla", "graph"), fastest)


def test_the_fastest_is_taken_and_the_page_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    way = chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.002, 0.0), "keras": (0.003, 0.0)})
    assert way == ModeTrial("graph", True, 1, ("xla: 4 ms an update on this machine, 2 by graph",))


def test_an_evaluation_counts_by_its_share_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras' step is the fastest, until its evaluation is counted: a sixth of it falls on each update."""
    slow = 0.006 * UPDATES_PER_EPOCH
    assert chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.004, 0.0), "keras": (0.001, slow)}).mode == "xla"
    assert chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.004, 0.0), "keras": (0.001, slow / 6)}).mode == "keras"


def test_a_clocks_noise_does_not_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.0036, 0.0), "keras": (0.0037, 0.0)}).mode == "xla"


@pytest.mark.parametrize("disturbed", ["xla", "graph", "keras"])
def test_a_moment_in_which_the_machine_was_busy_does_not_choose(
    monkeypatch: pytest.MonkeyPatch, disturbed: str
) -> None:
    way = chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.002, 0.0), "keras": (0.003, 0.0)}, disturbed=disturbed)
    assert way.mode == "graph"


def test_one_that_is_asked_for_is_taken_however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    way = chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.002, 0.0), "keras": (0.001, 0.0)}, fastest=False)
    assert way == ModeTrial("xla", True, WIDTH)


def test_what_can_not_be_compiled_side_by_side_trains_alone() -> None:
    """XLA has no loop over several sequences of an LSTM at once; alone, it does what Keras does."""
    problem = zoo.problem("plain_lstm")
    data = problem.load_data(None)
    way = ModeTrials(problem, data, problem.batch_size).choose(("xla",), fastest=False)
    assert (way.mode, way.by_example, way.width) == ("xla", True, 1)
    assert len(way.reasons) == 1 and way.reasons[0].startswith(f"xla, {WIDTH} side by side: ")


class Augmented(keras.layers.Layer):
    """Noise in training that Python draws while the graph runs, from generators of several kinds."""

    supports_jit = False

    def __init__(self, draw: Callable[..., Any]) -> None:
        super().__init__()
        self.draw = draw

    def call(self, x: Any, training: bool = False) -> Any:
        noisy = tf.numpy_function(lambda a: a + self.draw(size=a.shape).astype("float32"), [x], tf.float32)
        return tf.ensure_shape(noisy, x.shape) if training else x


def augmented(make_draw: Callable[[], Callable[..., Any]]) -> Problem:
    def build_model() -> Any:
        return keras.Sequential([keras.Input((4,)), Augmented(make_draw()), keras.layers.Dense(3)])

    return replace(tiny_problem(), build_model=build_model)


def rarely(size: Any) -> Any:
    """Noise that a few updates don't show: once in a million."""
    return (np.random.uniform(size=size) < 1e-6) * 1.0


@pytest.mark.parametrize("draw", [np.random.normal, rarely])
def test_numpys_random_numbers_go_by_keras_own_step_which_seeds_them(draw: Callable[..., Any]) -> None:
    way = ModeTrials(augmented(lambda: draw), tiny_data(), BATCH).choose(("graph",), fastest=False)
    assert (way.mode, len(way.reasons)) == ("keras", 2)
    assert all("draws random numbers of Python or NumPy" in reason for reason in way.reasons)


def test_a_layers_own_generator_would_go_on_in_the_next_training_of_a_compiled_loop() -> None:
    """Its first training agrees with Keras; its second doesn't begin anew."""
    problem = augmented(lambda: np.random.default_rng(0).normal)
    way = ModeTrials(problem, tiny_data(), BATCH).choose(("graph",), fastest=False)
    assert (way.mode, set(way.reasons)) == (
        "keras",
        {
            "graph: two trainings with the same seed differ",
            "graph, evaluated by Keras: two trainings with the same seed differ",
        },
    )


def test_a_generator_that_no_seed_reaches_is_refused() -> None:
    for draw in (np.random.default_rng(0).normal, lambda size: np.random.default_rng().normal(size=size)):
        with pytest.raises(ProblemError, match="^problem 'tiny': two trainings with the same seed differ: it draws"):
            ModeTrials(augmented(lambda draw=draw: draw), tiny_data(), BATCH)


class Judged(keras.layers.Layer):
    """Random in evaluations alone, from TensorFlow's global seed."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x if training else x + tf.random.normal(tf.shape(x))


def test_a_state_that_only_evaluations_have_is_not_evaluated_by_keras_after_a_compiled_training() -> None:
    problem = replace(
        tiny_problem(), build_model=lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), Judged()])
    )
    way = ModeTrials(problem, tiny_data(), BATCH).choose(("graph",), fastest=False)
    assert way.mode == "keras"
    assert [reason.partition(": ")[2] for reason in way.reasons] == [
        "there is a state that is not among the model's variables: RandomStandardNormal"
    ] * 2
