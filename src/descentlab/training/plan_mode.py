"""How a problem is trained, as its plan says: tried and timed once for a problem on a machine, and then remembered.

To plan again, with another optimizer or seed, must not choose another mode by the noise of a clock: every run would be trained
again.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from descentlab.experiment.problem_config import ProblemConfig
from descentlab.experiment.provenance import source_digest
from descentlab.experiment.settings import ExecutionConfig
from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.problems.table import BUILTIN_PROBLEMS
from descentlab.storage.atomic import write_text
from descentlab.training.engine.keras_trainer import KERAS_MODES
from descentlab.training.engine.mode_trial import ModeTrial, ModeTrials
from descentlab.training.engine.modes import choose_width, modes_to_try
from descentlab.training.execution.time_limit import time_limit
from descentlab.training.run_digest import hash_json, problem_code


def plan_mode(
    config: ProblemConfig,
    problem: Problem,
    data: Data,
    batch_size: int,
    device: str,
    execution: ExecutionConfig,
    versions: Mapping[str, str],
    cache: Path | None = None,
) -> ModeTrial:
    """How a problem is trained, and why.

    Args:
        config: the problem's entry in the config.
        problem: its models are built.
        data: all examples.
        batch_size: examples per update.
        device: result of :func:`~descentlab.training.engine.device.configure_device`.
        execution: has the limit of a run's time, which holds for a trial too.
        versions: package versions, from the plan.
        cache: the run cache, where the choice is remembered; None to choose anew.

    Raises:
        ProblemError: Keras can't train it, or not in the mode that the config asks for.
    """
    automatic, own_step = config.mode == "auto", config.mode in KERAS_MODES
    model = problem.build_model()
    tried = modes_to_try(model, device, batch_size) if automatic else (config.mode,) * (not own_step)
    settled = tried[:1] == ("xla",) or not (automatic or own_step)
    if config.problem in BUILTIN_PROBLEMS and settled and is_plain(model):  # known to be trained as Keras does
        return ModeTrial(tried[0], True, choose_width(model, tried[0]))
    decisive = {
        "problem": [problem.name, problem_code(problem, config.problem)],
        "data": data.hash(),
        "batch_size": batch_size,
        "tried": tried or config.mode,
        "machine": [device, platform.node(), platform.machine(), os.cpu_count()],
        "code": source_digest("descentlab.training.engine.mode_trial"),
        "versions": {name: versions[name] for name in ("tensorflow", "keras", "numpy")},
    }
    path = None if cache is None else cache / "modes" / f"{hash_json(decisive)}.json"
    way = None if path is None else _remembered(path)
    if way is None:
        with trial_limit(execution, f"problem '{config.name}'"):
            own = (config.mode,) if own_step else KERAS_MODES
            way = ModeTrials(problem, data, batch_size, own).choose(tried, fastest=automatic)
        if path is not None:
            write_text(path, json.dumps(asdict(way)))
    if not automatic and config.mode != way.mode:
        raise ProblemError(
            f"problem '{config.name}': mode: {config.mode} can't train it; write mode: auto. Reason: {way.reasons[-1]}"
        )
    return way


def is_plain(model: Any) -> bool:
    """Whether a model is of dense layers, convolutions and pooling alone."""
    from keras import layers

    plain = layers.InputLayer, layers.Dense, layers.Conv2D, layers.MaxPooling2D, layers.Flatten, layers.Reshape
    return all(isinstance(layer, plain) for layer in model.layers)


def _remembered(path: Path) -> ModeTrial | None:
    """The choice in a file; None if there is none, or if it is damaged."""
    try:
        way = json.loads(path.read_text(encoding="utf-8"))
        return ModeTrial(str(way["mode"]), bool(way["by_example"]), int(way["width"]), tuple(map(str, way["reasons"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def trial_limit(execution: ExecutionConfig, where: str) -> AbstractContextManager[None]:
    """Ends the process if a trial of a few updates takes longer than a run may."""
    minutes = execution.run_minutes
    message = f"descentlab: {where}: a trial of a few updates took longer than execution.run_minutes ({minutes})"
    return time_limit(None if minutes is None else 60 * minutes, message, None)
