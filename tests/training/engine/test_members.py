"""Members side by side: each is the same bits alone and beside any number of others, in any place.

The width, to which fewer members are filled up, belongs to the mode; between widths only rounding is shared.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.random_streams import data_order
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.member import Evaluation, Member
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer
from support.tiny_training import (
    ALL,
    BATCH,
    EPOCHS,
    EVERY,
    OF_EACH_KIND,
    TOLERANCE,
    TRAIN,
    UPDATES,
    decayed_rates,
    members,
    optimizer_maker,
    tiny_data,
    tiny_problem,
)
from support.zoo_cases import one_of_a_kind

pytestmark = pytest.mark.usefixtures("device")

EVALUATE_AT = [0, 6, 12, 18]


def member(name: str, number: int) -> Member:
    """Another seed and another learning rate for each number."""
    rates = (decayed_rates(name) * (1 + number / 10)).astype(np.float32)
    order = data_order("tiny", number, TRAIN, BATCH, EPOCHS)
    return Member(initial_variables(tiny_problem(), number), order, rates, (EVERY,))


# One of each rule: those that differ in a setting alone are computed by the same code.
RULES = [name for name in ALL if name not in ("gd", "momentum", "nesterov", "amsgrad", "adamw")]


@functools.cache
def trainer(name: str, width: int) -> Trainer:
    if width == 1:  # test_trainer.py's: to compile one more takes seconds
        return members(name, "xla")[0]
    compiled = CompiledModel(tiny_problem(), "xla", width)
    return Trainer(compiled, optimizer_maker(name), has_learning_rate=name in OPTIMIZERS)


def train(name: str, width: int, numbers: list[int]) -> list[list[Evaluation]]:
    """Evaluations of each member."""
    found = list(trainer(name, width).train_members(tiny_data(), [member(name, n) for n in numbers], EVALUATE_AT))
    return [list(of_member) for of_member in zip(*found, strict=True)]


def bits(evaluations: list[Evaluation], variables: list[np.ndarray], state: list[np.ndarray]) -> bytes:
    seen = [array for e in evaluations for array in (e.loss, e.score)]
    return b"".join(array.tobytes() for array in [*seen, *variables, *state])


def end_bits(name: str, width: int, numbers: list[int], row: int) -> bytes:
    evaluations = train(name, width, numbers)[row]
    return bits(evaluations, trainer(name, width).variables(row), trainer(name, width).state(row))


@pytest.mark.parametrize("name", one_of_a_kind(RULES, OF_EACH_KIND))
def test_a_member_is_the_same_bits_alone_and_beside_others(name: str) -> None:
    alone = end_bits(name, 8, [3], 0)
    assert end_bits(name, 8, [3, 1, 2], 0) == alone
    assert end_bits(name, 8, [0, 1, 2, 4, 5, 6, 7, 3], 7) == alone
    assert end_bits(name, 8, [4], 0) != alone


@pytest.mark.parametrize("name", one_of_a_kind(["adam", "lamb"], ["adam"]))
def test_a_member_is_the_same_bits_beside_31_others(name: str) -> None:
    alone = end_bits(name, 32, [3], 0)
    others = [number for number in range(32) if number != 3]
    for place in (0, 13, 31):
        assert end_bits(name, 32, [*others[:place], 3, *others[place:]], place) == alone


@pytest.mark.parametrize("name", one_of_a_kind(RULES, OF_EACH_KIND))
def test_widths_differ_by_rounding_alone(name: str) -> None:
    """So also the rules that look at a whole tensor: none sees another member's."""
    (one,), (*_, eighth) = train(name, 1, [5]), train(name, 8, [0, 1, 5])
    for first, second in zip(one, eighth, strict=True):
        scale = max(1.0, np.abs(first.loss).max())
        np.testing.assert_allclose(first.loss, second.loss, rtol=0, atol=5 * TOLERANCE * scale)


def test_a_member_that_diverges_leaves_the_others_alone() -> None:
    alone = end_bits("adam", 8, [3], 0)
    lost = member("adam", 1)
    lost = Member(lost.initial, lost.order, np.full(UPDATES, np.inf, np.float32), (EVERY,))
    found = list(trainer("adam", 8).train_members(tiny_data(), [lost, member("adam", 3)], EVALUATE_AT))
    assert not np.isfinite(found[-1][0].loss).any()
    beside = [evaluations[1] for evaluations in found]
    assert bits(beside, trainer("adam", 8).variables(1), trainer("adam", 8).state(1)) == alone


def test_members_share_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that is a second later whenever it is read, a stretch of updates and an evaluation take one each."""
    monkeypatch.setattr(
        "descentlab.training.engine.trainer.time.perf_counter", functools.partial(next, itertools.count())
    )
    for beside in (1, 8):
        for evaluation in train("adam", 8, list(range(beside)))[0]:
            stretches = evaluation.updates // 6
            assert evaluation.train_seconds == pytest.approx(stretches / beside)
            assert evaluation.evaluation_seconds == pytest.approx((stretches + 1) / beside)


def test_a_model_with_dropout_trains_side_by_side() -> None:
    """Its random numbers can't be drawn for all members at once: they are drawn member by member, from each one's state."""
    from support.functional_problem import functional_data, functional_problem, make_adam

    problem, data = functional_problem("dict"), functional_data("dict")

    def ends(width: int, seeds: list[int]) -> list[list[np.ndarray]]:
        found = Trainer(CompiledModel(problem, "xla", width), make_adam)
        rates = np.full(UPDATES, 0.01, np.float32)
        several = [
            Member(
                initial_variables(problem, seed), data_order(problem.name, seed, TRAIN, BATCH, EPOCHS), rates, (EVERY,)
            )
            for seed in seeds
        ]
        for _ in found.train_members(data, several, [UPDATES]):
            pass
        return [found.variables(row) for row in range(len(seeds))]

    (alone,), beside = ends(4, [1]), ends(4, [0, 1, 2])
    assert [v.tobytes() for v in alone] == [v.tobytes() for v in beside[1]]
    assert all(a.tobytes() != b.tobytes() for a, b in zip(beside[0], beside[1], strict=True))
    for narrow, wide in zip(ends(1, [1])[0], alone, strict=True):
        np.testing.assert_allclose(narrow, wide, rtol=0, atol=TOLERANCE)
