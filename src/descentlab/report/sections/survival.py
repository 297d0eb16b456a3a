"""Time to target as curves: the share of seeds that have not reached it yet, and performance profiles over problems."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from descentlab.analysis.statistics.intervals import CONFIDENCE
from descentlab.analysis.statistics.survival import kaplan_meier
from descentlab.analysis.time_to_target import PROFILE_INTEGRAL_TO
from descentlab.i18n.wording import counted, joined, message, words
from descentlab.optimizers.roles import LECTURE
from descentlab.report.blocks import ARM_WORDS, Evidence, Figure, number
from descentlab.report.drawing import NAMED, back_to_front, finish, in_front, label_ends, line_style
from descentlab.report.plotting import label_room, new_figure, optimizer_color, use_log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TARGET = message("medium")
LEAST_PROBLEMS = 2  # below, a share of problems says nothing
MOST_NAMED = 3  # tied optimizers; more are only counted
HAIR = 0.006  # share by which each curve is moved up from the one before, so that none hides another
PROFILE_HEADS = {
    1.0: message("fastest to the {target} target most often: {names}, on {count} of {problems} problems"),
    2.0: message("within twice the fastest most often: {names}, on {count} of {problems} problems"),
}


def survival_figure(evidence: Evidence, arm: str) -> Figure | None:
    """Kaplan–Meier curves of the updates to the medium target, one panel per problem."""
    reached = evidence.comparison.reached
    rows = reached[(reached["arm"] == arm) & (reached["target"] == TARGET)]
    if rows.empty:
        return None
    problems = evidence.problems_in(rows)
    names = names_to_draw(evidence.optimizers_in(rows))
    figure, axes = new_figure(len(problems), 2.0, 2.4, right=label_room(names), gap=0.25, share_y=True)
    for panel, problem in zip(axes, problems, strict=True):
        on_problem = rows[rows["problem"] == problem]
        for place, name in enumerate(names):
            draw_survival(panel, on_problem[on_problem["optimizer"] == name], name, place * HAIR)
        positive = on_problem.loc[on_problem["updates"] > 0, "updates"]
        panel.set_xlim(
            max(float(positive.min()) if len(positive) else 1.0, 1.0) / 2,
            float(on_problem["budget_updates"].max()) * 1.6,
        )
        use_log_scale(panel, "x")
        panel.set_ylim(-0.04, 1.06)
        panel.set_title(problem)
        panel.set_xlabel(words("updates"))
    axes[0].set_ylabel(words("share of seeds not there yet"))
    # Curves end on top of each other, at 0 or at the share that missed, so the names aren't tied to their ends.
    label_ends(axes[-1], {name: (1.0, 1 - i / max(1, len(names) - 1)) for i, name in enumerate(names)})
    takeaway = survival_words(evidence, rows, problems, arm)
    caption = words(
        "Share of the seeds whose validation loss has not reached the {target} target yet (Kaplan & Meier 1958), n = up to {n} "
        "seeds per curve; lower and further left is better. A cross marks runs that missed within their budget or diverged: "
        "whether they would ever have reached it is not known. Each curve is a hair above the one before.",
        target=words(TARGET),
        n=int(rows.groupby(["problem", "optimizer"]).size().max()),
    )
    if others := rows["optimizer"].nunique() - len(names):
        caption += " " + counted(
            others,
            "The optimizer not drawn is in the data and counts in the title.",
            "The {n} optimizers not drawn are in the data and count in the title.",
        )
    data = rows.drop(columns="run_id")  # long, and the other columns identify the run
    return finish(figure, f"survival-{arm}", takeaway=takeaway, caption=caption, data=data)


def names_to_draw(names: list[str]) -> list[str]:
    """The slides' optimizers among ``names``, else the first few: with more, curves of ten seeds hide each other."""
    return [name for name in names if name in LECTURE] or names[:NAMED]


