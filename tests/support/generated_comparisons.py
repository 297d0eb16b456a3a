"""Comparisons of the generated experiment, with few trials of the coverage simulation: it has tests of its own."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

import pandas as pd

from descentlab.analysis import compare
from descentlab.analysis.claims.evidence import ClaimEvidence
from descentlab.analysis.comparison import Comparison
from descentlab.analysis.pairing import ROW
from descentlab.analysis.targets import targets_by_problem
from descentlab.analysis.time_to_target import measure_reached
from descentlab.experiment.looks import Look
from descentlab.experiment.plan import TrainingPlan
from support.comparison_fixture import (
    NO_EXAMPLES,
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
)

TRIALS = 2
FASTER = 0.1  # the rate above the chosen one


def few_trials() -> Any:
    """Within it, the coverage of intervals is simulated from so few trials that it takes no time."""
    return patch.object(compare, "COVERAGE_TRIALS", TRIALS)


def compared(
    plan: TrainingPlan | None = None,
    runs: pd.DataFrame | None = None,
    history: pd.DataFrame | None = None,
    selections: list[dict[str, Any]] | None = None,
    measured: Mapping[str, pd.DataFrame] | None = None,
    looks: Sequence[Look] = (),
) -> Comparison:
    """The whole comparison; what isn't given is the generated experiment's."""
    plan = generated_plan() if plan is None else plan
    runs = generated_runs(0) if runs is None else runs
    history = generated_history(runs) if history is None else history
    selections = generated_selections() if selections is None else selections
    with few_trials():
        return compare.compare_runs(plan, runs, history, selections, NO_EXAMPLES, measured or {}, looks=looks)


@functools.cache
def generated_comparison() -> Comparison:
    """Of the generated experiment as it is; tests read it, and change copies of its tables."""
    return compared()


def final(runs: pd.DataFrame) -> pd.DataFrame:
    """The final runs."""
    return runs[runs["phase"] == "final"]


def claim_evidence(
    runs: pd.DataFrame,
    history: pd.DataFrame | None = None,
    plan: TrainingPlan | None = None,
    measured: Mapping[str, pd.DataFrame] | None = None,
) -> ClaimEvidence:
    """What claims are judged on, without the rest of a comparison."""
    plan = generated_plan() if plan is None else plan
    history = generated_history(runs) if history is None else history
    curves = history.merge(final(runs)[["run_id", *ROW, "seed"]], on="run_id")
    return ClaimEvidence(
        plan,
        runs,
        curves,
        {},
        measure_reached(final(runs), curves, targets_by_problem(plan, runs, history)),
        measured or {},
    )


def row(table: pd.DataFrame, **values: object) -> dict[str, Any]:
    """The one row that has these values."""
    found = table[(table[list(values)] == pd.Series(values)).all(axis=1)]
    assert len(found) == 1, f"{len(found)} rows for {values}"
    return dict(found.iloc[0])


def with_neighbors() -> pd.DataFrame:
    """The generated runs, and the final seeds at both rates beside the chosen one."""
    runs = generated_runs(0)
    tuned = runs[(runs["arm"] == "tuned") & (runs["phase"] == "final")]
    beside = [
        tuned.assign(
            phase="neighbor",
            learning_rate=rate,
            run_id=tuned["run_id"].str.replace("final", "neighbor").str.replace("lr=0.01", f"lr={rate:g}"),
        )
        for rate in (0.001, FASTER)
    ]
    return pd.concat([runs, *beside], ignore_index=True)


def with_fast_rate(runs: pd.DataFrame, optimizer: str) -> pd.DataFrame:
    """Histories in which the optimizer's runs at FASTER are twice as fast as at the other rates."""
    history = generated_history(runs)
    fast = runs[(runs["optimizer"] == optimizer) & (runs["learning_rate"] == FASTER)]["run_id"]
    mine = history["run_id"].isin(fast)
    losses = [name for name in history if name.endswith("_loss")]
    history.loc[mine, losses] = history.loc[mine, losses] ** 2
    return history
