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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from descentlab.experiment.config import Config
from descentlab.experiment.jobs import cut_jobs, runs_per_optimizer
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.plan_parts import Layer, PlannedOptimizer, PlannedProblem
from descentlab.experiment.problem_config import ProblemConfig
from descentlab.experiment.workflow_root import BUNDLED, workflow_root
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import (
    OptimizerError,
    arm_hyperparameters,
    build,
    default_learning_rate,
    resolve_factory,
)
from descentlab.optimizers.error_line import one_line
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.search_space import Trial, extended_trials
from descentlab.optimizers.table import LITERATURE, OPTIMIZERS, OptimizerEntry
from descentlab.training.find_problem import find_problem


def make_plan(config: Config, cache: Path | None = None) -> TrainingPlan:
    """Check everything that training will need, and describe it.

    Args:
        config: the experiment.
        cache: the run cache, where measured choices are remembered; None to measure anew.

    Raises:
        ConfigError, ImportPathError, OptimizerError, ProblemError: something can't be run; the message says what, in one line.
    """
    from descentlab.training.engine.device import configure_device

    device = configure_device()
    entries = {entry.name: entry for problem in config.problems for entry in config.entries(problem)}
    # A fault of a problem's is found in a second; an optimizer of the reader's own is tried for some.
    versions = _versions()
    problems = {problem.name: _plan_problem(config, problem, device, versions, cache) for problem in config.problems}
    return TrainingPlan(
        config=config,
        optimizers={name: _plan_optimizer(entry, config) for name, entry in entries.items()},
        problems=problems,
        jobs={problem: tuple(map(tuple, jobs)) for problem, jobs in cut_jobs(config).items()},
        versions=versions,
        runs={
            problem.name: sum(
                runs_per_optimizer(config, problem.name, entry.tuned_only) for entry in config.entries(problem)
            )
            for problem in config.problems
        },
    )


def _plan_problem(
    config: Config, problem_config: ProblemConfig, device: str, versions: Mapping[str, str], cache: Path | None
) -> PlannedProblem:
    """Build a problem's model and read its data once, and record what later stages need to know about them."""
    from descentlab.problems.absent_classes import absent_classes
    from descentlab.problems.base import Data, ProblemError
    from descentlab.problems.splits import requested_examples, split_data
    from descentlab.training.engine.trainable import count_parameters, with_built_models
    from descentlab.training.plan_mode import plan_mode

    problem = find_problem(problem_config)
    where = f"problem '{problem_config.name}'"
    try:
        data = problem.load_data(problem_config.data)
        if not isinstance(data, Data):
            raise ProblemError(
                f"{where}: load_data must return a descentlab.problems.base.Data; received {type(data).__name__}"
            )
        data.check(where)
        problem = with_built_models(problem, data)
        model = problem.build_model()
    except ProblemError:
        raise
    except Exception as error:  # a reader's problem may raise anything
        raise ProblemError(f"{where}: its data or model can't be loaded: {one_line(error)}") from error
    batch_size = problem_config.batch_size or problem.batch_size
    limit = problem_config.train_examples
    split = split_data(problem, data, 0, batch_size, limit)
    of_problem = config.seeds_of(problem_config.name)
    seeds = [*range(of_problem.looks[-1]), *of_problem.tuning_seeds]
    # Whole numbers that are no integers may be counts, unless the problem says that they are classes.
    countable = problem.stratified or not (isinstance(data.y, np.ndarray) and data.y.dtype.kind == "f")
    splits = ((seed, split_data(problem, data, seed, batch_size, limit)) for seed in seeds)
    absent = absent_classes(data.y, splits) if countable else ()
    way = plan_mode(problem_config, problem, data, batch_size, device, config.execution, versions, cache)
    return PlannedProblem(
        problem=problem_config.problem,
        title=problem.title,
        metric=problem.metric.name,
        higher_is_better=problem.metric.higher_is_better,
        margin=problem.margin,
        margin_reason=problem.margin_reason,
        data_source=problem.source,
        convex=problem.convex,
        divergence_factor=problem.divergence_factor,
        epochs=problem_config.epochs or problem.epochs,
        batch_size=batch_size,
        requested_examples=requested_examples(problem, len(data) - len(split.test), limit),
        absent_classes=absent,
        class_weight={str(label): float(weight) for label, weight in (problem.class_weight or {}).items()},
        train_examples=len(split.train),
        val_examples=len(split.val),
        test_examples=len(split.test),
        parameters=count_parameters(model),
        count=problem.count,
        layers=tuple(_describe_layer(layer) for layer in model.layers),
        data_hash=data.hash(),
        mode=way.mode,
        by_example=way.by_example,
        width=way.width,
        mode_reasons=way.reasons,
        device=device,
    )


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
    arms = [arm for arm in config.arms if arm == Arm.TUNED or not entry.tuned_only]
    for arm in arms:
        build(entry, arm, rate)
    return PlannedOptimizer(
        factory=entry.factory,
        center_learning_rate=entry.center_learning_rate,
        center_source=entry.center_source,
        state_slots=entry.state_slots,
        paper=entry.paper,
        tuned_weight_decay=entry.tuned_weight_decay,
        full_batch=entry.full_batch,
        equal_updates=entry.equal_updates,
        tuned_schedule=_checked_schedule(entry),
        own_learning_rate=rate != default_learning_rate(replace(entry, default_learning_rate=None)),
        tuned_only=entry.tuned_only,
        hyperparameters={arm: arm_hyperparameters(entry, arm) for arm in arms},
        default_learning_rate=rate,
        extended_trials=tuple(_checked_trials(entry, config)) if Arm.EXTENDED in arms else (),
        source_lines=source_lines(entry),
        by_keras=_why_by_keras(entry, config, arms, rate),
        grid=tuple(entry.grid(config.tuning.points)),
    )


