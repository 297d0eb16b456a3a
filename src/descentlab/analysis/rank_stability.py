"""How stable the ranking of optimizers is under choices that papers make differently, applied to the same stored runs.

Four questions: which split chose the learning rate, whether rates were tuned at all, which epoch is reported, and what
the axis of a race counts. (A fifth, how many rates were tried, has its own module, ``best_of_k``.) All are computed from
existing tables; nothing is trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from descentlab.analysis.ranks import rank_means
from descentlab.analysis.statistics.intervals import t_interval
from descentlab.experiment.plan import Plan
from descentlab.experiment.records import DECIMALS, rate_from_table
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.roles import ADAM, MOMENTUM, PLAIN
from descentlab.problems.base import metric_sign
from descentlab.storage.tables import Column, check_table, empty_table

# The first choice of each question is the one that the others are compared with.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "selection": ("validation", "train_loss", "test"),
    "tuning": tuple(arm.value for arm in Arm),
    "epoch": ("last", "best_validation"),
    "axis": ("updates", "examples", "seconds"),
}
MISTAKES = frozenset({("selection", "test")})  # shown because papers make it, not because it is valid

_PROBLEM, _OPTIMIZER = Column("str", "", "", "problem"), Column("str", "", "", "optimizer")

RANK_STABILITY_COLUMNS: dict[str, Column] = {
    "problem": _PROBLEM,
    "question": Column("str", "", "", "one of selection, tuning, epoch, axis"),
    "choice": Column("str", "", "", "how the question was decided"),
    "marked": Column("bool", "", "", "the choice is a methodological mistake"),
    "optimizer": _OPTIMIZER,
    "learning_rate": Column("float64", "", "", "rate of the runs; NaN without one"),
    "cut": Column("float64", "axis", "", "question axis: updates, examples or seconds of the reading; NaN elsewhere"),
    "mean": Column("float64", "metric", "problem", "mean test metric; question axis: validation loss, lower is better"),
    "low": Column("float64", "metric", "problem", "95 % t interval over seeds"),
    "high": Column("float64", "metric", "problem", "likewise"),
    "n": Column("int64", "runs", "", "finished runs behind the mean"),
    "n_planned": Column("int64", "runs", "", "runs planned"),
    "rank": Column(
        "float64", "", "lower", "1 = best mean; those with an unfinished seed behind, those without a finished one last"
    ),
}

RANK_CHANGE_COLUMNS: dict[str, Column] = {
    "problem": _PROBLEM,
    "question": RANK_STABILITY_COLUMNS["question"],
    "first_choice": Column("str", "", "", "the choice that the other is compared with"),
    "choice": Column("str", "", "", "the other choice"),
    "marked": Column("bool", "", "", "one of the two is a methodological mistake"),
    "tau": Column("float64", "", "", "Kendall's tau-b of the two rankings"),
    "n": Column("int64", "optimizers", "", "ranked under both choices"),
    "best_first": Column("str", "", "", "best of these under the first choice, several in a tie: names in a JSON list"),
    "best": Column("str", "", "", "likewise under the other choice"),
    "adam_sgd_order": Column("str", "", "", "flips, stays, tie, or empty where one is absent"),
    "adam_momentum_order": Column("str", "", "", "likewise"),
}


def measure_rank_stability(
    plan: Plan,
    runs: pd.DataFrame,
    history: pd.DataFrame,
    selections: list[dict[str, Any]],
    step_microseconds: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Every optimizer's mean and rank under every choice (columns RANK_STABILITY_COLUMNS).

    Args:
        plan: the experiment's plan.
        runs: all runs; those of phases ``final`` and ``neighbor`` count.
        history: evaluations of all runs.
        selections: give the rate of an optimizer for which no rate finished with every seed.
        step_microseconds: cost of a step by (problem, optimizer); one that is absent is left out on the axis of seconds.
    """
    chosen_rates = {
        (selection["problem"], selection["optimizer"]): selection["learning_rate"] for selection in selections
    }
    runs = runs[runs["phase"].isin(["final", "neighbor"]) & runs["optimizer"].isin(list(plan.optimizers))]
    position = {name: i for i, name in enumerate(plan.optimizers)}
    # A fixed order, whatever the order of the files: sums of floats depend on it.
    runs = runs.iloc[np.lexsort((runs["seed"], runs["learning_rate"], runs["optimizer"].map(position)))]
    curves = history[history["run_id"].isin(runs["run_id"])].sort_values("updates", kind="stable")
    rows: list[dict[str, Any]] = []
    for problem, planned in plan.problems.items():
        problem_runs = runs[runs["problem"] == problem]
        finals, higher = problem_runs[problem_runs["phase"] == "final"], planned.higher_is_better
        tuned = finals[finals["arm"] == Arm.TUNED]
        searched = problem_runs[problem_runs["arm"] == Arm.TUNED]
        usual = {name: rate for (where, name), rate in chosen_rates.items() if where == problem}
        compared: list[tuple[str, str, pd.DataFrame, str, bool, float]] = [
            ("selection", choice, select_runs(searched, choice, higher, usual), "test_metric", higher, np.nan)
            for choice in QUESTIONS["selection"]
        ]
        compared += [
            ("tuning", arm, finals[finals["arm"] == arm], "test_metric", higher, np.nan) for arm in QUESTIONS["tuning"]
        ]
        compared += [
            ("epoch", "last", tuned, "test_metric", higher, np.nan),
            ("epoch", "best_validation", tuned, "best_test_metric", higher, np.nan),
        ]
        costs = {name: cost for (where, name), cost in step_microseconds.items() if where == problem}
        for axis in QUESTIONS["axis"]:
            runs_at_cut, cut = losses_at_cut(tuned, curves, axis, costs)
            compared.append(("axis", axis, runs_at_cut, "loss_at_cut", False, cut))
        for question, choice, table, column, upwards, cut in compared:
            choice_columns = {
                "problem": problem,
                "question": question,
                "choice": choice,
                "marked": (question, choice) in MISTAKES,
                "cut": cut,
            }
            rows += [{**choice_columns, **row} for row in rank_optimizers(table, column, upwards).to_dict("records")]
    return (
        check_table(pd.DataFrame(rows), RANK_STABILITY_COLUMNS, "rank stability")
        if rows
        else empty_table(RANK_STABILITY_COLUMNS)
    )


