"""The generated experiment with single runs, as the explorer takes it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from descentlab.report.explorer_data import collect_curves
from descentlab.report.sections import Evidence
from support.comparison_fixture import generated_history, generated_runs
from support.report_evidence import evidence_of

NAMES = ["gd", "sgd", "momentum", "adam", "rmsprop"]


def evidence_with_history(runs: pd.DataFrame | None = None, **config: Any) -> Evidence:
    """The generated experiment, each run's validation loss shifted by its seed and optimizer."""
    runs = generated_runs(0) if runs is None else runs
    evidence = evidence_of(runs, **config)
    history = generated_history(runs)
    about = runs.set_index("run_id").loc[history["run_id"]]
    shift = 1 + 0.01 * np.random.default_rng(1).normal(size=len(runs))
    history["val_loss"] *= pd.Series(shift, runs["run_id"]).loc[history["run_id"]].to_numpy() * (
        1 + about["seed"].to_numpy() / 1e4
    )
    return dataclasses.replace(evidence, history=history)


def collected(evidence: Evidence, **options: Any) -> dict[str, pd.DataFrame]:
    data = collect_curves(evidence.comparison, evidence.history, ["up", "down"], evidence.arms, NAMES, **options)
    return {name: pd.DataFrame(columns) for name, columns in data.columns.items()}