def draw_survival(axes: Axes, runs: pd.DataFrame, name: str, shift: float) -> None:
    """Draw one optimizer's steps up to its budget, with a cross there if runs were censored.

    Args:
        runs: of one problem, arm and target; may be empty.
        shift: moves the curve up, so that curves that coincide stay apart.
    """
    if runs.empty:
        return
    times, shares = kaplan_meier(runs["updates"].to_numpy(), runs["reached"].to_numpy())
    budget = float(runs["budget_updates"].max())
    # A logarithmic axis has no 0: the curve comes in from the left.
    x, y = np.r_[np.maximum(times, 1e-3), budget], np.r_[shares, shares[-1]] + shift
    color = optimizer_color(name)
    axes.plot(x, y, drawstyle="steps-post", color=color, linewidth=1.6, gid=f"linename-{name}--")
    if not runs["reached"].all():
        axes.plot([budget], [y[-1]], marker="x", markersize=6, color=color, linestyle="none")


def survival_words(evidence: Evidence, rows: pd.DataFrame, problems: list[str], arm: str) -> str:
    """For each problem: how many optimizers reach the target with every seed, and who has the lowest median.

    Full-batch descent has a budget of its own, in fewer but larger updates, so its median isn't compared.
    """
    parts = []
    for problem in problems:
        on_problem = rows[rows["problem"] == problem]
        groups = {name: on_problem[on_problem["optimizer"] == name] for name in evidence.optimizers_in(on_problem)}
        parts.append(
            counted(
                len(groups),
                "by {reached} of {n} optimizer on {problem} ({first})",
                "by {reached} of {n} optimizers on {problem} ({first})",
                reached=sum(bool(runs["reached"].all()) for runs in groups.values()),
                problem=problem,
                first=first_words(groups, partial(evidence.marks.title, arm=arm, problems=[problem])),
            )
        )
    return words(
        "{arm}: the {target} target is reached with every seed {tallies}",
        arm=words(ARM_WORDS[arm].rates).capitalize(),
        target=words(TARGET),
        tallies=joined(parts),
    )


def first_words(groups: dict[str, pd.DataFrame], title: Callable[[str], str]) -> str:
    """Who has the lowest median among those with the largest budget; if none has one, who gets there most often.

    Args:
        groups: each optimizer's runs on one problem.
        title: an optimizer's name in a sentence.
    """
    budget = max(runs["budget_updates"].max() for runs in groups.values())
    alike = {name: runs for name, runs in groups.items() if runs["budget_updates"].max() == budget}
    medians = {name: median_words(runs) for name, runs in alike.items()}
    first = min(alike, key=lambda name: medians[name][0])
    median, text = medians[first]
    if np.isinf(median):
        most = max(alike, key=lambda name: float(alike[name]["reached"].mean()))
        return words(
            "none with half of its seeds; most: {optimizer}, {n} of {total}",
            optimizer=title(most),
            n=int(alike[most]["reached"].sum()),
            total=len(alike[most]),
        )
    fields = {"optimizer": title(first), "median": text}
    if ties := sum(other == median for other, _ in medians.values()) - 1:
        return counted(
            ties,
            "first: {optimizer}, median {median}, tied with {n} other",
            "first: {optimizer}, median {median}, tied with {n} others",
            **fields,
        )
    return words("first: {optimizer}, median {median}", **fields)


