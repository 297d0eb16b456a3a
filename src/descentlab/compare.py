"""From runs and histories to what the report says: summaries, curves, paired contrasts with verdicts, alarms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from descentlab.answers import write_answers
from descentlab.best_of_k import measure_best_of_k
from descentlab.break_even import measure_break_even, step_microseconds_by_row
from descentlab.claim_evidence import ClaimEvidence
from descentlab.comparison_tables import TABLES, Comparison, fill_table, write_comparison
from descentlab.contrasts import ROW, contrast
from descentlab.coverage import simulate_coverage
from descentlab.flips import measure_flips
from descentlab.ledger import make_ledger
from descentlab.measurements import read_measured
from descentlab.paired import estimate_crossed
from descentlab.ranks import measure_ranks
from descentlab.records import EXAMPLES, HISTORY, RUNS, empty_table, read_table
from descentlab.robustness import measure_widths
from descentlab.shortfall import measure_shortfalls
from descentlab.speed import choose_for_speed, measure_profiles, measure_reached, measure_speed
from descentlab.stats import average_by
from descentlab.step_cost import STEP_COST_COLUMNS
from descentlab.unknowns import unknown_alarms
from descentlab.wording import counted, message, spoken, words

LEAST_SEEDS = 5
COVERAGE_TRIALS = 1000
ARM_NAMES = {
    "default": message("default arm"),
    "tuned": message("tuned arm"),
    "extended": message("extended arm"),
    "logged": message("as logged"),
}
STATUS_ALARMS = {
    "diverged": message("{optimizer} on {problem}, {arm}: {n} of {of} final runs diverged"),
    "failed": message("{optimizer} on {problem}, {arm}: {n} of {of} final runs failed"),
    "missing": message("{optimizer} on {problem}, {arm}: {n} of {of} final runs missing"),
}
EDGE_ALARMS = {
    "low": message(
        "{optimizer} on {problem}: the chosen learning rate {rate:g} is the lowest of its grid ({low:g} to {high:g})"
    ),
    "high": message(
        "{optimizer} on {problem}: the chosen learning rate {rate:g} is the highest of its grid ({low:g} to {high:g})"
    ),
}


def compare_results(results: Path) -> None:
    """Write ``comparison/`` from the merged tables of an experiment, its texts in the language of the report."""
    plan = json.loads((results / "plan.json").read_text(encoding="utf-8"))
    selections = json.loads((results / "selections.json").read_text(encoding="utf-8"))
    runs = read_table(results / "runs.parquet", RUNS)
    history = read_table(results / "history.parquet", HISTORY)
    measured = read_measured(results / "measured", plan["config"]["measurements"])
    language = plan["config"]["report"].get("language", "en")  # older plans name none
    with spoken(language):
        # The table of examples is given away: nothing else holds it when it has been read.
        compared = compare_runs(
            plan, runs, history, selections, read_table(results / "examples.parquet", EXAMPLES), measured
        )
        write_comparison(compared, results / "comparison")


def compare_runs(
    plan: dict[str, Any],
    runs: pd.DataFrame,
    history: pd.DataFrame,
    selections: list[dict[str, Any]],
    examples: pd.DataFrame,
    measured: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> Comparison:
    """All tables of the comparison, and the ledger of claims, in the language that is spoken.

    Args:
        examples: each final run's metric of every test example; may be empty.
        measured: step cost and mechanism problems by name, as far as they were measured.

    Raises:
        PairingError: runs that should be pairs have other initial weights or splits.
    """
    order = {kind: {name: i for i, name in enumerate(plan[kind])} for kind in ("problems", "optimizers")}
    arms = {arm: i for i, arm in enumerate(plan["config"]["arms"])}
    finals = runs[runs["phase"] == "final"]
    finals = finals.iloc[
        np.lexsort(
            (
                finals["seed"],
                finals["optimizer"].map(order["optimizers"]),
                finals["arm"].map(arms),
                finals["problem"].map(order["problems"]),
            )
        )
    ]
    # Only now can a test metric of a diverged run be told from one that counts.
    finished = finals[finals["status"] == "finished"]
    final_history = history[history["run_id"].isin(finals["run_id"])].merge(
        finals[["run_id", *ROW, "seed"]], on="run_id"
    )
    scores = scores_by_run(examples)
    del examples  # of many runs the largest table by far
    summary = summarise(finals, finished, scores)
    contrasts = contrast(plan, finals, scores)
    sensitivity = measure_sensitivity(runs[(runs["phase"] == "tuning") & (runs["arm"] == "tuned")], selections)
    widths = measure_widths(plan, runs)
    fastest = choose_for_speed(plan, runs, finals, history)
    timed = pd.concat([finals, fastest])
    timed_history = history[history["run_id"].isin(timed["run_id"])].merge(
        timed[["run_id", "problem"]].drop_duplicates("run_id"), on="run_id"
    )
    reached = measure_reached(plan, timed, timed_history)
    step_cost = measured.get("step_cost", empty_table(STEP_COST_COLUMNS))
    costs = step_microseconds_by_row(plan, step_cost)
    speed = measure_speed(reached, costs)
    tables = {
        "summary": summary,
        "scores": finals[list(TABLES["scores"])],
        "contrasts": contrasts,
        "curves": average_curves(finals, final_history, costs),
        "sensitivity": sensitivity,
        "widths": widths,
        "speed": speed,
        "reached": reached,
        "profiles": measure_profiles(speed),
        "gaps": measure_gaps(finished),
        "alarms": raise_alarms(plan, runs, selections),
        "coverage": measure_coverage(plan),
        "flips": measure_flips(plan, runs, history, selections, costs),
        "best_of_k": measure_best_of_k(plan, runs, selections),
        "ranks": pd.concat([measure_ranks(summary, arm) for arm in arms]),
        "shortfalls": measure_shortfalls(plan, finals, scores),
        "break_even": measure_break_even(plan, reached, step_cost),
    }
    claims = make_ledger(ClaimEvidence(plan, runs, final_history, scores, reached, measured))
    answers = write_answers(plan, summary, contrasts, claims, tables["alarms"])
    return Comparison(**tables, answers=answers, claims=claims)


def measure_coverage(plan: dict[str, Any]) -> pd.DataFrame:
    """How often the report's intervals hold the truth, for this many seeds and the smallest test split."""
    examples = [about["test_examples"] for about in plan["problems"].values()]
    seeds = plan["config"]["seeds"]["final"]
    if seeds < 2 or None in examples:  # of runs that other code logged nobody knows them
        return empty_table(TABLES["coverage"])
    return fill_table(simulate_coverage(seeds, min(*examples, 1000), COVERAGE_TRIALS, 0), "coverage")


