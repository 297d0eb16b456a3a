"""Which way is chosen among those that are right: the fastest on this machine, by clocks that are given here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from descentlab.training.engine import mode_trial
from descentlab.training.engine.member import Evaluation, Means
from descentlab.training.engine.mode_trial import ModeTrial, ModeTrials, Outcome, compare, measure_seconds
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

    def given(trainer: Any, *arguments: Any) -> tuple[float, float]:
        assert min(measure_seconds(trainer, *arguments)) > 0
        update, evaluation = seconds[trainer.mode]
        if trainer.mode == disturbed and disturbed not in timed:
            update *= 3
        timed.add(trainer.mode)
        return (WIDTH * update, WIDTH * evaluation) if trainer.mode == "xla" else (update, evaluation)

    monkeypatch.setattr(mode_trial, "measure_seconds", given)
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


def outcome(loss: float, *weights: float, metric: float = 0.5) -> Outcome:
    return Outcome([np.array(weights)], [Evaluation(3, (Means(loss, metric),), 0.0)])


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e6])
def test_numbers_of_any_size_are_compared_by_their_size(scale: float) -> None:
    """A loss or a weight's movement that is off by a hundredth is another one, however small it is."""
    start = [np.array([scale, 2 * scale])]
    moved = 1.1 * scale, 2.2 * scale
    ours, theirs = outcome(scale, *moved), outcome(scale, *moved)
    assert compare(ours, theirs, start) == ""
    assert compare(outcome(1.00001 * scale, *moved), theirs, start) == ""
    assert compare(outcome(1.014 * scale, *moved), theirs, start)
    assert compare(outcome(scale, *moved, metric=0.51), theirs, start)
    assert compare(outcome(scale, 1.102 * scale, 2.2 * scale), theirs, start)
    assert compare(outcome(scale, math.nan, 2.2 * scale), theirs, start)
