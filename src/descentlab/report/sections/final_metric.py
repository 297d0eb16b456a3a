"""How it ended: every final test metric, and what was recorded beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.experiment.plan import ImportedPlan
from descentlab.i18n.wording import counted, joined, message, words
from descentlab.problems.base import WEIGHTED_LOSS, metric_sign
from descentlab.report.blocks import (
    ARM_WORDS,
    Evidence,
    Figure,
    Section,
    Table,
    interval,
    number,
)
from descentlab.report.drawing import draw_points, draw_rows, finish
from descentlab.report.marks import Marks
from descentlab.report.phrases import SPLIT_WORDS, arm_cell
from descentlab.report.plotting import new_row_figure

WEIGHTED = message("loss with class weights")


def final_metric(evidence: Evidence) -> Section | None:
    """Final test metric by optimizer and arm, one point per seed."""
    if evidence.comparison.scores.empty:
        return None
    problems = evidence.problems_in(evidence.comparison.scores)
    figures = [metric_figure(evidence, problem) for problem in problems]
    beside = [] if evidence.comparison.beside.empty else [beside_table(evidence)]
    return Section("test-metric", words("Final test metric"), [*figures, summary_table(evidence), *beside])


def metric_figure(evidence: Evidence, problem: str) -> Figure:
    """One problem: one panel per arm, one row per optimizer."""
    scores = evidence.comparison.scores[evidence.comparison.scores["problem"] == problem]
    summary = evidence.comparison.summary[evidence.comparison.summary["problem"] == problem]
    order = evidence.optimizers_in(summary)
    arms = evidence.arms_in(summary)
    figure, axes = new_row_figure(len(arms), 3.3, order, right=1.0, gap=1.0)
    higher = evidence.plan.problems[problem].higher_is_better
    finished = scores[(scores["status"] == "finished") & np.isfinite(scores["test_metric"])]
    for panel, arm in zip(axes, arms, strict=True):
        points = finished[finished["arm"] == arm].copy()
        limits = shown_range(points["test_metric"].to_numpy(), higher)
        points["test_metric"] = points["test_metric"].clip(*limits)
        means = summary[(summary["arm"] == arm) & summary["test_metric_mean"].notna()].copy()
        for column in ("test_metric_mean", "test_metric_low", "test_metric_high"):
            means[column] = means[column].clip(*limits)
        draw_points(panel, points, order, "test_metric")
        draw_rows(panel, means, order, "test_metric_mean", "test_metric_low", "test_metric_high")
        for row in summary[(summary["arm"] == arm) & (summary["n_diverged"] > 0)].to_dict("records"):
            text = words("{n}/{planned} diverged", n=row["n_diverged"], planned=row["n_planned"])
            panel.text(
                1.01,
                order.index(str(row["optimizer"])),
                text,
                transform=panel.get_yaxis_transform(),
                ha="left",
                va="center",
                fontsize=7.5,
            )
        panel.set_title(words(ARM_WORDS[arm].rates))
        panel.set_xlabel(words("test {metric}", metric=evidence.metric(problem)))
        panel.locator_params(axis="x", nbins=5)
        room = (limits[1] - limits[0]) * 0.04
        panel.set_xlim(limits[0] - room, limits[1] + room)
    takeaway = f"{problem}: {'; '.join(leader(evidence.marks, summary, arm) for arm in arms)}"
    title = evidence.plan.problems[problem].title
    fields = {"title": words(title), "metric": evidence.metric(problem), "n": int(summary["n_finished"].max())}
    if isinstance(evidence.plan, ImportedPlan):
        caption = words(
            "{title}. Test {metric} as it was logged; small points are seeds, large ones means with 95 % t intervals over seeds "
            "alone, n = up to {n} seeds. Values beyond the axis are drawn at its end.",
            **fields,
        )
    else:
        caption = words(
            "{title}. Test {metric} after the last update; small points are seeds, large ones means with 95 % t intervals over "
            "seeds and test examples, n = up to {n} seeds. Values beyond the axis are drawn at its end.",
            **fields,
        )
    return finish(figure, f"test-metric-{problem}", takeaway=takeaway, caption=caption, data=scores)


def shown_range(values: np.ndarray, higher_is_better: bool) -> tuple[float, float]:
    """Limits that show the better end in full and at least three quarters of the values.

    Args:
        values: finite, shape (n,).

    Returns:
        Lowest and highest value to show, which always differ.
    """
    if len(values) == 0:
        return 0.0, 1.0
    sign = metric_sign(higher_is_better)
    goodness = sign * values
    low, middle, high = np.quantile(goodness, [0.12, 0.5, 1.0])
    low = max(low, high - 6 * (high - middle))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    least, most = sorted((sign * float(low), sign * float(high)))
    return least, most


def leader(marks: Marks, summary: pd.DataFrame, arm: str) -> str:
    """Who has the best mean in an arm of one problem, and by how much."""
    problem = summary["problem"].unique()
    fields = {"arm": words(ARM_WORDS[arm].rates)}
    ranked = summary[(summary["arm"] == arm) & summary["test_metric_mean"].notna()].sort_values("rank", kind="stable")
    if ranked.empty:
        return words("no run finished with {arm}", **fields)
    best = ranked.iloc[0]
    first = ranked[ranked["rank"] == 1]
    behind = ranked[(ranked["rank"] > 1) & (ranked["n_finished"] == ranked["n_planned"])]
    text = counted(
        len(first),
        "{names} has the best mean with {arm}, {mean}",
        "{names} share the best mean with {arm}, {mean}",
        names=joined([marks.title(name, arm, problem) for name in first["optimizer"]]),
        mean=interval(best["test_metric_mean"], best["test_metric_low"], best["test_metric_high"], best["n_finished"]),
        **fields,
    )
    if behind.empty:
        return text
    following = marks.title(behind.iloc[0]["optimizer"], arm, problem)
    gap = abs(best["test_metric_mean"] - behind.iloc[0]["test_metric_mean"])
    if gap > 1e-9:  # means of the same scores, summed otherwise
        return words("{best} ({next} is next, {gap} behind)", best=text, next=following, gap=number(gap))
    return words("{best} ({next} is next, tied with it)", best=text, next=following)


def beside_table(evidence: Evidence) -> Table:
    """What was recorded beside loss and metric; nothing is judged by it."""
    beside = evidence.comparison.beside
    rows = [
        [
            row["problem"],
            arm_cell(row["arm"]),
            evidence.marks.cell(row),
            words(WEIGHTED) if row["name"] == WEIGHTED_LOSS else row["name"],
            words(SPLIT_WORDS[row["split"]]),
            interval(row["value_mean"], row["value_low"], row["value_high"], row["n"]),
        ]
        for row in beside.to_dict("records")
    ]
    headers = [
        words("problem"),
        words("arm"),
        words("optimizer"),
        words("metric"),
        words("split"),
        words("mean [95 % interval]"),
    ]
    caption = words(
        "At the end of the final runs, with 95 % t intervals over seeds alone. Rates are chosen and optimizers judged by the "
        "problem's own metric, whatever stands here."
    )
    return Table("beside", words("Other metrics"), headers, rows, caption, beside, folded=True)


def summary_table(evidence: Evidence) -> Table:
    """The numbers of every mean."""
    summary = evidence.comparison.summary
    rows = [
        [
            row["problem"],
            arm_cell(row["arm"]),
            evidence.marks.cell(row),
            number(row["learning_rate"]),
            number(row["rank"]),
            interval(row["test_metric_mean"], row["test_metric_low"], row["test_metric_high"], row["n_finished"]),
            words("{n} of {total}", n=row["n_diverged"], total=row["n_planned"]),
            number(row["train_loss_mean"]),
            number(row["test_loss_mean"]),
            number(row["examples_mean"]),
            number(row["microseconds_per_update"]),
            number(row["state_bytes_per_parameter"]),
        ]
        for row in summary.to_dict("records")
    ]
    headers = [
        words("problem"),
        words("arm"),
        words("optimizer"),
        words("learning rate"),
        words("rank"),
        words("test metric [95 % interval]"),
        words("diverged"),
        words("train loss"),
        words("test loss"),
        words("training examples"),
        words("µs / update"),
        words("state bytes / parameter"),
    ]
    caption = words(
        "Means over final seeds. µs / update is the median wall time of an update while other jobs were running, which allows "
        "only a rough comparison."
    )
    title = words("All means as numbers")
    return Table("summary", title, headers, rows, caption, summary, frozenset({3, 4, 7, 8, 9, 10, 11}), folded=True)