def rank_optimizers(runs: pd.DataFrame, column: str, higher_is_better: bool) -> pd.DataFrame:
    """Mean, interval, n and rank of each optimizer, from the runs of one problem.

    Means are over finished runs; :func:`~descentlab.analysis.ranks.rank_means` ranks them, as in the report's summary.
    """
    rows = []
    for optimizer, group in runs.groupby("optimizer", sort=False):
        finished = group["status"] == "finished"
        values = group.loc[finished & np.isfinite(group[column]), column].to_numpy()
        interval = t_interval(values)
        rows.append(
            {
                "optimizer": optimizer,
                "learning_rate": group["learning_rate"].iloc[0],
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "n": interval.n,
                "n_planned": len(group),
                "diverged": bool((group["status"] == "diverged").any()),
            }
        )
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    ranks = rank_means(table["mean"], higher_is_better, table["n"] == table["n_planned"], table["diverged"])
    return table.assign(rank=ranks).drop(columns="diverged")


def select_runs(
    runs: pd.DataFrame, choice: str, higher_is_better: bool, usual: Mapping[str, float | None]
) -> pd.DataFrame:
    """The runs at the rate that ``choice`` selects for each optimizer, from the final seeds' runs of one problem.

    Args:
        runs: runs of the tuned arm in the phases ``final`` and ``neighbor``.
        choice: ``validation``, ``train_loss`` or ``test``: the mean that decides; the loss on that split breaks ties.
        higher_is_better: direction of the metric.
        usual: rates of ``selections.json``, None without one, for optimizers with an unfinished run at every rate.
    """
    split = {"validation": "val", "train_loss": "train", "test": "test"}[choice]
    finished = runs["status"] == "finished"
    loss = runs[f"{split}_loss"].where(finished)
    metric = loss if choice == "train_loss" else runs[f"{split}_metric"].where(finished)
    sign = metric_sign(higher_is_better and choice != "train_loss")
    candidates = runs[["optimizer", "learning_rate"]].assign(badness=-sign * metric, loss=loss)
    selected = []
    for optimizer, group in candidates.groupby("optimizer", sort=False):
        by_rate = group.groupby("learning_rate", dropna=False)[["badness", "loss"]].agg(lambda v: v.mean(skipna=False))
        complete = by_rate[by_rate["badness"].notna()].round(DECIMALS).sort_values(["badness", "loss"], kind="stable")
        if len(complete):
            rate = rate_from_table(complete.index[0])
        else:
            tried = [rate_from_table(rate) for rate in by_rate.index]
            fallback = usual.get(str(optimizer))
            rate = fallback if fallback in tried else tried[len(tried) // 2]
        rates = group["learning_rate"]
        selected.append(group[rates.isna() if rate is None else rates == rate])
    return runs.loc[[index for group in selected for index in group.index]]


def losses_at_cut(
    runs: pd.DataFrame, curves: pd.DataFrame, axis: str, costs: Mapping[str, float]
) -> tuple[pd.DataFrame, float]:
    """The runs of one problem with their validation loss (``loss_at_cut``) where an axis is cut, and the cut.

    The cut is the smallest budget among the optimizers on this axis; the last evaluation at or before it counts.

    Args:
        runs: final runs of one problem.
        curves: evaluations, ascending in ``updates``.
        axis: ``updates``, ``examples`` or ``seconds``.
        costs: microseconds per step by optimizer.
    """
    step = {
        "updates": pd.Series(1.0, index=runs.index),
        "examples": runs["batch_size"].astype(float),
        "seconds": runs["optimizer"].map(costs).astype(float) / 1e6,
    }[axis]
    runs = runs.assign(step=step)[step.notna()]
    budgets = (runs["updates_planned"] * runs["step"])[runs["updates_planned"] > 0]
    if budgets.empty:
        return runs.iloc[:0].assign(loss_at_cut=np.nan), np.nan
    cut = float(budgets.min())
    readings = curves[["run_id", "updates", "val_loss"]].merge(runs[["run_id", "step"]], on="run_id")
    readings = readings[readings["updates"] * readings["step"] <= cut * (1 + 1e-12)]
    last = readings.drop_duplicates("run_id", keep="last").set_index("run_id")["val_loss"]
    return runs.assign(loss_at_cut=runs["run_id"].map(last)), cut


def summarize_rank_stability(stability: pd.DataFrame) -> pd.DataFrame:
    """What each choice changes compared with the question's first one (columns RANK_CHANGE_COLUMNS).

    Rankings are compared over the optimizers that have a rank under both.
    """
    rows = []
    for (problem, question), group in stability.groupby(["problem", "question"], sort=False):
        ranks = {choice: of_choice.set_index("optimizer")["rank"] for choice, of_choice in group.groupby("choice")}
        present = [choice for choice in QUESTIONS[str(question)] if choice in ranks]
        for choice in present[1:]:
            first = present[0]
            both = pd.DataFrame({"first": ranks[first], "other": ranks[choice]}).dropna().sort_index()
            if both.empty:
                continue
            tau = float(kendalltau(both["first"], both["other"]).statistic) if len(both) > 1 else np.nan
            best = [
                json.dumps(list(both.index[both[side] == both[side].min()]), ensure_ascii=False)
                for side in ("first", "other")
            ]
            rows.append(
                {
                    "problem": problem,
                    "question": question,
                    "first_choice": first,
                    "choice": choice,
                    "marked": bool({(question, first), (question, choice)} & MISTAKES),
                    "tau": tau,
                    "n": len(both),
                    "best_first": best[0],
                    "best": best[1],
                    "adam_sgd_order": compare_order(both, ADAM, PLAIN),
                    "adam_momentum_order": compare_order(both, ADAM, MOMENTUM),
                }
            )
    table = pd.DataFrame(rows)
    return (
        check_table(table, RANK_CHANGE_COLUMNS, "rank stability summary") if rows else empty_table(RANK_CHANGE_COLUMNS)
    )


def compare_order(ranks: pd.DataFrame, first: str, second: str) -> str:
    """Whether two optimizers swap places: ``flips``, ``stays``, ``tie`` (under either), or empty if one is absent."""
    if not {first, second} <= set(ranks.index):
        return ""
    product = float(np.prod(np.sign(ranks.loc[first] - ranks.loc[second])))
    return {1.0: "stays", -1.0: "flips", 0.0: "tie"}[product]
