"""Readers' optimizers: what the compiled loop follows, and what goes by Keras' own step."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from descentlab.experiment.optimizer_config import OptimizerConfig
from descentlab.optimizers.build import OptimizerError, build, default_learning_rate
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry
from descentlab.problems.random_streams import data_order
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.keras_trainer import KerasTrainer
from descentlab.training.engine.member import Member
from descentlab.training.engine.optimizer_trial import fault_of_compiling, fault_on, trial_problem
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer
from support.tiny_training import tiny_data, tiny_problem
from support.zoo_cases import one_of_a_kind

pytestmark = pytest.mark.usefixtures("device")

FOLLOWED = ["shared", "averaged", "clipped", "clipped_by_variable", "scaled_loss", "Signs"]
COMPILED = one_of_a_kind([*FOLLOWED, "clipped_by_value", "excluding"], FOLLOWED)
STATE = "state that is not among"
BY_KERAS = {"Counted": STATE, "Noisy": STATE, "averaged_often": STATE, "accumulated": "graph: "}


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


def test_a_schedule_in_a_factory_is_left_alone_or_refused() -> None:
    """Its rates would otherwise be replaced by the one that is assigned."""
    kept = build(entry("scheduled", learning_rate=None), "default", None)
    kept.iterations.assign(2)
    assert float(kept.learning_rate) == pytest.approx(0.05)
    with pytest.raises(OptimizerError) as caught:
        build(entry("scheduled"), "default", 0.1)
    message = str(caught.value)
    assert message.startswith(
        "optimizer 'scheduled': its learning rate can't be set: TypeError: This optimizer was created"
    )
    assert message.endswith("Write learning_rate: null, and it keeps its own")


@pytest.mark.parametrize(
    "name",
    one_of_a_kind(["adagrad", "adadelta", "adafactor", "schedule_free_adamw"], ["adagrad", "schedule_free_adamw"]),
)
def test_an_embedding_is_compiled_with_what_keras_does_to_its_rows(name: str) -> None:
    """Side by side or, where XLA has no loop of several members with sparse gradients, one at a time."""
    known = OPTIMIZERS[name]
    rate = known.center_learning_rate
    assert fault_on(trial_problem(sparse=True), partial(build, known, "default", rate), rate) == ""


def test_weight_decay_leaves_out_what_is_excluded() -> None:
    """Without a gradient, AdamW's update is its decay alone: of the kernel, and not of the bias."""
    trainer = Trainer(CompiledModel(tiny_problem(), "graph"), partial(build, entry("excluding"), "default", 0.01))
    data = replace(tiny_data(), sample_weight=np.zeros(60, np.float32))
    initial = [np.ones_like(value) for value in initial_variables(tiny_problem(), 0)]
    order = data_order("tiny", 0, np.arange(48), 8, 1)
    list(trainer.train(data, initial, order, np.full(2, 0.01, np.float32), [2], np.arange(60)))
    for variable, value in zip(trainer.model.variables, trainer.variables(), strict=True):
        expected = 1.0 if variable.name == "bias" else (1 - 10 * 0.01) ** 2
        np.testing.assert_allclose(value, expected, rtol=1e-6)


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
