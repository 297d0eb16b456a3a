"""Readers' optimizers: what the compiled loop follows, and what goes by Keras' own step."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from descentlab.experiment.entries import OptimizerConfig
from descentlab.optimizers.build import OptimizerError, build, default_learning_rate
from descentlab.optimizers.table import OptimizerEntry
from descentlab.problems.random_streams import data_order
from descentlab.training.engine.keras_trainer import KerasTrainer
from descentlab.training.engine.member import Member
from descentlab.training.engine.optimizer_trial import fault_of_compiling
from descentlab.training.engine.trainable import initial_variables
from support.tiny_training import tiny_data, tiny_problem

pytestmark = pytest.mark.usefixtures("device")

COMPILED = ["shared", "averaged", "clipped", "clipped_by_variable", "scaled_loss", "Signs"]
BY_KERAS = {"Counted": "state that is not among", "Noisy": "state that is not among", "accumulated": "graph: "}


def entry(name: str, **config: Any) -> OptimizerEntry:
    return OptimizerConfig.model_validate({"optimizer": f"support.own_optimizers:{name}", **config}).entry()


def fault(own: OptimizerEntry) -> str:
    rate = default_learning_rate(own)
    return fault_of_compiling(partial(build, own, "default", rate), rate)


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_where_that_is_what_keras_does(name: str) -> None:
    assert fault(entry(name)) == ""


@pytest.mark.parametrize("name", ["scheduled", "grouped"])
def test_an_optimizer_keeps_rates_of_its_own_where_none_is_assigned(name: str) -> None:
    own = entry(name, learning_rate=None)
    assert default_learning_rate(own) is None
    assert bool(fault(own)) == (name == "grouped")
    with pytest.raises(OptimizerError, match="unexpected keyword argument 'learning_rate'"):
        build(entry(name), "default", 0.1)


@pytest.mark.parametrize("name", BY_KERAS)
def test_by_keras_where_the_compiled_loop_can_not_follow(name: str) -> None:
    assert BY_KERAS[name] in fault(entry(name))


def test_one_that_every_call_returns_is_copied() -> None:
    own = entry("shared")
    first, second = build(own, "default", 0.1), build(own, "default", 0.2)
    assert first is not second
    assert [float(optimizer.learning_rate) for optimizer in (first, second)] == pytest.approx([0.1, 0.2])
    assert not first.built


@pytest.mark.parametrize(
    ("name", "lost"),
    [("shared_scaled", "factor"), ("shared_excluding", "exclude_from_weight_decay"), ("shared_inner", "inner")],
)
def test_what_a_copy_would_lose_is_refused(name: str, lost: str) -> None:
    with pytest.raises(OptimizerError, match=rf"\b{lost}\b"):
        build(entry(name), "default", 0.1)


@pytest.mark.parametrize("name", ["Counted", "Noisy", "shared", "accumulated"])
def test_nothing_is_carried_from_run_to_run(name: str) -> None:
    """By Keras' own step: the second of two trainings is the first's bits, and another seed's are others."""
    own = entry(name)
    trainer = KerasTrainer(tiny_problem(), partial(build, own, "default", 0.1), 8)
    ends = []
    for seed in (0, 1, 0):
        order = data_order("tiny", seed, np.arange(48), 8, 1)
        initial = initial_variables(tiny_problem(), seed)
        member = Member(initial, order, np.full(6, 0.1, np.float32), (np.arange(60),), seed=seed)
        *_, last = trainer.train_members(tiny_data(), [member], [0, 6])
        ends.append((last[0].means, [value.tobytes() for value in trainer.variables()]))
    assert ends[0] == ends[2] != ends[1]
