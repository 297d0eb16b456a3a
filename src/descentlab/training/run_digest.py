"""The digest of a run: it covers everything that decides the result, and nothing else."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

from descentlab.experiment.provenance import modules_digest, source_digest
from descentlab.experiment.run_spec import RunSpec
from descentlab.optimizers.build import arm_hyperparameters
from descentlab.optimizers.import_path import import_object
from descentlab.optimizers.table import OptimizerEntry
from descentlab.problems.base import Problem
from descentlab.problems.table import BUILTIN_PROBLEMS, builtin_module
from descentlab.training.problem_data import ProblemData

# The roots of the code that decides a run's numbers; the device is set up by the job, so it is named apart.
DECISIVE_CODE = ("descentlab.training.member_run", "descentlab.training.engine.device")
# The same training under another name is the same run.
NAMES_ONLY = {"optimizer", "arm", "phase", "hyperparameters"}


def run_digest(
    problem: ProblemData, entry: OptimizerEntry, spec: RunSpec, versions: Mapping[str, str], by_keras: bool = False
) -> str:
    """sha256 of everything that decides a run.

    Args:
        problem: the problem with its data.
        entry: the optimizer.
        spec: the run.
        versions: package versions, from the plan.
        by_keras: whether Keras' own step trains it, whatever the problem's mode.
    """
    return hash_json(
        {
            **{name: value for name, value in spec.as_dict().items() if name not in NAMES_ONLY},
            "problem": [
                problem.problem.name,
                problem_code(problem.problem, problem.source),
                problem.train_limit,
                problem.evaluation_limit,
            ],
            "data": problem.data_hash,
            "optimizer": [entry.factory, arm_hyperparameters(entry, spec.arm, spec.extended), own_code(entry.factory)],
            "schedule_code": own_code(spec.schedule),
            "sealed": spec.sealed,
            "mode": problem.mode,
            "width": problem.width,
            "by_example": problem.by_example,
            "by_keras": by_keras,
            "device": problem.device,
            "code": source_digest(*DECISIVE_CODE),
            "versions": {name: versions[name] for name in ("tensorflow", "keras", "numpy")},
        }
    )


def hash_json(decisive: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of everything that decides a result."""
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def problem_code(problem: Problem, source: str) -> str:
    """Digest of the modules that define a problem, and of what they import from the package and the reader's own modules.

    Args:
        problem: the problem.
        source: built-in name or import path; the Problem may be assembled in another module than its parts.
    """
    parts = (problem.build_model, problem.load_data, problem.loss, problem.metric.per_example, problem.optimum)
    modules = {inspect.getmodule(part) for part in parts}
    names = {module.__name__ for module in modules if module is not None}
    names.add(builtin_module(source) if source in BUILTIN_PROBLEMS else source.partition(":")[0])
    return modules_digest(names)


def own_code(path: str) -> str:
    """Digest of the module of an optimizer or a schedule given by import path, and of what it imports; empty for a name."""
    module = inspect.getmodule(import_object(path, path)) if ":" in path else None
    return modules_digest([module.__name__]) if module else ""
