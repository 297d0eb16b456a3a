"""Whether fewer updates to the target pay for a more expensive step: seconds to the target over plain SGD's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from descentlab.analysis.break_even import OPPOSITE, judge
from descentlab.i18n.wording import counted, joined, words
from descentlab.optimizers.roles import ADAM
from descentlab.report.blocks import ARM_WORDS, Evidence, Figure, Table, interval
from descentlab.report.drawing import finish, label_rows, limit_ratios
from descentlab.report.formatting import BOUND_SIGNS
from descentlab.report.marks import Marks
from descentlab.report.phrases import arm_cell
from descentlab.report.plotting import GRAY, new_row_figure, optimizer_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TARGET = "medium"
BOUND_MARKS = {"at most": "<", "at least": ">", "unknown": "o"}
JUDGED = ("won", "lost", "undecided")


def break_even_figure(evidence: Evidence, arm: str) -> Figure | None:
    """Ratio of seconds to the medium target to plain SGD's, one panel per problem; below 1, time is won."""
    table = evidence.comparison.break_even
    rows = table[(table["arm"] == arm) & (table["target"] == TARGET)]
    if rows.empty:
        return None
    problems = evidence.problems_in(rows)
    order = evidence.optimizers_in(rows)
    figure, axes = new_row_figure(len(problems), 1.95, order, margin=0.2, gap=0.15)
    for panel, problem in zip(axes, problems, strict=True):
        on_problem = rows[rows["problem"] == problem]
        panel.axvline(1, color=GRAY, linewidth=0.9)
        for row in on_problem.to_dict("records"):
            draw_ratio(panel, row, order.index(row["optimizer"]))
        limit_ratios(panel, rows[["seconds_ratio", "seconds_low", "seconds_high", "updates_ratio"]])
        label_rows(panel, order)
        panel.set_title(problem)
        panel.set_xlabel(words("seconds / plain SGD's"))
    takeaway = f"{words(ARM_WORDS[arm].rates).capitalize()}: {break_even_words(evidence.marks, rows, problems)}"
    caption = words(
        "Time to the {target} target over plain SGD's: the paired ratio of updates within the budget (n = up to {seeds} seeds; "
        "a short vertical line shows it alone) times the ratio of a step's cost, measured separately (n = {rounds} rounds); 95 "
        "% interval of the product, its degrees of freedom by Satterthwaite. Left of the line, time is saved. Hollow where a "
        "run missed the target: the true ratio lies where a triangle points; a circle means that both sides missed. A step "
        "costs the same in every arm.",
        target=words(TARGET),
        seeds=rows["n_seeds"].max(),
        rounds=rows["n_rounds"].max(),
    )
    return finish(figure, f"break-even-{arm}", takeaway=takeaway, caption=caption, data=rows)


def draw_ratio(axes: Axes, row: Mapping[str, Any], y: int) -> None:
    """Draw the ratio of seconds with its interval, hollow if it is a bound, and the ratio of updates alone."""
    color, bound = optimizer_color(str(row["optimizer"])), str(row["bound"])
    axes.plot([row["seconds_low"], row["seconds_high"]], [y, y], color=color, linewidth=1.4, solid_capstyle="butt")
    axes.plot([row["updates_ratio"]], [y], marker="|", markersize=7, color=color, linestyle="none", alpha=0.8)
    axes.plot(
        [row["seconds_ratio"]],
        [y],
        marker=BOUND_MARKS.get(bound, "o"),
        markersize=5.5,
        color=color,
        markerfacecolor="none" if bound else color,
        linestyle="none",
    )


def break_even_words(marks: Marks, rows: pd.DataFrame, problems: list[str]) -> str:
    """In how many comparisons of one arm fewer steps pay off, and the verdict on Adam for each problem."""
    verdicts = rows.assign(verdict=[judge(row) for row in rows.to_dict("records")])
    counts = verdicts["verdict"].value_counts()
    text = words(
        "fewer steps to the {target} target make up for costlier ones in {won} of {comparisons} with plain SGD, don't in "
        "{lost}, {undecided} undecided",
        target=words(TARGET),
        comparisons=counted(len(rows), "{n} comparison", "{n} comparisons"),
        **{verdict: int(counts.get(verdict, 0)) for verdict in JUDGED},
    )
    adam = verdicts[verdicts["optimizer"] == ADAM].set_index("problem")
    parts = []
    for problem in [problem for problem in problems if problem in adam.index]:
        row = adam.loc[problem].to_dict()
        verdict, value = words(str(row["verdict"])), ratio_words(row, "seconds")
        parts.append(words("{verdict} on {where} ({value})", verdict=verdict, where=problem, value=value))
    if not parts:
        return text
    name = marks.title(ADAM, str(rows["arm"].iloc[0]), problems)
    return words("{text}; the time of {name} is {parts}", text=text, name=name, parts=joined(parts))


def bound_words(bound: str) -> str:
    """The sign in front of a ratio that is a bound."""
    return words(BOUND_SIGNS[bound])


def ratio_words(row: Mapping[str, Any], name: str) -> str:
    """``≤ 0.5 [0.4, 0.6], n = 10``: the ratio of updates or of seconds, with its sign if it is a bound."""
    value = interval(row[f"{name}_ratio"], row[f"{name}_low"], row[f"{name}_high"], row["n_seeds"])
    return bound_words(row["bound"]) + value


def break_even_table(evidence: Evidence) -> Table:
    """Steps saved times the cost of a step, for all arms and targets."""
    table = evidence.comparison.break_even
    rows = []
    for row in table.to_dict("records"):
        sign = bound_words(OPPOSITE[row["bound"]])
        reached = words("{n} / {n_sgd} of {of}", n=row["n_reached"], n_sgd=row["n_reached_sgd"], of=row["n_seeds"])
        rows.append(
            [
                row["problem"],
                arm_cell(str(row["arm"])),
                words(str(row["target"])),
                evidence.marks.cell(row),
                reached,
                ratio_words(row, "updates"),
                interval(row["step_ratio"], row["step_low"], row["step_high"], row["n_rounds"]),
                ratio_words(row, "seconds"),
                words(judge(row)),
                sign + interval(row["break_even"], row["break_even_low"], row["break_even_high"], row["n_seeds"]),
                sign
                + interval(
                    row["seconds_saved"] * 1e3,
                    row["saved_low"] * 1e3,
                    row["saved_high"] * 1e3,
                    row["n_seeds"],
                    signed=True,
                ),
                f"{row['extra_state_bytes']:,.0f}",
            ]
        )
    headers = [
        words("problem"),
        words("arm"),
        words("target"),
        words("optimizer"),
        words("reached / by sgd"),
        words("updates / sgd's"),
        words("step / sgd's"),
        words("seconds / sgd's"),
        words("time"),
        words("break-even step"),
        words("ms saved per run"),
        words("more state, bytes"),
    ]
    caption = words(
        "Ratios with 95 % intervals, n seeds for updates, rounds for steps. Seconds: the product of the first two. The "
        "break-even step is how many times the cost of plain SGD's step another's may reach before its savings in steps are "
        "gone. Milliseconds saved: mean updates within the budget times mean cost of a step, plain SGD's minus the optimizer's,"
        " the interval over seeds and rounds. State: bytes of the optimizer's variables beyond plain SGD's, counted. ≤ and ≥ "
        "where a run missed the target."
    )
    title = words("Steps saved times the cost of a step, as numbers")
    return Table("break-even", title, headers, rows, caption, table, frozenset({11}), folded=True)
