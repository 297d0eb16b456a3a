"""From a config to a plan: checks, before anything is trained, that every run can be trained.

:func:`make_plan` imports everything, builds every model and optimizer once, reads the data, and records what the later
stages need to know.
"""

from __future__ import annotations

import ast
import inspect
import platform
import subprocess
import textwrap
from contextlib import AbstractContextManager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descentlab.experiment.config import Config
from descentlab.experiment.entries import ProblemConfig
from descentlab.experiment.jobs import cut_jobs, runs_per_optimizer
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.plan_parts import Layer, PlannedOptimizer, PlannedProblem
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import (
    OptimizerError,
    arm_hyperparameters,
    build,
    default_learning_rate,
    resolve_factory,
)
from descentlab.optimizers.import_path import one_line
from descentlab.optimizers.search_space import Trial, extended_trials
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry
from descentlab.problems.builtin import BUILTIN_PROBLEMS
from descentlab.training.execution.time_limit import time_limit
from descentlab.training.find_problem import find_problem

if TYPE_CHECKING:
    from descentlab.problems.base import Data, Problem
    from descentlab.training.engine.mode_trial import ModeTrial


def make_plan(config: Config) -> TrainingPlan:
    """Check everything that training will need, and describe it.

    Raises:
        ConfigError, ImportPathError, OptimizerError, ProblemError: something can't be run; the message says what, in one line.
    """
    from descentlab.training.engine.device import configure_device

    device = configure_device()
    entries = {entry.name: entry for problem in config.problems for entry in config.entries(problem)}
    return TrainingPlan(
        config=config,
        optimizers={name: _plan_optimizer(entry, config) for name, entry in entries.items()},
        problems={problem.name: _plan_problem(config, problem, device) for problem in config.problems},
        jobs={problem: tuple(map(tuple, jobs)) for problem, jobs in cut_jobs(config).items()},
        versions=_versions(),
        runs={problem.name: runs_per_optimizer(config) * len(config.entries(problem)) for problem in config.problems},
    )


def _plan_problem(config: Config, problem_config: ProblemConfig, device: str) -> PlannedProblem:
    """Build a problem's model and read its data once, and record what later stages need to know about them."""
    from descentlab.problems.base import ProblemError, split_data
    from descentlab.training.engine.trainable import count_parameters, with_built_models

    problem = find_problem(problem_config)
    where = f"problem '{problem_config.name}'"
    try:
        data = problem.load_data(problem_config.data)
        data.check(where)
        problem = with_built_models(problem, data)
        model = problem.build_model()
    except ProblemError:
        raise
    except Exception as error:  # a reader's problem may raise anything
        raise ProblemError(f"{where}: its data or model can't be loaded: {type(error).__name__}: {error}") from error
    batch_size = problem_config.batch_size or problem.batch_size
    split = split_data(problem, data, 0, batch_size, problem_config.train_examples)
    way = _choose_way(config, problem_config, problem, data, batch_size, device)
    return PlannedProblem(
        problem=problem_config.problem,
        title=problem.title,
        metric=problem.metric.name,
        higher_is_better=problem.metric.higher_is_better,
        margin=problem.margin,
        convex=problem.convex,
        loss_bound=problem.loss_bound,
        epochs=problem_config.epochs or problem.epochs,
        batch_size=batch_size,
        train_examples=len(split.train),
        val_examples=len(split.val),
        test_examples=len(split.test),
        parameters=count_parameters(model),
        count=problem.count,
        layers=tuple(_describe_layer(layer) for layer in model.layers),
        data_hash=data.hash(),
        mode=way.mode,
        by_example=way.by_example,
        mode_reasons=way.reasons,
        device=device,
    )


def _choose_way(
    experiment: Config, config: ProblemConfig, problem: Problem, data: Data, batch_size: int, device: str
) -> ModeTrial:
    """How a problem is trained. Those of the package are known to be trained as Keras does; a reader's is tried.

    Raises:
        ProblemError: Keras can't train it, or not in the mode that the config asks for.
    """
    from descentlab.problems.base import ProblemError
    from descentlab.training.engine.keras_trainer import KERAS_MODES
    from descentlab.training.engine.mode_trial import ModeTrial, ModeTrials
    from descentlab.training.engine.modes import choose_mode

    if config.mode in KERAS_MODES:
        return ModeTrial(config.mode, by_example=False)
    mode = choose_mode(problem.build_model(), device, batch_size) if config.mode == "auto" else config.mode
    if config.problem in BUILTIN_PROBLEMS:
        return ModeTrial(mode, by_example=True)
    tried = (mode, "graph") if config.mode == "auto" and mode != "graph" else (mode,)
    with _trial_limit(experiment, f"problem '{config.name}'"):
        way = ModeTrials(problem, data, batch_size).choose(tried)
    if config.mode not in ("auto", way.mode):
        raise ProblemError(
            f"problem '{config.name}': mode: {config.mode} can't train it; write mode: auto. Reason: {way.reasons[-1]}"
        )
    return way


