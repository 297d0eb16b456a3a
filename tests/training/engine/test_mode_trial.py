"""Which way is chosen among those that are right: the fastest on this machine, by clocks that are given here."""

from __future__ import annotations

from typing import Any

import pytest

from descentlab.training.engine import mode_trial
from descentlab.training.engine.mode_trial import ModeTrial, ModeTrials, measure_seconds
from support.tiny_training import tiny_data, tiny_problem

pytestmark = pytest.mark.usefixtures("device")

BATCH, UPDATES_PER_EPOCH = 8, 6  # of the 48 examples outside the test split


def chosen(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, tuple[float, float]], fastest: bool = True) -> ModeTrial:
    """The choice if an update and an evaluation take these seconds by mode; both are measured before."""

    def given(trainer: Any, *arguments: Any) -> tuple[float, float]:
        assert min(measure_seconds(trainer, *arguments)) > 0
        return seconds[trainer.mode]

    monkeypatch.setattr(mode_trial, "measure_seconds", given)
    return ModeTrials(tiny_problem(), tiny_data(), BATCH).choose(("xla", "graph"), fastest)


def test_the_fastest_is_taken_and_the_page_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    way = chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.002, 0.0), "keras": (0.003, 0.0)})
    assert way == ModeTrial("graph", True, ("xla: 4 ms an update on this machine, 2 by graph",))


def test_an_evaluation_counts_by_its_share_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras' step is the fastest, until its evaluation is counted: a sixth of it falls on each update."""
    slow = 0.006 * UPDATES_PER_EPOCH
    assert chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.004, 0.0), "keras": (0.001, slow)}).mode == "xla"
    assert chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.004, 0.0), "keras": (0.001, slow / 6)}).mode == "keras"


def test_a_clocks_noise_does_not_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.0036, 0.0), "keras": (0.0037, 0.0)}).mode == "xla"


def test_one_that_is_asked_for_is_taken_however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    way = chosen(monkeypatch, {"xla": (0.004, 0.0), "graph": (0.002, 0.0), "keras": (0.001, 0.0)}, fastest=False)
    assert way == ModeTrial("xla", True)
