"""What the learning rate does, and what a reader must be wary of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from descentlab.analysis.sensitivity import good_range
from descentlab.i18n.wording import joined, words
from descentlab.optimizers.arms import Arm
from descentlab.report.alarm_phrases import alarm_sentence, order_alarms
from descentlab.report.blocks import Evidence, Figure, Paragraph, Section, Table, number
from descentlab.report.drawing import finish, in_front, label_ends, label_rows, value_range
from descentlab.report.marks import Marks
from descentlab.report.phrases import arm_cell
from descentlab.report.plotting import (
    INK,
    label_room,
    new_figure,
    optimizer_color,
    optimizer_marker,
    use_log_scale,
)
from descentlab.report.sections.choices import choices_table, effective_rates_table
from descentlab.report.sections.robustness import robustness_blocks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GOOD_MARGINS = 5


def sensitivity(evidence: Evidence) -> Section | None:
    """Validation metric against learning rate."""
    table = evidence.comparison.sensitivity
    if table.empty:
        return None
    problems = evidence.problems_in(table)
    figures = [sensitivity_figure(evidence, problem) for problem in problems]
    title = words("Sensitivity to the learning rate")
    sizes = effective_rates_table(evidence)
    tables = [choices_table(evidence), *([sizes] if sizes else [])]
    return Section("sensitivity", title, [*figures, *tables, *robustness_blocks(evidence)])


def sensitivity_figure(evidence: Evidence, problem: str) -> Figure:
    """One problem: curves of a few optimizers over their grids, and every optimizer's range of good rates."""
    table = evidence.comparison.sensitivity[evidence.comparison.sensitivity["problem"] == problem]
    order = evidence.optimizers_in(table)
    front = in_front(order)
    room = label_room(order)
    figure, axes = new_figure(2, 3.1, max(2.6, 0.19 * len(order)), right=0.2, gap=label_room(front) + room + 0.1)
    draw_rates(axes[0], evidence, problem, front)
    draw_ranges(axes[1], evidence, problem, order)
    takeaway = f"{problem}: {width_words(evidence.marks, compare_widths(evidence, problem))}"
    caption = words(
        "Validation metric of the tuning runs by learning rate, n = {n} seeds per point. Left: means with 95 % t intervals; a "
        "cross marks a rate at which a seed diverged (at the worst end of the axis); values beyond the axis are drawn at its "
        "end. Right: bars span the rates whose mean lies within the margin, {delta}, of the optimizer's own best, whatever that"
        " is; an arrow where the grid ended first, dots where a seed diverged. Rings mark the chosen rate. The title compares "
        "the optimizers whose best rate comes within {margins} margins of the best of all.",
        n=int((table["n"] + table["n_diverged"]).max()),
        delta=number(evidence.plan.problems[problem].margin),
        margins=GOOD_MARGINS,
    )
    return finish(figure, f"sensitivity-{problem}", takeaway=takeaway, caption=caption, data=table)


def draw_rates(panel: Axes, evidence: Evidence, problem: str, names: list[str]) -> None:
    """Draw one line per optimizer over its grid."""
    table = evidence.comparison.sensitivity[evidence.comparison.sensitivity["problem"] == problem]
    higher = evidence.plan.problems[problem].higher_is_better
    bottom, top = value_range(table["val_metric_mean"].replace([np.inf, -np.inf], np.nan).dropna(), higher)
    ends: dict[str, tuple[float, float]] = {}
    for name in names:
        line = table[table["optimizer"] == name].sort_values("learning_rate")
        color, rates = optimizer_color(name), line["learning_rate"]
        mean = line["val_metric_mean"].clip(bottom, top)
        panel.plot(rates, mean, color=color, marker=optimizer_marker(name), markersize=3.5, linewidth=1.4)
        low, high = line["val_metric_low"].clip(bottom, top), line["val_metric_high"].clip(bottom, top)
        panel.vlines(rates, low, high, color=color, linewidth=0.8, alpha=0.6)
        chosen = line[line["chosen"]]
        panel.plot(
            chosen["learning_rate"],
            chosen["val_metric_mean"].clip(bottom, top),
            "o",
            markersize=9,
            markerfacecolor="none",
            color=color,
        )
        diverged = line[line["n_diverged"] > 0]
        worst = bottom if higher else top
        panel.plot(diverged["learning_rate"], np.full(len(diverged), worst), "x", markersize=6, color=color)
        good = mean[np.isfinite(mean)]
        if len(good):
            ends[name] = (float(rates.loc[good.index[-1]]), float(good.iloc[-1]))
    shown = table.loc[table["optimizer"].isin(names), "learning_rate"]
    panel.set_xlim(shown.min() / 2, shown.max() * 2)
    use_log_scale(panel, "x")
    margin = (top - bottom) * 0.05
    panel.set_ylim(bottom - margin, top + margin)
    panel.set_xlabel(words("learning rate"))
    panel.set_ylabel(words("validation {metric}", metric=evidence.metric(problem)))
    label_ends(panel, ends, marked=True)


