"""Externally logged runs read into a results folder, and what the tables and the plan there say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from descentlab.analysis.compare import compare_results
from descentlab.tracking.imported.experiment import import_experiment
from descentlab.tracking.imported.mapping import load_mapping


def table(folder: Path, name: str) -> pd.DataFrame:
    """A table of the folder."""
    return pd.read_parquet(folder / f"{name}.parquet")


def written(mapping: str) -> Path:
    """A mapping file in this folder."""
    Path("mapping.yaml").write_text(mapping)
    return Path("mapping.yaml")


def imported(mapping: str = "") -> Path:
    """The compared results of experiment ``e`` in this folder."""
    plan, results = import_experiment("e", load_mapping(written(mapping) if mapping else None), None)
    compare_results(plan, results)
    return results


def unknown(results: Path) -> list[tuple[Any, ...]]:
    """Code, problem, optimizer, number of runs and values of what the plan says isn't known, sorted by code."""
    entries = json.loads((results / "plan.json").read_text())["unknown"]
    columns = ("code", "problem", "optimizer", "count", "values")
    return sorted((tuple(entry[column] for column in columns) for entry in entries), key=lambda entry: entry[:3])


def codes(results: Path) -> set[str]:
    """What isn't known, by its codes alone."""
    return {code for code, *_ in unknown(results)}
