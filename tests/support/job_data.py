"""A problem as a job has it, without a plan."""

from __future__ import annotations

from descentlab.problems.base import Problem
from descentlab.training.problem_data import ProblemData


def job_data(problem: Problem, mode: str = "xla", by_example: bool = True) -> ProblemData:
    """A problem with its own batch size, on a CPU, its runs one at a time."""
    return ProblemData(
        name=problem.name,
        problem=problem,
        source=problem.name,
        data_path=None,
        data_hash=problem.load_data(None).hash(),
        batch_size=problem.batch_size,
        train_limit=None,
        evaluation_limit=None,
        requested_mode=mode,
        by_example=by_example,
        requested_width=1,
        device="CPU",
    )
