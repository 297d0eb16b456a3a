"""Keras' own step: what one trace serves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from descentlab.optimizers.literature import Lookahead
from descentlab.problems.random_streams import data_order
from descentlab.training.engine.any_trainer import make_trainer
from descentlab.training.engine.keras_trainer import KerasTrainer
from descentlab.training.engine.member import Member
from descentlab.training.engine.trainable import initial_variables
from support.tiny_training import BATCH, EVERY, TRAIN, tiny_data, tiny_problem

pytestmark = pytest.mark.usefixtures("device")


class StartsAnywhere(keras.optimizers.SGD):
    """Its velocities begin at random numbers of Keras' global seed."""

    def build(self, variables: Any) -> None:
        super().build(variables)
        for velocity in self.momentums:
            velocity.assign(keras.random.normal(velocity.shape))


def members_of_seeds(seeds: list[int]) -> list[Member]:
    """Members that differ in nothing but the seed of what is random in a step."""
    initial, order = initial_variables(tiny_problem(), 0), data_order("tiny", 0, TRAIN, BATCH, 1)
    rates = np.full(len(order), 0.1, np.float32)
    return [Member(initial, order, rates, (EVERY,), seed=seed) for seed in seeds]


def train(trainer: KerasTrainer, member: Member) -> list[bytes]:
    list(trainer.train_members(tiny_data(), [member], [0, len(member.order)]))
    return [value.tobytes() for value in trainer.variables()]


def test_tensorflow_forgets_its_prepared_functions_once_and_not_for_every_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seeding makes it forget them, and to prepare them again took longer than an epoch."""
    trainer = KerasTrainer(tiny_problem(), lambda: keras.optimizers.SGD(0.1, 0.9), BATCH)
    first, second, third = members_of_seeds([0, 1, 2])
    expected = train(trainer, first)
    seeded: list[int] = []
    monkeypatch.setattr(keras.utils, "set_random_seed", seeded.append)
    compiled = trainer.compile_seconds
    assert train(trainer, second) == train(trainer, third) == expected  # nothing here is random
    assert not seeded
    assert trainer.compile_seconds == compiled


def test_an_optimizer_that_begins_at_random_begins_at_its_seed() -> None:
    trainer = KerasTrainer(tiny_problem(), lambda: StartsAnywhere(0.1, 0.9), BATCH)
    first, second, again = (train(trainer, member) for member in members_of_seeds([0, 1, 0]))
    assert first == again != second


@pytest.mark.parametrize("mode", ["keras", "graph", "xla"])
def test_an_optimizer_that_copies_the_weights_copies_the_initial_ones(mode: str) -> None:
    """A known answer: with k = 1 the slow weights go half of the way of the first update of SGD."""
    (member,) = members_of_seeds([0])
    ends = []
    for make in (lambda: keras.optimizers.SGD(0.1), lambda: Lookahead(keras.optimizers.SGD(0.1), k=1, alpha=0.5)):
        trainer = make_trainer(tiny_problem(), make, mode, by_example=mode != "keras")
        list(trainer.train_members(tiny_data(), [member], [0, 1]))
        ends.append(trainer.variables())
    for start, whole, half in zip(member.initial, *ends, strict=True):
        np.testing.assert_allclose(half - start, (whole - start) / 2, atol=1e-7)
        assert np.abs(whole - start).max() > 1e-4


class InNumpy(keras.layers.Layer):
    """Noise from NumPy's global random state, drawn at every step."""

    def call(self, x: Any, training: bool = False) -> Any:
        noisy = tf.numpy_function(lambda a: a + np.random.normal(size=a.shape).astype("float32"), [x], tf.float32)
        return tf.ensure_shape(noisy, x.shape) if training else x


class InNumpyWhenTraced(keras.layers.Layer):
    """Noise that NumPy draws once, when the step is traced."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x + np.random.normal(size=x.shape[1:]).astype("float32") if training else x


class Remembers(keras.layers.Layer):
    """Noise from a generator of its own, which goes on from step to step."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)

    def call(self, x: Any, training: bool = False) -> Any:
        noisy = tf.py_function(lambda a: a + self.generator.normal(size=a.shape), [x], tf.float32)
        return tf.ensure_shape(noisy, x.shape) if training else x


@pytest.mark.parametrize("layer", [InNumpy, InNumpyWhenTraced, Remembers])
def test_what_python_draws_is_decided_by_the_seed_and_by_no_training_before(layer: Any) -> None:
    problem = replace(
        tiny_problem(), build_model=lambda: keras.Sequential([keras.Input((4,)), layer(), keras.layers.Dense(3)])
    )
    initial = [np.ones((4, 3), np.float32), np.zeros(3, np.float32)]
    first, second = (replace(member, initial=initial) for member in members_of_seeds([0, 1]))

    def trained(*members: Member) -> list[list[bytes]]:
        trainer = KerasTrainer(problem, lambda: keras.optimizers.SGD(0.1, 0.9), BATCH)
        return [train(trainer, member) for member in members]

    (alone,) = trained(first)
    other, after = trained(second, first)
    np.random.normal(size=7)
    assert alone == after == trained(first)[0]
    assert (other != alone) == (layer is not Remembers)  # its seed is its own
