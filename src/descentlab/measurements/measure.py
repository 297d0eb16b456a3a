"""The stage that measures step cost and mechanism problems, each into a table of its own.

What was measured before, by the same code on the same machine, is taken from the cache: a second experiment, or one more
seed of the first, measures nothing again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from descentlab.experiment.measurements import MEASUREMENTS, Measurement
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.provenance import source_digest
from descentlab.optimizers.import_path import import_object
from descentlab.storage.atomic import written_aside
from descentlab.training.engine.device import configure_device


class MeasurementError(ValueError):
    """What is asked for can't be measured; the message says what can."""


def measure(plan: TrainingPlan, names: Sequence[str], output: Path, cache: Path, say: Callable[[str], None]) -> None:
    """Write the tables of ``names`` into ``output``, from the cache where they are there.

    Args:
        output: ``results/<experiment>/measured``.
        cache: folder of the cache.
        say: takes a line for the log.

    Raises:
        MeasurementError: a name is unknown.
    """
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        raise MeasurementError(f"a measurement must be one of {', '.join(MEASUREMENTS)}; received '{unknown[0]}'")
    device = configure_device()
    for name in names:
        measurement = MEASUREMENTS[name]
        folder = cache / "measured" / measurement_digest(plan, name, device)
        paths = [folder / f"{table}.parquet" for table in measurement.tables]
        if not all(path.exists() for path in paths):
            begun = time.perf_counter()
            for path, table in zip(paths, make_tables(plan, measurement), strict=True):
                write(table, path)
            say(f"{name}: measured in {time.perf_counter() - begun:.1f} s")
        else:
            say(f"{name}: known")
        for path in paths:
            write(pd.read_parquet(path), output / path.name)


def make_tables(plan: TrainingPlan, measurement: Measurement) -> list[pd.DataFrame]:
    """Measure."""
    function = import_object(measurement.function, "measurement")
    made = function(*([plan] if measurement.planned else []), **measurement.arguments)
    return [made] if isinstance(made, pd.DataFrame) else list(made)


def measurement_digest(plan: TrainingPlan, name: str, device: str) -> str:
    """sha256 of all that decides a measurement: code, arguments, versions, machine, and its part of the plan."""
    measurement = MEASUREMENTS[name]
    decisive: dict[str, Any] = {
        "name": name,
        "arguments": dict(measurement.arguments),
        "code": source_digest(measurement.module, "descentlab.problems"),
        "versions": {package: plan.versions[package] for package in ("tensorflow", "keras", "numpy", "python")},
        "machine": [device, platform.node(), platform.machine(), os.cpu_count()],
    }
    if measurement.planned:
        decisive["optimizers"] = {
            name: [
                optimizer.factory,
                optimizer.hyperparameters,
                optimizer.centre_learning_rate,
                optimizer.tuned_weight_decay,
                optimizer.full_batch,
            ]
            for name, optimizer in plan.optimizers.items()
        }
        decisive["problems"] = {
            name: [
                problem.problem,
                problem.batch_size,
                problem.train_examples,
                problem.data_hash,
                problem.parameters,
            ]
            for name, problem in plan.problems.items()
        }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def write(table: pd.DataFrame, path: Path) -> None:
    """A table as parquet, whole or not at all."""
    with written_aside(path) as aside:
        table.to_parquet(aside, index=False)