def scores_by_run(examples: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each final run's metric of every test example, in the order of the examples."""
    # Sorted by number: the ids of as many rows as there are runs × examples take most of this stage's memory.
    numbers, ids = pd.factorize(examples["run_id"], sort=True)
    ordered = examples["score"].to_numpy()[np.lexsort((examples["example"], numbers))]
    ends = np.cumsum(np.bincount(numbers, minlength=len(ids)))
    return {str(run): part for run, part in zip(ids, np.split(ordered, ends[:-1]), strict=False)}


def summarise(finals: pd.DataFrame, finished: pd.DataFrame, scores: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row per problem, arm and optimizer.

    The test metric's interval is over seeds and test examples, where ``scores`` are there: over seeds alone it would hold
    the mean on these test examples, not the metric.
    """
    if finals.empty:
        return empty_table(TABLES["summary"])
    counts = finals.groupby([*ROW, "status"], sort=False).size().unstack(fill_value=0)
    counts = counts.reindex(columns=["finished", "diverged", "failed", "missing"], fill_value=0).add_prefix("n_")
    table = finals.groupby(ROW, sort=False).agg(
        n_planned=("run_id", "size"),
        learning_rate=("learning_rate", "first"),
        updates=("updates_planned", "max"),
        state_bytes_per_parameter=("state_bytes_per_parameter", "max"),
    )
    table = table.join(counts)
    measured = average_by(finished, ROW, ["test_metric"]).drop(columns="n").set_index(ROW)
    for key, run_ids in finished.groupby(ROW, sort=False)["run_id"]:
        if len(run_ids) > 1 and all(run in scores for run in run_ids):
            low, high = estimate_crossed(np.stack([scores[run] for run in run_ids])).interval()
            measured.loc[key, ["test_metric_low", "test_metric_high"]] = low, high
    means = finished.groupby(ROW, sort=False)[["val_metric", "train_loss", "test_loss", "train_seconds"]].mean()
    clock = (finished["train_seconds"] / finished["updates"].where(finished["updates"] > 0) * 1e6).groupby(
        [finished[name] for name in ROW], sort=False
    )
    table = table.join(measured).join(means.add_suffix("_mean"))
    table["microseconds_per_update"] = clock.median()
    table = table.reset_index()
    higher = table["problem"].map(finals.groupby("problem")["higher_is_better"].any())
    # Means that differ by rounding alone are the same mean.
    goodness = table["test_metric_mean"].where(higher, -table["test_metric_mean"]).round(12)
    # Optimizers without a diverged seed come first, whatever the others' finished seeds say.
    ranked = goodness.where(table["n_finished"] == table["n_planned"])
    first = ranked.groupby([table["problem"], table["arm"]]).rank(ascending=False, method="min")
    rest = goodness.where(ranked.isna()).groupby([table["problem"], table["arm"]]).rank(ascending=False, method="min")
    ahead = ranked.notna().groupby([table["problem"], table["arm"]]).transform("sum")
    table["rank"] = first.fillna(rest + ahead)
    return fill_table(table, "summary")


def average_curves(
    finals: pd.DataFrame, history: pd.DataFrame, step_microseconds: Mapping[tuple[str, str], float]
) -> pd.DataFrame:
    """Mean and interval over seeds at each evaluation.

    Args:
        step_microseconds: the serially measured cost of a step by (problem, optimizer), as far as it was measured.
    """
    if history.empty:
        return empty_table(TABLES["curves"])
    measures = ["train_loss", "val_loss", "val_metric"]
    finite = history.assign(**{name: history[name].where(np.isfinite(history[name])) for name in measures})
    by = [*ROW, "updates"]
    averaged = average_by(finite, by, measures).set_index(by)
    axes = finite.groupby(by, sort=False)[["epoch", "examples", "train_seconds"]].mean()
    table = averaged.join(axes.rename(columns={"train_seconds": "train_seconds_mean"})).reset_index()
    cost = [step_microseconds.get(key, np.nan) for key in zip(table["problem"], table["optimizer"], strict=True)]
    table["seconds"] = table["updates"] * np.array(cost) * 1e-6
    rank = finals.drop_duplicates(ROW)[ROW].reset_index(drop=True).reset_index(names="rank")
    table = table.merge(rank, on=ROW).sort_values(["rank", "updates"], kind="stable")
    return fill_table(table.reset_index(drop=True), "curves")


def measure_sensitivity(tuning: pd.DataFrame, selections: list[dict[str, Any]]) -> pd.DataFrame:
    """Validation metric of the tuning runs by learning rate."""
    tuning = tuning[tuning["learning_rate"].notna()]
    if tuning.empty:
        return empty_table(TABLES["sensitivity"])
    by = ["problem", "optimizer", "learning_rate"]
    counts = tuning.groupby(by, sort=False).agg(
        n=("status", lambda s: int((s == "finished").sum())),
        n_diverged=("status", lambda s: int((s == "diverged").sum())),
    )
    values = tuning.assign(val_metric=tuning["val_metric"].where(tuning["status"] == "finished"))
    table = average_by(values, by, ["val_metric"]).drop(columns="n").set_index(by).join(counts).reset_index()
    chosen = {(s["problem"], s["optimizer"]): s for s in selections}
    made = [chosen.get(key) for key in zip(table["problem"], table["optimizer"], strict=True)]
    table["chosen"] = [
        s is not None and s["learning_rate"] == rate for s, rate in zip(made, table["learning_rate"], strict=True)
    ]
    table["edge"] = [s["edge"] if s else "" for s in made]
    return fill_table(table, "sensitivity")


def measure_gaps(finished: pd.DataFrame) -> pd.DataFrame:
    """How far above the known optimum training ended."""
    known = finished[finished["optimum"].notna()]
    if known.empty:
        return empty_table(TABLES["gaps"])
    gap = known["train_loss"] + known["penalty"] - known["optimum"]
    return fill_table(average_by(known.assign(gap=gap), ROW, ["gap"]), "gaps")


def raise_alarms(plan: dict[str, Any], runs: pd.DataFrame, selections: list[dict[str, Any]]) -> pd.DataFrame:
    """What a reader must know before believing a number: divergences, missing runs, optima on an edge, few seeds.

    Also what runs that other code logged don't tell.
    """
    rows: list[dict[str, Any]] = []
    finals = runs[runs["phase"] == "final"]
    for status, text in STATUS_ALARMS.items():
        for key, group in finals[finals["status"] == status].groupby(ROW, sort=False):
            problem, arm, optimizer = key
            of = int(((finals[ROW] == list(key)).all(axis=1)).sum())
            told = words(text, optimizer=optimizer, problem=problem, arm=words(ARM_NAMES[arm]), n=len(group), of=of)
            why = str(group["message"].iloc[0]) if status == "failed" else ""
            told += f" ({why})" if why else ""
            rows.append({"kind": status, "problem": problem, "arm": arm, "optimizer": optimizer, "count": len(group),
                         "text": told})  # fmt: skip
    for selection in selections:
        if selection["edge"]:
            problem, optimizer = selection["problem"], selection["optimizer"]
            grid = [rate for rate in selection["grid"] if rate is not None]
            told = words(EDGE_ALARMS[selection["edge"]], optimizer=optimizer, problem=problem,
                         rate=selection["learning_rate"], low=min(grid), high=max(grid))  # fmt: skip
            rows.append({"kind": "edge", "problem": problem, "arm": "tuned", "optimizer": optimizer, "count": 1,
                         "text": told})  # fmt: skip
    seeds = plan["config"]["seeds"]["final"]
    if seeds < LEAST_SEEDS:
        told = counted(
            seeds,
            "{n} final seed is too few for intervals to be trusted; {least} are the least",
            "{n} final seeds are too few for intervals to be trusted; {least} are the least",
            least=LEAST_SEEDS,
        )
        rows.append({"kind": "few seeds", "problem": "", "arm": "", "optimizer": "", "count": seeds, "text": told})
    return fill_table(pd.DataFrame([*rows, *unknown_alarms(plan)]), "alarms")
