"""What is trained by a slower way than others, as the command ``plan`` says it."""

from __future__ import annotations

from descentlab.experiment.plan import TrainingPlan


def mode_lines(plan: TrainingPlan) -> list[str]:
    """One line for each problem that a faster mode does not train, and for each optimizer that only Keras' own step trains."""
    problems = [
        f"{name}: trained in mode {problem.mode}. Why no faster mode: {'; '.join(problem.mode_reasons)}"
        for name, problem in plan.problems.items()
        if problem.mode_reasons
    ]
    optimizers = [
        f"{name}: trained by Keras' own step on every problem, which is slower. Why not in a compiled loop: {optimizer.by_keras}"
        for name, optimizer in plan.optimizers.items()
        if optimizer.by_keras
    ]
    return [*problems, *optimizers]