def _checked_schedule(entry: OptimizerEntry) -> str:
    """The optimizer's schedule in the tuned arm; a reader's own is called once.

    Raises:
        ImportPathError: it can't be imported or called.
    """
    learning_rates(entry.center_learning_rate, entry.tuned_schedule, 2)
    return entry.tuned_schedule


def _why_by_keras(entry: OptimizerEntry, config: Config, arms: Sequence[Arm], rate: float | None) -> str:
    """Why the compiled loop can't follow an optimizer; empty if it can. Keras' own are known to be followed.

    Raises:
        OptimizerError: Keras can't train with it either.
    """
    from descentlab.training.engine.optimizer_trial import fault_of_compiling
    from descentlab.training.plan_mode import trial_limit

    if OPTIMIZERS.get(entry.name) == entry:
        return ""
    tried = []
    for arm in arms:
        hyperparameters = arm_hyperparameters(entry, arm)
        if hyperparameters in tried:
            continue
        tried.append(hyperparameters)
        try:
            with trial_limit(config.execution, f"optimizer '{entry.name}'"):
                fault = fault_of_compiling(partial(build, entry, arm, rate), rate)
        except Exception as error:  # a reader's optimizer may raise anything
            raise OptimizerError(f"optimizer '{entry.name}': Keras can't train with it: {one_line(error)}") from error
        if fault:
            return fault
    return ""


def _checked_trials(entry: OptimizerEntry, config: Config) -> list[Trial]:
    """The extended arm's trials, each built once."""
    trials = extended_trials(entry, config.tuning.points, config.tuning.extended_trials)
    for trial in trials:
        build(entry, Arm.EXTENDED, None if trial.learning_rate is None else 0.01, trial.hyperparameters)
    return trials


def source_lines(entry: OptimizerEntry) -> int | None:
    """Lines of code of a reader's optimizer, without docstrings, comments and blank lines; None for those of the tables."""
    if ":" not in entry.factory or entry.factory in {known.factory for known in LITERATURE.values()}:
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
    """The versions that a result may depend on, and the commit of the checkout that planned it."""
    packages = ("descentlab", "tensorflow", "keras", "numpy", "scipy", "scikit-learn", "mlflow", "snakemake")
    # An installed package may lie in somebody else's repository, whose commit says nothing about it.
    git = ["git", "-C", str(workflow_root()), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = (
            "" if BUNDLED.is_dir() else subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
        )
    except OSError:  # git is not installed
        commit = ""
    return {"python": platform.python_version(), **{p: version(p) for p in packages}, "git_commit": commit or "unknown"}
