"""The stage that measures step cost and mechanism problems, each into its own table.

What the same code measured before on the same machine is read from the cache, so that a second experiment, or another seed
of the first, measures nothing again.
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
from descentlab.experiment.provenance import reader_modules_digest, source_digest
from descentlab.optimizers.import_path import import_object
from descentlab.storage.atomic import write_text, written_aside
from descentlab.training.engine.device import configure_device


class MeasurementError(ValueError):
    """The requested measurement does not exist; the message lists those that do."""


def measure(plan: TrainingPlan, names: Sequence[str], output: Path, cache: Path, say: Callable[[str], None]) -> None:
    """Write the tables of ``names`` into ``output``, from the cache if it has them.

    Args:
        plan: the experiment's plan.
        names: names of measurements.
        output: ``results/<experiment>/measured``.
        cache: folder of the cache.
        say: writes one line to the log.

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
        said = folder / "said.txt"  # what was left out, and why
        if not all(path.exists() for path in (said, *paths)):
            start = time.perf_counter()
            lines: list[str] = []
            for path, table in zip(paths, make_tables(plan, measurement, lines.append), strict=True):
                write(table, path)
            write_text(said, "\n".join(lines))
            say(f"{name}: measured in {time.perf_counter() - start:.1f} s")
        else:
            say(f"{name}: taken from the cache")
        for line in said.read_text(encoding="utf-8").splitlines():
            say(line)
        for path in paths:
            write(pd.read_parquet(path), output / path.name)


def make_tables(plan: TrainingPlan, measurement: Measurement, say: Callable[[str], None]) -> list[pd.DataFrame]:
    """Run a measurement; its tables in the order of ``measurement.tables``."""
    function = import_object(measurement.function, "measurement")
    result = function(*([plan, say] if measurement.planned else []), **measurement.arguments)
    return [result] if isinstance(result, pd.DataFrame) else list(result)


def measurement_digest(plan: TrainingPlan, name: str, device: str) -> str:
    """sha256 of everything that a measurement depends on: code, arguments, versions, machine, and its part of the plan."""
    measurement = MEASUREMENTS[name]
    decisive: dict[str, Any] = {
        "name": name,
        "arguments": dict(measurement.arguments),
        "code": source_digest(measurement.module, "descentlab.problems"),
        "versions": {package: plan.versions[package] for package in ("tensorflow", "keras", "numpy", "python")},
        "machine": [device, platform.node(), platform.machine(), os.cpu_count()],
    }
    if measurement.planned:
        decisive["modules"] = reader_modules_digest(plan.config)
        decisive["optimizers"] = {
            name: [
                optimizer.factory,
                optimizer.hyperparameters,
                optimizer.center_learning_rate,
                optimizer.tuned_weight_decay,
                optimizer.full_batch,
                optimizer.by_keras,
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
                problem.mode,
                problem.by_example,
                [entry.name for entry in plan.config.entries(plan.config.problem(name))],
            ]
            for name, problem in plan.problems.items()
        }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as parquet, atomically."""
    with written_aside(path) as temporary:
        table.to_parquet(temporary, index=False)
