"""How far off a learning rate may be before the score leaves the margin, or the run diverges."""

from __future__ import annotations

import pandas as pd

from descentlab.i18n.wording import joined, words
from descentlab.optimizers.arms import Arm
from descentlab.report.blocks import Evidence, Figure, Table, interval
from descentlab.report.drawing import draw_rows, finish
from descentlab.report.marks import Marks
from descentlab.report.plotting import new_row_figure


def robustness_blocks(evidence: Evidence) -> list[Figure | Table]:
    """The figure of the robustness sweep, and the table of all widths."""
    widths = evidence.comparison.widths
    figure = width_figure(evidence, widths[(widths["phase"] == "sweep") & widths["width"].notna()])
    return [*([figure] if figure else []), width_table(evidence)]


def width_figure(evidence: Evidence, swept: pd.DataFrame) -> Figure | None:
    """Widths of the range of good rates from the robustness sweep, one panel per problem."""
    if swept.empty:
        return None
    problems = evidence.problems_in(swept)
    order = evidence.optimizers_in(swept)
    figure, axes = new_row_figure(len(problems), 1.95, order, row=0.24, margin=0.2, gap=0.15, share_x=True)
    for panel, problem in zip(axes, problems, strict=True):
        on_problem = swept[swept["problem"] == problem]
        draw_rows(panel, on_problem[~on_problem["censored"]], order, "width", "low", "high")
        draw_rows(panel, on_problem[on_problem["censored"]], order, "width", "low", "high", filled=False)
        panel.set_title(problem)
        panel.set_xlabel(words("decades (wider is better)"))
    axes[0].set_xlim(left=0)  # of all, once all is drawn: it ends their growing with what is drawn
    takeaway = words(
        "Most forgiving of a wrong learning rate, in decades within the margin: {list}",
        list=joined([widest_words(evidence.marks, swept, problem) for problem in problems]),
    )
    caption = words(
        "Decades of learning rate whose mean validation metric lies within the problem's margin of the best mean, interpolated "
        "between half-decades; 95 % intervals from resampling n = {n} seeds. The sweep goes outward from the chosen rate until "
        "the mean leaves the margin or a run diverges, and halves the last step, so an end is known to a quarter of a decade; "
        "hollow where an end was not reached within 4 decades, so the range is at least that wide.",
        n=int(swept["n"].max()),
    )
    return finish(figure, "robustness", takeaway=takeaway, caption=caption, data=swept)


def widest_words(marks: Marks, swept: pd.DataFrame, problem: str) -> str:
    """Who has the widest range on a problem, and how wide it is."""
    on_problem = swept[swept["problem"] == problem]
    row = on_problem.loc[on_problem["width"].idxmax()]
    fields = {
        "optimizer": marks.title(row["optimizer"], Arm.TUNED, [problem]),
        "problem": problem,
        "width": interval(row["width"], row["low"], row["high"], row["n"]),
    }
    if row["censored"]:
        return words("{optimizer} on {problem} (at least {width})", **fields)
    return words("{optimizer} on {problem} ({width})", **fields)


def width_table(evidence: Evidence) -> Table:
    """The numbers of widths and of distances to divergence."""
    widths = evidence.comparison.widths
    rows = []
    for row in widths.to_dict("records"):
        width = interval(row["width"], row["low"], row["high"], row["n"])
        distance = interval(row["divergence"], row["divergence_low"], row["divergence_high"], row["n"])
        rows.append(
            [
                row["problem"],
                evidence.marks.label(row["optimizer"], Arm.TUNED, [row["problem"]]),
                words("sweep") if row["phase"] == "sweep" else words("tuning grid"),
                ("≥ " if row["censored"] else "") + width,
                ("> " if row["divergence_censored"] else "") + distance,
            ]
        )
    title = words("Width of the range of good learning rates")
    caption = words(
        "Width: decades of learning rate whose mean over seeds is within the margin of the best (wider is more forgiving); "
        "divergence: decades from the best rate to the first above it at which a run diverges (more is safer). ≥ and > where an "
        "end lies outside the rates that were tried. On the tuning grid only the tuning seeds count, and the grid's ends cut off "
        "wide ranges."
    )
    headers = [
        words("problem"),
        words("optimizer"),
        words("measured in"),
        words("width, decades [95 %]"),
        words("to divergence, decades [95 %]"),
    ]
    return Table("widths", title, headers, rows, caption, widths, frozenset({3, 4}), folded=True)
