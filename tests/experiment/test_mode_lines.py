"""What the command ``plan`` says about what is trained by a slower way."""

from __future__ import annotations

from descentlab.experiment.mode_lines import mode_lines
from support.comparison_fixture import generated_plan, with_optimizer, with_problems


def test_nothing_is_said_of_what_takes_the_fastest_way() -> None:
    assert mode_lines(generated_plan()) == []


def test_a_line_for_each_problem_in_a_slower_mode_and_for_each_optimizer_that_keras_trains() -> None:
    plan = with_problems(generated_plan(), mode="keras", mode_reasons=("xla: no text", "graph: no text"))
    plan = with_optimizer(plan, "adam", by_keras="xla: another loss")
    assert mode_lines(plan) == [
        *(
            f"{name}: trained in mode keras. Why no faster mode: xla: no text; graph: no text"
            for name in ("up", "down")
        ),
        "adam: trained by Keras' own step on every problem, which is slower. Why not in a compiled loop: xla: another loss",
    ]
