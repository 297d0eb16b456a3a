"""Final results by problem, arm and optimizer: means with intervals, mean curves, gaps to the optimum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from descentlab.analysis.comparison import TABLES, fill_table
from descentlab.analysis.pairing import ROW
from descentlab.analysis.ranks import rank_means
from descentlab.analysis.statistics.intervals import average_by
from descentlab.analysis.statistics.paired import estimate_crossed, estimate_difference
from descentlab.analysis.tuning_effects import NO_EFFECTS, TuningEffects
from descentlab.experiment.records import optimum_gap
from descentlab.storage.tables import empty_table

CURVE_MEASURES = ("train_loss", "val_loss", "val_metric")


def summarize(
    finals: pd.DataFrame,
    finished: pd.DataFrame,
    scores: Mapping[str, np.ndarray],
    tuning: TuningEffects = NO_EFFECTS,
) -> pd.DataFrame:
    """One row per problem, arm and optimizer.

    Where ``scores`` are available, the test metric's interval is over seeds and test examples: over seeds alone it would be
    an interval for the mean on these particular test examples. In the tuned arm it holds the noise of tuning, too.

    Args:
        finals: final runs.
        finished: those of them that finished.
        scores: metric of each test example at the end, by run id.
        tuning: what it does to the results.
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
    for key, group in finished.groupby(ROW, sort=False):
        scored = all(run in scores for run in group["run_id"])
        estimate = (
            estimate_crossed(np.stack([scores[run] for run in group["run_id"]]))
            if scored
            else estimate_difference(group["test_metric"].dropna().to_numpy())
        )
        low, high = estimate.with_choice(*tuning.noise.of(*key)).interval()
        measured.loc[key, ["test_metric_low", "test_metric_high"]] = low, high
    measures = ["val_metric", "train_loss", "test_loss", "train_seconds", "examples"]
    means = finished.groupby(ROW, sort=False)[measures].mean()
    clock = (finished["train_seconds"] / finished["updates"].where(finished["updates"] > 0) * 1e6).groupby(
        [finished[name] for name in ROW], sort=False
    )
    table = table.join(measured).join(means.add_suffix("_mean"))
    table["microseconds_per_update"] = clock.median()
    table = table.reset_index()
    table["undertuned"] = [row in tuning.undertuned for row in table[ROW].itertuples(index=False, name=None)]
    higher = finals.groupby("problem")["higher_is_better"].any()
    complete, diverged = table["n_finished"] == table["n_planned"], table["n_diverged"] > 0
    for (problem, _), rows in table.groupby(["problem", "arm"], sort=False):
        means = rows["test_metric_mean"], bool(higher[problem])
        table.loc[rows.index, "rank"] = rank_means(*means, complete[rows.index], diverged[rows.index])
    return fill_table(table, "summary")


def average_beside(finished: pd.DataFrame, beside: pd.DataFrame) -> pd.DataFrame:
    """What was recorded beside loss and metric, at the end: mean and interval over seeds by row, name and split.

    Args:
        finished: final runs that finished.
        beside: rows of the table ``beside``.
    """
    last = beside.merge(finished[["run_id", *ROW, "updates"]], on=["run_id", "updates"])
    if last.empty:
        return empty_table(TABLES["beside"])
    order = finished.drop_duplicates(ROW)[ROW].reset_index(drop=True).reset_index(names="rank")
    table = average_by(last, [*ROW, "name", "split"], ["value"]).merge(order, on=ROW)
    return fill_table(table.sort_values("rank", kind="stable", ignore_index=True), "beside")


def average_curves(
    finals: pd.DataFrame, history: pd.DataFrame, step_microseconds: Mapping[tuple[str, str], float]
) -> pd.DataFrame:
    """Mean and interval over seeds of CURVE_MEASURES at each evaluation, in the order of the final runs.

    Args:
        finals: final runs.
        history: their evaluations, with the columns of ROW.
        step_microseconds: serially measured cost of a step by (problem, optimizer); absent where it was not measured.
    """
    if history.empty:
        return empty_table(TABLES["curves"])
    history = end_at_divergence(finals, carry_forward(finals, history))
    finite = history.assign(**{name: history[name].where(np.isfinite(history[name])) for name in CURVE_MEASURES})
    by = [*ROW, "updates"]
    averaged = average_by(finite, by, list(CURVE_MEASURES)).set_index(by)
    axes = finite.groupby(by, sort=False)[["epoch", "examples", "train_seconds"]].mean()
    table = averaged.join(axes.rename(columns={"train_seconds": "train_seconds_mean"})).reset_index()
    cost = [step_microseconds.get(key, np.nan) for key in zip(table["problem"], table["optimizer"], strict=True)]
    table["seconds"] = table["updates"] * np.array(cost) * 1e-6
    rank = finals.drop_duplicates(ROW)[ROW].reset_index(drop=True).reset_index(names="rank")
    table = table.merge(rank, on=ROW).sort_values(["rank", "updates"], kind="stable")
    return fill_table(table.reset_index(drop=True), "curves")


def carry_forward(finals: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The history with the last evaluation of each run that its patience ended, repeated at the others' later evaluations.

    A mean over seeds would otherwise go on with those that were still falling. What was processed stays what it was.

    Args:
        finals, history: as in :func:`average_curves`.
    """
    ended = finals[(finals["status"] == "finished") & (finals["updates"] < finals["updates_planned"])]
    repeated = []
    for run in ended[["run_id", *ROW, "updates"]].to_dict("records"):
        row = history[(history[ROW] == [run[name] for name in ROW]).all(axis=1)]
        last = row[row["run_id"] == run["run_id"]].iloc[[-1]]
        later = sorted(set(row.loc[row["updates"] > run["updates"], "updates"]))
        repeated.append(last.loc[last.index.repeat(len(later))].assign(updates=later))
    return pd.concat([history, *repeated], ignore_index=True) if repeated else history


def end_at_divergence(finals: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The history of each row up to the last evaluation at which its every diverged run still had a finite loss.

    A mean over seeds would otherwise fall where one that diverges leaves it.

    Args:
        finals, history: as in :func:`average_curves`.
    """
    diverged = finals.loc[finals["status"] == "diverged", ["run_id", *ROW]]
    if diverged.empty:
        return history
    finite = history[np.isfinite(history[["train_loss", "val_loss"]]).all(axis=1)]
    last = finite.groupby("run_id")["updates"].max().reindex(diverged["run_id"], fill_value=-1)
    ends = diverged.assign(end=last.to_numpy()).groupby(ROW, sort=False)["end"].min().reset_index()
    end = history[ROW].merge(ends, on=ROW, how="left")["end"].fillna(np.inf).to_numpy()
    return history[history["updates"].to_numpy() <= end]


def measure_gaps(finished: pd.DataFrame) -> pd.DataFrame:
    """How far above the known optimum training ended, on problems where the optimum is known."""
    convex_runs = finished[finished["optimum"].notna()]
    if convex_runs.empty:
        return empty_table(TABLES["gaps"])
    return fill_table(average_by(convex_runs.assign(gap=optimum_gap(convex_runs)), ROW, ["gap"]), "gaps")
