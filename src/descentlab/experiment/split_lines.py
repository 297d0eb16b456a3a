"""What the split does to a problem's data, as the command ``plan`` says it."""

from __future__ import annotations

from descentlab.experiment.plan import TrainingPlan


def split_lines(plan: TrainingPlan) -> list[str]:
    """One line for each problem whose training split is rounded down, and for each class that a split is without."""
    lines = []
    for name, problem in plan.problems.items():
        if problem.train_examples < problem.requested_examples:
            lines.append(
                f"{name}: {problem.requested_examples:,} training examples, rounded down to {problem.train_examples:,} "
                f"({problem.train_examples // problem.batch_size:,} batches of {problem.batch_size:,})"
            )
        for absent in problem.absent_classes:
            seeds = f"seed{'s' * (len(absent.seeds) > 1)} {', '.join(map(str, absent.seeds))}"
            lines.append(f"{name}: class {absent.label} has no example in the {absent.split} split of {seeds}")
    return lines