def draw_ranges(panel: Axes, evidence: Evidence, problem: str, order: list[str]) -> None:
    """Draw one row per optimizer: the grid as a thin line, good rates as a bar, rates at which a seed diverged as dots."""
    table = evidence.comparison.sensitivity[evidence.comparison.sensitivity["problem"] == problem]
    problem_info = evidence.plan.problems[problem]
    for place, name in enumerate(order):
        line = table[table["optimizer"] == name].sort_values("learning_rate")
        rates, color = line["learning_rate"].to_numpy(), optimizer_color(name)
        goodness = (problem_info.sign * line["val_metric_mean"]).where(line["n_diverged"] == 0).to_numpy()
        low, high, _ = good_range(rates, goodness, problem_info.margin)
        panel.plot([rates[0], rates[-1]], [place, place], color=color, linewidth=0.7, alpha=0.6)
        panel.plot([low, high], [place, place], color=color, linewidth=5, solid_capstyle="butt", alpha=0.75)
        for end, edge, arrow in ((low, rates[0], "<"), (high, rates[-1], ">")):
            if np.isclose(end, edge):  # equal before a round trip through logarithms
                panel.plot([end], [place], marker=arrow, markersize=5, color=color, linestyle="none")
        gone = rates[line["n_diverged"].to_numpy() > 0]
        panel.plot(gone, np.full(len(gone), place), ".", markersize=4, color=INK)
        chosen = line.loc[line["chosen"], "learning_rate"]
        panel.plot(chosen, np.full(len(chosen), place), "o", markersize=7, markerfacecolor="none", color=INK)
    panel.set_xlim(table["learning_rate"].min() / 2, table["learning_rate"].max() * 2)
    use_log_scale(panel, "x")
    label_rows(panel, order)
    panel.set_title(words("within the margin of its best"))
    panel.set_xlabel(words("learning rate"))


def compare_widths(evidence: Evidence, problem: str) -> pd.DataFrame:
    """The widths of the ranges of good rates of the optimizers that do well at all.

    Returns:
        Rows of ``widths``; empty where no optimizer has a rate at which every seed finished.
    """
    all_widths = evidence.comparison.widths
    widths = all_widths[(all_widths["problem"] == problem) & all_widths["width"].notna()]
    problem_info = evidence.plan.problems[problem]
    means = evidence.comparison.sensitivity.query("problem == @problem and n_diverged == 0")
    goodness = problem_info.sign * means["val_metric_mean"]
    best = goodness.groupby(means["optimizer"]).max()
    # An optimizer that is bad at every rate isn't robust for that.
    good = best.index[best >= best.max() - GOOD_MARGINS * problem_info.margin]
    return widths[widths["optimizer"].isin(good)]


def width_words(marks: Marks, widths: pd.DataFrame) -> str:
    """Who is least and who most sensitive, by the width of the good range."""
    if widths.empty:
        return words("no learning rate finished with every seed")
    widest, narrowest = widths.loc[widths["width"].idxmax()], widths.loc[widths["width"].idxmin()]
    if len(widths) == 1:
        return words("range of good learning rates: {widest}", widest=range_words(marks, widest))
    return words(
        "widest range of good learning rates: {widest}; narrowest: {narrowest}",
        widest=range_words(marks, widest),
        narrowest=range_words(marks, narrowest),
    )


def range_words(marks: Marks, row: pd.Series) -> str:
    """An optimizer and the width of its range of good learning rates."""
    title = marks.title(row["optimizer"], Arm.TUNED, [row["problem"]])
    fields = {"optimizer": title, "width": number(row["width"])}
    if row["censored"]:
        return words("{optimizer} (at least {width} decades)", **fields)
    return words("{optimizer} ({width} decades)", **fields)


def alarms(evidence: Evidence) -> Section:
    """Divergences, missing runs, optima on an edge, too few seeds."""
    table = order_alarms(evidence.comparison.alarms)
    if table.empty:
        text = words("No run diverged, failed or is missing, and no grid of learning rates was too narrow.")
        return Section("alarms", words("Alarms"), [Paragraph(text)])
    kinds = table["kind"].value_counts(sort=False)
    rows = [
        [words(row["kind"]), row["problem"], arm_cell(row["arm"]), row["optimizer"], alarm_sentence(row)]
        for row in table.to_dict("records")
    ]
    counts = joined([f"{count} × {words(str(kind))}" for kind, count in kinds.items()])
    title = words("What to be wary of: {counts}", counts=counts)
    caption = words(
        "diverged: a loss that is not finite or far above the initial one counts as the worst possible result; edge: a better "
        "learning rate may lie outside the grid, so the optimizer may be undertuned; cliff: a little more, and it diverges."
    )
    headers = [words("kind"), words("problem"), words("arm"), words("optimizer"), words("what")]
    return Section("alarms", words("Alarms"), [Table("alarm-table", title, headers, rows, caption, table)])