def median_words(runs: pd.DataFrame) -> tuple[float, str]:
    """Updates after which half of the seeds have reached the target, as a number and as text with its interval.

    The interval covers the median with at least 95 %, by order statistics, for any distribution (scipy's quantile test); an
    end among the runs that missed is "never".

    Returns:
        The median, inf if fewer than half of the seeds reach the target, and its text.
    """
    times = np.where(runs["reached"], runs["updates"], np.inf)
    median = float(np.sort(times)[(len(times) - 1) // 2])
    interval = stats.quantile_test(times, p=0.5).confidence_interval(CONFIDENCE)
    known = not np.isnan(interval.low) and not np.isnan(interval.high)
    ends = f"[{number(interval.low)}, {number(interval.high)}]" if known else words("(no interval)")
    return median, words("{median} updates {interval}, n = {n}", median=number(median), interval=ends, n=len(times))


def profile_figure(evidence: Evidence, arm: str) -> Figure | None:
    """Performance profiles over problems; None below two problems."""
    profiles = evidence.comparison.profiles
    rows = profiles[(profiles["arm"] == arm) & (profiles["target"] == TARGET)]
    if rows.empty or int(rows["n"].max()) < LEAST_PROBLEMS:
        return None
    order = evidence.optimizers_in(rows)
    front = in_front(order)
    figure, (axes,) = new_figure(1, 4.2, 2.8, right=label_room(front))
    ends = {}
    for name in back_to_front(order, front):
        line = rows[rows["optimizer"] == name].sort_values("ratio")
        leading = name in front
        shares = line["share"] + (front.index(name) * HAIR if leading else 0)
        axes.plot(line["ratio"], shares, drawstyle="steps-post", **line_style(name, leading))
        if leading:
            ends[name] = (float(line["ratio"].iloc[-1]), float(shares.iloc[-1]))
    axes.set_xlim(1, float(rows["ratio"].max()))
    use_log_scale(axes, "x")
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel(words("times the updates of the fastest"))
    axes.set_ylabel(words("share of problems"))
    label_ends(axes, ends)
    title = partial(evidence.marks.title, arm=arm, problems=evidence.plan.problems)
    takeaway = f"{words(ARM_WORDS[arm].rates).capitalize()}: {profile_words(rows, order, title)}"
    caption = words(
        "Share of n = {n} problems on which an optimizer's mean updates to the {target} target are within a factor of the "
        "fastest's (Dolan & Moré 2002); higher and further left is better. A profile's integral is its mean from the fastest to "
        "{factor} times the fastest (Dahl et al. 2023). An optimizer that missed with any seed does not "
        "reach it on that problem; full batch, whose budget has a different number of updates, isn't compared. {n} problems are"
        " few: these shares describe them and no others. Each line is a hair above the one before.",
        n=int(rows["n"].max()),
        target=words(TARGET),
        factor=number(PROFILE_INTEGRAL_TO),
    )
    if len(front) < len(order):
        caption += " " + words("Dashed: the others (hover for names).")
    return finish(figure, f"profiles-{arm}", takeaway=takeaway, caption=caption, data=rows)


def profile_words(rows: pd.DataFrame, order: list[str], title: Callable[[str], str]) -> str:
    """Who is fastest most often, who is within twice the fastest most often, and whose integral is the largest."""
    n = int(rows["n"].max())
    texts = []
    for factor, head in PROFILE_HEADS.items():
        shares = rows[np.isclose(rows["ratio"], factor)].set_index("optimizer")["share"]
        count = round(float(shares.max()) * n) if len(shares) else 0
        texts.append(words(head, target=words(TARGET), names=leaders(shares, order, title), count=count, problems=n))
    integrals = rows.drop_duplicates("optimizer").set_index("optimizer")
    largest = integrals.loc[integrals["integral"].idxmax()]
    texts.append(
        words(
            "largest integral: {names}, {integral} ({least} to {most} with one problem left out)",
            names=leaders(integrals["integral"], order, title),
            integral=number(largest["integral"]),
            least=number(largest["integral_least"]),
            most=number(largest["integral_most"]),
        )
    )
    return "; ".join(texts)


def leaders(values: pd.Series, order: list[str], title: Callable[[str], str]) -> str:
    """Who has the largest of ``values``, by optimizer: their names or how many they are; nobody where it is 0."""
    best = [name for name in order if name in values.index and values[name] == values.max() > 0]
    if not best:
        return words("no optimizer")
    return joined([title(name) for name in best]) if len(best) <= MOST_NAMED else words("{n} optimizers", n=len(best))
