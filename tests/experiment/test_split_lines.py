"""What the command ``plan`` says about splits: whole batches, and classes that a split is without."""

from __future__ import annotations

from descentlab.experiment.split_lines import split_lines
from descentlab.problems.absent_classes import AbsentClass
from support.comparison_fixture import generated_plan, with_problems


def test_nothing_is_said_of_whole_batches_and_complete_splits() -> None:
    assert split_lines(generated_plan()) == []


def test_a_line_for_what_is_rounded_down_and_for_each_absent_class() -> None:
    absent = AbsentClass("eggs", "val", (1, 3)), AbsentClass("ham", "train", (2,))
    plan = with_problems(generated_plan(), requested_examples=1_039, train_examples=1_032, absent_classes=absent)
    of_up = [line for line in split_lines(plan) if line.startswith("up: ")]
    assert of_up == [
        "up: 1,039 training examples, rounded down to 1,032 (129 batches of 8)",
        "up: class eggs has no example in the val split of seeds 1, 3",
        "up: class ham has no example in the train split of seed 2",
    ]
    assert len(split_lines(plan)) == 2 * len(of_up)
