"""From runs and histories to what the report says: summaries, curves, paired contrasts with verdicts, alarms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.alarms import raise_alarms
from descentlab.analysis.best_of_k import measure_best_of_k
from descentlab.analysis.break_even import measure_break_even, step_microseconds_by_row
from descentlab.analysis.claims.evidence import ClaimEvidence
from descentlab.analysis.claims.ledger import make_ledger
from descentlab.analysis.comparison import TABLES, Comparison, fill_table, write_comparison
from descentlab.analysis.contrasts import contrast
from descentlab.analysis.coverage import simulate_coverage
from descentlab.analysis.fastest_rates import choose_for_speed, faster_untrained, time_tuning_runs
from descentlab.analysis.pairing import ROW, scores_by_run
from descentlab.analysis.rank_stability import measure_rank_stability
from descentlab.analysis.ranks import measure_ranks
from descentlab.analysis.recommendation import measure_recommendations
from descentlab.analysis.regret import measure_regret
from descentlab.analysis.sensitivity import measure_sensitivity, measure_widths
from descentlab.analysis.summary import average_beside, average_curves, measure_gaps, summarize
from descentlab.analysis.targets import targets_by_problem
from descentlab.analysis.time_to_target import measure_profiles, measure_reached, measure_speed
from descentlab.analysis.tuning_effects import measure_tuning_effects
from descentlab.experiment.looks import Look, read_looks
from descentlab.experiment.measurements import read_measured
from descentlab.experiment.plan import Plan
from descentlab.experiment.records import BESIDE, EXAMPLES, HISTORY, RUNS
from descentlab.experiment.step_cost import STEP_COST_COLUMNS
from descentlab.optimizers.arms import Arm
from descentlab.storage.tables import empty_table, read_table

COVERAGE_TRIALS = 1000


def compare_results(plan: Plan, results: Path) -> None:
    """Write ``comparison/`` and ``claims.json`` from the merged tables of an experiment."""
    selections = json.loads((results / "selections.json").read_text(encoding="utf-8"))
    runs = read_table(results / "runs.parquet", RUNS)
    history = read_table(results / "history.parquet", HISTORY)
    measured = read_measured(results / "measured", plan.config.measurements)
    # The table of examples, the largest, is passed on without a name here, so that compare_runs can free it.
    examples, beside = results / "examples.parquet", read_table(results / "beside.parquet", BESIDE)
    looks = read_looks(results, range(1, len(plan.config.seeds.looks)))
    comparison = compare_runs(plan, runs, history, selections, read_table(examples, EXAMPLES), measured, beside, looks)
    write_comparison(comparison, results / "comparison")


def compare_runs(
    plan: Plan,
    runs: pd.DataFrame,
    history: pd.DataFrame,
    selections: list[dict[str, Any]],
    examples: pd.DataFrame,
    measured: Mapping[str, pd.DataFrame] = MappingProxyType({}),
    beside: pd.DataFrame | None = None,
    looks: Sequence[Look] = (),
) -> Comparison:
    """All tables of the comparison, and the ledger of claims.

    Args:
        plan: the experiment's plan.
        runs: all runs.
        history: evaluations of all runs.
        selections: the chosen learning rate and the grid of each problem and optimizer.
        examples: each final run's metric on every test example; may be empty.
        measured: tables of step cost and mechanisms by name, as far as they were measured.
        beside: what was recorded beside loss and metric; may be absent.
        looks: what each look at the primary contrasts decided.

    Raises:
        PairingError: runs that should be pairs differ in initial weights or split.
    """
    problems, optimizers = ({name: i for i, name in enumerate(kind)} for kind in (plan.problems, plan.optimizers))
    arms = {arm: i for i, arm in enumerate(plan.config.arms)}
    finals = runs[runs["phase"] == "final"]
    finals = finals.iloc[
        np.lexsort(
            (
                finals["seed"],
                finals["optimizer"].map(optimizers),
                finals["arm"].map(arms),
                finals["problem"].map(problems),
            )
        )
    ]
    # Only finished runs have a test metric that counts.
    finished = finals[finals["status"] == "finished"]
    final_history = history[history["run_id"].isin(finals["run_id"])].merge(
        finals[["run_id", *ROW, "seed"]], on="run_id"
    )
    scores = scores_by_run(examples)
    del examples  # by far the largest table
    tuning = measure_tuning_effects(plan, runs, selections)
    summary = summarize(finals, finished, scores, tuning)
    contrasts = contrast(plan, runs, scores, tuning, looks)
    sensitivity = measure_sensitivity(runs[(runs["phase"] == "tuning") & (runs["arm"] == Arm.TUNED)], selections)
    widths = measure_widths(plan, runs)
    targets = targets_by_problem(plan, runs, history)
    times = time_tuning_runs(runs, history, targets)
    timed = pd.concat([finals, choose_for_speed(runs, times)])
    reached = measure_reached(timed, history[history["run_id"].isin(timed["run_id"])], targets)
    step_cost = measured.get("step_cost", empty_table(STEP_COST_COLUMNS))
    costs = step_microseconds_by_row(plan, step_cost)
    speed = measure_speed(reached, costs, faster_untrained(times))
    tables = {
        "summary": summary,
        "scores": finals[list(TABLES["scores"])],
        "contrasts": contrasts,
        "beside": average_beside(finished, empty_table(BESIDE) if beside is None else beside),
        "curves": average_curves(finals, final_history, costs),
        "sensitivity": sensitivity,
        "widths": widths,
        "speed": speed,
        "reached": reached,
        "profiles": measure_profiles(speed),
        "gaps": measure_gaps(finished),
        "alarms": raise_alarms(plan, runs, selections, scores),
        "coverage": measure_coverage(plan),
        "rank_stability": measure_rank_stability(plan, runs, history, selections, costs),
        "best_of_k": measure_best_of_k(plan, runs, selections),
        "ranks": pd.concat([measure_ranks(summary, arm) for arm in arms]),
        "regret": measure_regret(plan, finals, scores, tuning.noise),
        "recommendations": measure_recommendations(plan, finals),
        "break_even": measure_break_even(plan, reached, step_cost),
    }
    claims = make_ledger(ClaimEvidence(plan, runs, final_history, scores, reached, measured, tuning, looks))
    return Comparison(**tables, claims=claims)


def measure_coverage(plan: Plan) -> pd.DataFrame:
    """How often the report's intervals hold the truth, for this many seeds and the smallest test split."""
    recorded = [planned.test_examples for planned in plan.problems.values()]
    examples, seeds = [n for n in recorded if n is not None], plan.fewest_seeds
    if seeds < 2 or len(examples) < len(recorded):  # externally logged runs do not record their test examples
        return empty_table(TABLES["coverage"])
    return fill_table(simulate_coverage(seeds, min(*examples, 1000), COVERAGE_TRIALS, 0), "coverage")
