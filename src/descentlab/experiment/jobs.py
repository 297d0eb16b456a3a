"""How many runs an experiment has, and how the workflow divides them into jobs; imports neither Keras nor readers' code."""

from __future__ import annotations

import math

from descentlab.experiment.config import Config
from descentlab.optimizers.arms import Arm
from descentlab.problems.table import BUILTIN_PROBLEMS

START_SECONDS = 8.0  # to start a process and import TensorFlow, on one core
COMPILE_SECONDS = 1.5  # to compile an optimizer on a small model, on one core
UNKNOWN_EPOCH_SECONDS = 1.0
SWEPT_RATES = 10  # learning rates of a typical sweep beyond those that tuning tried


def runs_per_optimizer(config: Config, problem: str, tuned_only: bool = False) -> int:
    """Runs of one optimizer on one problem, including both neighbors of the chosen rate, if its grid doesn't grow.

    A rate tuned for speed that is none of these takes ``seeds.final`` more.

    Args:
        config: the experiment.
        problem: name of one of its problems.
        tuned_only: without those of the other arms.

    Example:
        >>> from descentlab.experiment.config import parse_config
        >>> config = parse_config({"experiment": "e", "problems": ["mlp"], "optimizers": ["sgd", "adam"]}, "here")
        >>> runs_per_optimizer(config, "mlp")  # 10 default; 7 rates on 5 seeds, then 10; 10 on each side of the chosen rate
        75
    """
    seeds = config.seeds_of(problem)
    tuned = config.tuning_of(problem).points * seeds.tuning + seeds.final
    neighbors = 2 * seeds.final if trains_for_speed(config, problem) else 0
    extended = (config.tuning.extended_trials + 1) * seeds.tuning + seeds.final
    by_arm = {Arm.DEFAULT: seeds.final, Arm.TUNED: tuned + neighbors, Arm.EXTENDED: extended}
    return sum(by_arm[arm] for arm in config.arms if arm == Arm.TUNED or not tuned_only)


def trains_for_speed(config: Config, problem: str) -> bool:
    """Whether a problem's final seeds are trained at the rates that are tuned for speed."""
    tuning = config.tuning_of(problem)
    return Arm.TUNED in config.arms and tuning.neighbors and tuning.points > 1


def is_swept(config: Config, problem: str, optimizer: str) -> bool:
    """Whether the robustness sweep includes the optimizer on this problem."""
    return Arm.TUNED in config.arms and optimizer in config.sweep.optimizers and config.problem(problem).sweep


def cut_jobs(config: Config) -> dict[str, list[list[str]]]:
    """The optimizers of each job, by problem, in the order of the config; each job is one process.

    With ``execution.optimizers_per_job: auto``, enough per job that its start takes less than a tenth of its time.

    Example:
        >>> from descentlab.experiment.config import parse_config
        >>> raw = {"experiment": "e", "problems": ["mlp"], "optimizers": ["sgd", "adam", "lion"]}
        >>> cut_jobs(parse_config({**raw, "execution": {"optimizers_per_job": 2}}, "here"))
        {'mlp': [['sgd', 'adam'], ['lion']]}
    """
    jobs: dict[str, list[list[str]]] = {}
    for problem in config.problems:
        names = [entry.name for entry in config.entries(problem)]
        per_job = config.execution.optimizers_per_job
        if per_job != "auto":
            most = per_job
        else:
            epoch_seconds = BUILTIN_PROBLEMS.get(problem.problem, UNKNOWN_EPOCH_SECONDS)
            swept = sum(is_swept(config, problem.name, name) for name in names) / len(names)
            runs = runs_per_optimizer(config, problem.name) + swept * SWEPT_RATES * config.sweep.seeds
            seconds = COMPILE_SECONDS + runs * epoch_seconds * (problem.epochs or 20)
            most = max(1, math.ceil(9 * START_SECONDS / seconds))
        number = math.ceil(len(names) / most)
        size, longer = divmod(len(names), number)
        cuts = [i * size + min(i, longer) for i in range(number + 1)]
        jobs[problem.name] = [names[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    return jobs
