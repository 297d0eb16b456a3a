"""What the learning rate does, and what a reader must be wary of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.plotting import (
    SLIDES,
    figure_svg,
    label_room,
    new_figure,
    optimizer_colour,
    optimizer_marker,
    use_log_scale,
)
from descentlab.sections.blocks import (
    Evidence,
    Figure,
    Paragraph,
    Section,
    Table,
    number,
    optimizer_title,
    present,
)
from descentlab.sections.drawing import label_ends
from descentlab.sections.robustness import robustness_blocks
from descentlab.wording import joined, message, words

GOOD_MARGINS = 5
ALARM_KINDS = (
    message("diverged"),
    message("failed"),
    message("missing"),
    message("edge"),
    message("few seeds"),
)


def sensitivity(evidence: Evidence) -> Section | None:
    """Validation metric against learning rate."""
    table = evidence.comparison.sensitivity
    if table.empty:
        return None
    problems = present(table["problem"], list(evidence.plan["problems"]))
    figures = [sensitivity_figure(evidence, problem) for problem in problems]
    title = words("Sensitivity to the learning rate")
    return Section("sensitivity", title, [*figures, *robustness_blocks(evidence)])


def sensitivity_figure(evidence: Evidence, problem: str) -> Figure:
    """One problem: a line an optimizer over its grid; the slides' optimizers on the left, the others on the right."""
    table = evidence.comparison.sensitivity[evidence.comparison.sensitivity["problem"] == problem]
    order = present(table["optimizer"], evidence.optimizers)
    groups = [[n for n in order if n in SLIDES], [n for n in order if n not in SLIDES]]
    titles = [words("the slides' optimizers"), words("the others")]
    shown = [(title, group) for title, group in zip(titles, groups, strict=True) if group]
    room = label_room(order)
    figure, axes = new_figure(len(shown), 3.1, 3.0, right=room, gap=room + 0.5, share_y=True)
    higher = evidence.plan["problems"][problem]["higher_is_better"]
    means = table["val_metric_mean"].replace([np.inf, -np.inf], np.nan).dropna()
    bottom, top = value_range(means, higher)
    for panel, (title, group) in zip(axes, shown, strict=True):
        ends: dict[str, tuple[float, float]] = {}
        for name in group:
            line = table[table["optimizer"] == name].sort_values("learning_rate")
            colour, rates = optimizer_colour(name), line["learning_rate"]
            mean = line["val_metric_mean"].clip(bottom, top)
            panel.plot(rates, mean, color=colour, marker=optimizer_marker(name), markersize=3.5, linewidth=1.4)
            low, high = line["val_metric_low"].clip(bottom, top), line["val_metric_high"].clip(bottom, top)
            panel.vlines(rates, low, high, color=colour, linewidth=0.8, alpha=0.6)
            chosen = line[line["chosen"]]
            panel.plot(chosen["learning_rate"], chosen["val_metric_mean"].clip(bottom, top), "o", markersize=9,
                       markerfacecolor="none", color=colour)  # fmt: skip
            diverged = line[line["n_diverged"] > 0]
            worst = bottom if higher else top
            panel.plot(diverged["learning_rate"], np.full(len(diverged), worst), "x", markersize=6, color=colour)
            good = mean[np.isfinite(mean)]
            if len(good):
                ends[name] = (float(rates.loc[good.index[-1]]), float(good.iloc[-1]))
        rates = table.loc[table["optimizer"].isin(group), "learning_rate"]
        panel.set_xlim(rates.min() / 2, rates.max() * 2)
        use_log_scale(panel, "x")
        margin = (top - bottom) * 0.05
        panel.set_ylim(bottom - margin, top + margin)
        panel.set_title(title)
        panel.set_xlabel(words("learning rate"))
        panel.set_ylabel(words("validation {metric}", metric=evidence.metric(problem)))
        label_ends(panel, ends, marked=True)
    takeaway = f"{problem}: {width_words(evidence, problem)}"
    caption = words(
        "Mean validation metric of the tuning runs by learning rate, 95 % t interval, n = {n} seeds a point; a ring marks the "
        "chosen rate, a cross a rate at which a seed diverged (at the worst end of the axis). Values beyond the axis are drawn "
        "at its end. The title compares the optimizers whose best rate comes within {margins} margins of the best of all.",
        n=int((table["n"] + table["n_diverged"]).max()),
        margins=GOOD_MARGINS,
    )
    identity = f"sensitivity-{problem}"
    return Figure(identity, takeaway, figure_svg(figure, f"{takeaway}. {caption}", identity), caption, table)


def value_range(means: pd.Series, higher_is_better: bool) -> tuple[float, float]:
    """Limits that show the better end in full, and the worse one as far as it is bounded."""
    if means.empty:
        return 0.0, 1.0
    if higher_is_better:
        return float(means.min()), float(means.max())
    best = float(means.min())
    return best, float(min(means.max(), max(3 * abs(best), means.median() * 2)))


def width_words(evidence: Evidence, problem: str) -> str:
    """Who is least and who most sensitive, by the width of the range within the margin, of those that are good at all."""
    widths = evidence.comparison.widths
    mine = widths[(widths["problem"] == problem) & widths["width"].notna()]
    if mine.empty:
        return words("no learning rate finished with every seed")
    about = evidence.plan["problems"][problem]
    means = evidence.comparison.sensitivity.query("problem == @problem and n_diverged == 0")
    goodness = means["val_metric_mean"] if about["higher_is_better"] else -means["val_metric_mean"]
    best = goodness.groupby(means["optimizer"]).max()
    # Who is bad at every rate is not thereby robust.
    good = best.index[best >= best.max() - GOOD_MARGINS * about["margin"]]
    mine = mine[mine["optimizer"].isin(good)]
    widest, narrowest = mine.loc[mine["width"].idxmax()], mine.loc[mine["width"].idxmin()]
    if len(mine) == 1:
        return words("range of good learning rates: {widest}", widest=range_words(widest))
    return words(
        "widest range of good learning rates: {widest}; narrowest: {narrowest}",
        widest=range_words(widest),
        narrowest=range_words(narrowest),
    )


def range_words(row: pd.Series) -> str:
    """An optimizer and the width of its range of good learning rates."""
    about = {"optimizer": optimizer_title(row["optimizer"]), "width": number(row["width"])}
    if row["censored"]:
        return words("{optimizer} (at least {width} decades)", **about)
    return words("{optimizer} ({width} decades)", **about)


def alarms(evidence: Evidence) -> Section:
    """Divergences, missing runs, optima on an edge, too few seeds."""
    table = evidence.comparison.alarms
    if table.empty:
        text = words("No run diverged, failed or is missing, and no chosen learning rate lies on the edge of its grid.")
        return Section("alarms", words("Alarms"), [Paragraph(text)])
    kinds = table["kind"].value_counts(sort=False)
    rows = [
        [words(row["kind"]), row["problem"], words(row["arm"]), row["optimizer"], row["text"]]
        for row in table.to_dict("records")
    ]
    counts = joined([f"{count} × {words(str(kind))}" for kind, count in kinds.items()])
    title = words("What to be wary of: {counts}", counts=counts)
    caption = words(
        "diverged: a loss that is not finite or above its bound counts as the worst possible result; edge: a better learning "
        "rate may lie outside the grid, so the optimizer may be undertuned."
    )
    headers = [words("kind"), words("problem"), words("arm"), words("optimizer"), words("what")]
    return Section("alarms", words("Alarms"), [Table("alarm-table", title, headers, rows, caption, table)])
