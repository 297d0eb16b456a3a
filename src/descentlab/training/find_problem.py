"""From a problem's entry in a config to the problem itself, and to its data as a job needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descentlab.experiment.config import ConfigError
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.problem_config import ProblemConfig
from descentlab.optimizers.import_path import ImportPathError, import_object
from descentlab.problems.table import BUILTIN_PROBLEMS, builtin_problem
from descentlab.training.engine.keras_trainer import KERAS_MODES
from descentlab.training.problem_data import ProblemData

if TYPE_CHECKING:
    from descentlab.problems.base import Problem


def find_problem(config: ProblemConfig) -> Problem:
    """The problem that a config names: a built-in one, or the reader's own.

    Raises:
        ConfigError: the import path can't be imported, or it names something else.
    """
    if config.problem in BUILTIN_PROBLEMS:
        return builtin_problem(config.problem)
    return import_problem(config.problem, f"problem '{config.name}'")


def import_problem(import_path: str, where: str) -> Problem:
    """The problem that ``package.module:OBJECT`` names.

    Raises:
        ConfigError: the import path can't be imported, or it names something else.
    """
    from descentlab.problems.base import Problem

    try:
        problem = import_object(import_path, where)
    except ImportPathError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(problem, Problem):
        raise ConfigError(
            f"{where}: an import path must name a descentlab.problems.base.Problem; "
            f"'{import_path}' is a {type(problem).__name__}"
        )
    return problem


def planned_problem(plan: TrainingPlan, name: str, device: str) -> ProblemData:
    """A problem of a plan, with its data.

    Args:
        plan: the experiment's plan.
        name: the problem's name in the config.
        device: result of :func:`~descentlab.training.engine.device.configure_device`.
    """
    config, planned = plan.config.problem(name), plan.problems[name]
    tried_here = planned.device == device or planned.mode in KERAS_MODES
    return ProblemData(
        name=name,
        problem=find_problem(config),
        source=config.problem,
        data_path=config.data,
        data_hash=planned.data_hash,
        batch_size=planned.batch_size,
        train_limit=config.train_examples,
        evaluation_limit=config.evaluation_examples,
        requested_mode=planned.mode if config.mode != "auto" or tried_here else "auto",
        by_example=planned.by_example,
        requested_width=planned.width if tried_here else None,
        device=device,
    )