def _describe_layer(layer: Any) -> Layer:
    """A layer for the report; its shape is empty where it is only known once the layer is called."""
    import keras

    try:
        shape = ", ".join(str(tuple(tensor.shape)) for tensor in keras.tree.flatten(layer.output))
    except (AttributeError, ValueError):  # a layer of a subclassed model
        shape = ""
    return Layer(layer.name, type(layer).__name__, shape, layer.count_params() if layer.built else 0)


def _plan_optimizer(entry: OptimizerEntry, config: Config) -> PlannedOptimizer:
    """Build an optimizer once for each arm, and record what later stages need to know about it."""
    rate = default_learning_rate(entry)
    for arm in config.arms:
        build(entry, arm, rate)
    return PlannedOptimizer(
        factory=entry.factory,
        center_learning_rate=entry.center_learning_rate,
        state_slots=entry.state_slots,
        paper=entry.paper,
        tuned_weight_decay=entry.tuned_weight_decay,
        full_batch=entry.full_batch,
        equal_updates=entry.equal_updates,
        tuned_schedule=entry.tuned_schedule,
        hyperparameters={arm: arm_hyperparameters(entry, arm) for arm in config.arms},
        default_learning_rate=rate,
        extended_trials=tuple(_checked_trials(entry, config)) if Arm.EXTENDED in config.arms else (),
        source_lines=source_lines(entry),
        by_keras=_why_by_keras(entry, config, rate),
        grid=tuple(entry.grid(config.tuning.points)),
    )


def _why_by_keras(entry: OptimizerEntry, config: Config, rate: float | None) -> str:
    """Why the compiled loop can't follow an optimizer; empty if it can. The table's own are known to be followed.

    Raises:
        OptimizerError: Keras can't train with it either.
    """
    from descentlab.training.engine.optimizer_trial import fault_of_compiling

    if OPTIMIZERS.get(entry.name) == entry:
        return ""
    for arm in config.arms:
        try:
            with _trial_limit(config, f"optimizer '{entry.name}'"):
                fault = fault_of_compiling(partial(build, entry, arm, rate), rate)
        except Exception as error:  # a reader's optimizer may raise anything
            raise OptimizerError(f"optimizer '{entry.name}': Keras can't train with it: {one_line(error)}") from error
        if fault:
            return fault
    return ""


def _trial_limit(config: Config, where: str) -> AbstractContextManager[None]:
    """Ends the process if a trial of a few updates takes longer than a run may."""
    minutes = config.execution.run_minutes
    message = f"descentlab: {where}: a trial of a few updates took longer than execution.run_minutes ({minutes})"
    return time_limit(None if minutes is None else 60 * minutes, message, None)


def _checked_trials(entry: OptimizerEntry, config: Config) -> list[Trial]:
    """The extended arm's trials, each built once."""
    trials = extended_trials(entry, config.tuning.points, config.tuning.extended_trials)
    for trial in trials:
        build(entry, Arm.EXTENDED, None if trial.learning_rate is None else 0.01, trial.hyperparameters)
    return trials


def source_lines(entry: OptimizerEntry) -> int | None:
    """Lines of code of a reader's optimizer, without docstrings, comments and blank lines; None for Keras' own."""
    if ":" not in entry.factory:
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(resolve_factory(entry))))
    except (OSError, TypeError, SyntaxError):  # made at run time, or written in C
        return None
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.stmt | ast.expr | ast.arg)]
    lines = {
        line
        for node in nodes
        if not isinstance(node, ast.ClassDef | ast.FunctionDef)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines |= {node.lineno for node in nodes}
    documented = [
        node for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
    ]
    for node in documented:
        text = node.body[0]
        lines -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


def _versions() -> dict[str, str]:
    """The versions that a result may depend on, and the commit that it was planned at."""
    packages = ("descentlab", "tensorflow", "keras", "numpy", "scipy", "scikit-learn", "mlflow", "snakemake")
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # git is not installed
        commit = ""
    return {"python": platform.python_version(), **{p: version(p) for p in packages}, "git_commit": commit or "unknown"}
