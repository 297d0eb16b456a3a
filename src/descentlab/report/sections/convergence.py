"""How fast: curves against updates, time to target, gap to the known optimum."""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.targets import TARGETS
from descentlab.i18n.wording import joined, words
from descentlab.optimizers.arms import SPEED_ARM
from descentlab.report.blocks import (
    ARM_WORDS,
    Evidence,
    Figure,
    Section,
    Table,
    interval,
    number,
    reference_title,
)
from descentlab.report.drawing import draw_curves, draw_rows, finish, in_front
from descentlab.report.formatting import BOUND_SIGNS
from descentlab.report.marks import Marks
from descentlab.report.phrases import arm_cell
from descentlab.report.plotting import label_room, new_figure, new_row_figure, use_log_scale
from descentlab.report.sections.noise_floor import noise_floor_figure
from descentlab.report.sections.survival import profile_figure, survival_figure


def convergence(evidence: Evidence) -> Section | None:
    """Curves of every problem."""
    curves = evidence.comparison.curves
    if curves.empty:
        return None
    problems = evidence.problems_in(curves)
    return Section("convergence", words("Convergence"), [curve_figure(evidence, problem) for problem in problems])


def curve_figure(evidence: Evidence, problem: str) -> Figure:
    """One problem's validation loss against updates, one panel per arm."""
    curves = evidence.comparison.curves[evidence.comparison.curves["problem"] == problem]
    arms = evidence.arms_in(curves)
    leads = []
    for arm in arms:
        leaders = find_leaders(curves, arm, evidence.complete(problem, arm))
        first, last = (name and evidence.marks.title(name, arm, [problem]) for name in leaders)
        leads.append(leader_words(arm, first, last))
    takeaway = f"{problem}: {'; '.join(leads)}"
    caption = curve_caption(evidence, problem, curves)
    room = label_room(in_front(curves["optimizer"]))
    figure, axes = new_figure(len(arms), 3.3, 2.9, right=room, gap=room + 0.7)
    for panel, arm in zip(axes, arms, strict=True):
        arm_curves = curves[curves["arm"] == arm].sort_values("updates", kind="stable")
        arm_curves = arm_curves.iloc[np.argsort(arm_curves["optimizer"].map(evidence.optimizers.index), kind="stable")]
        draw_curves(panel, arm_curves, "updates", "val_loss", y_scale="log")
        panel.set_title(words(ARM_WORDS[arm].rates))
        panel.set_xlabel(words("updates"))
        panel.set_ylabel(words("validation loss"))
    return finish(figure, f"convergence-{problem}", takeaway=takeaway, caption=caption, data=curves)


def curve_caption(evidence: Evidence, problem: str, curves: pd.DataFrame) -> str:
    """What the curves are means of."""
    title = evidence.plan.problems[problem].title
    fields = {"title": words(title), "n": int(curves["n"].max())}
    if len(in_front(curves["optimizer"])) == curves["optimizer"].nunique():
        means = words("{title}. Means over up to n = {n} final seeds; bands are 95 % t intervals.", **fields)
    else:
        means = words(
            "{title}. Means over up to n = {n} final seeds; bands are 95 % t intervals of the named optimizers; the others are "
            "dashed (hover for names).",
            **fields,
        )
    return f"{means} " + words(
        "Curves of diverged seeds end where they diverged; the largest values may lie above the frame. Other measures and axes "
        "are in the explorer."
    )


def find_leaders(curves: pd.DataFrame, arm: str, complete: list[str]) -> tuple[str | None, str | None]:
    """Who has the lowest mean validation loss after a tenth of the budget, and who at its end; None without a curve.

    Args:
        curves: mean curves of one problem.
        arm: whose curves.
        complete: the optimizers of which every run finished; the mean of survivors leads nobody.
    """
    finite = curves[(curves["arm"] == arm) & np.isfinite(curves["val_loss_mean"]) & (curves["n"] > 0)]
    finite = finite[finite["optimizer"].isin(complete)]
    early = finite[finite["epoch"] <= finite["epoch"].max() / 10]  # externally logged runs may have few evaluations
    first, last = (
        None if rows.empty else str(rows.groupby("optimizer", sort=False).last()["val_loss_mean"].idxmin())
        for rows in (early, finite)
    )
    return first, last


def leader_words(arm: str, first: str | None, last: str | None) -> str:
    """Who leads early and who at the end, by their titles, with the rates of an arm."""
    rates = words(ARM_WORDS[arm].rates)
    if last is None:
        return words("no curve with {arm}", arm=rates)
    if first is None:
        return words("with {arm}, {last} has the lowest validation loss at the end", last=last, arm=rates)
    if first == last:
        return words(
            "with {arm}, {first} has the lowest validation loss after a tenth of the budget and at its end",
            first=first,
            arm=rates,
        )
    return words(
        "with {arm}, {first} has the lowest validation loss after a tenth of the budget, {last} at its end",
        first=first,
        last=last,
        arm=rates,
    )


def time_to_target(evidence: Evidence) -> Section | None:
    """Updates until the validation loss reaches targets set by the reference."""
    speed = evidence.comparison.speed
    if speed.empty:
        return None
    makers = (target_figure, survival_figure, profile_figure)
    figures = [figure for arm in evidence.arms for make in makers if (figure := make(evidence, arm))]
    if (fastest := target_figure(evidence, SPEED_ARM)) is not None:
        figures.insert(1, fastest)
    return Section("time-to-target", words("Time to target"), [*figures, speed_table(evidence)])


def target_figure(evidence: Evidence, arm: str, target: str = "medium") -> Figure | None:
    """Share of the budget needed to reach the target, one panel per problem; None without rows of the arm."""
    speed = evidence.comparison.speed
    rows = speed[(speed["arm"] == arm) & (speed["target"] == target)]
    if rows.empty:
        return None
    problems = evidence.problems_in(rows)
    order = evidence.optimizers_in(rows)
    shares = rows.copy()
    for column in ("updates_restricted_mean", "low", "high"):
        shares[column] = (rows[column] / rows["budget_updates"]).clip(1e-3, 1)
    figure, axes = new_row_figure(len(problems), 1.95, order, gap=0.15)
    for panel, problem in zip(axes, problems, strict=True):
        on_problem = shares[shares["problem"] == problem]
        complete = on_problem[on_problem["n_reached"] == on_problem["n"]]
        draw_rows(panel, complete, order, "updates_restricted_mean", "low", "high")
        incomplete = on_problem[on_problem["n_reached"] < on_problem["n"]]
        draw_rows(panel, incomplete, order, "updates_restricted_mean", "low", "high", filled=False)
        panel.set_xscale("log")
        panel.set_xlim(7e-4, 1.8)
        panel.set_xticks([0.001, 0.01, 0.1, 1], labels=["0.1", "1", "10", "100"])
        panel.minorticks_off()
        panel.set_title(problem)
        panel.set_xlabel(words("share of the budget, %"))
    takeaway = fastest_words(evidence.marks, find_fastest(shares, problems), arm, target)
    caption = words(
        "Mean share of the budget until the validation loss first reaches the {target} target, 95 % t interval, n = up to {n} "
        "seeds; a run that misses or diverges counts as the whole budget, hollow where any did. Full-batch descent sees as many"
        " examples as the others and so makes few updates: its budget is its own.",
        target=words(target),
        n=int(rows["n"].max()),
    )
    if arm == SPEED_ARM:
        caption += " " + words(
            "Each optimizer has the rate whose tuning runs reach the target soonest: tuned rates are the best at the end, not "
            "the fastest."
        )
        if rows["faster_untrained"].any():
            caption += " " + words(
                "On {faster} of {rows} rows that rate wasn't trained on the final seeds, and the soonest of those that were "
                "stands for it.",
                faster=int(rows["faster_untrained"].sum()),
                rows=len(rows),
            )
    return finish(figure, f"time-to-target-{arm.replace('_', '-')}", takeaway=takeaway, caption=caption, data=rows)


def find_fastest(times: pd.DataFrame, problems: list[str]) -> dict[str, str]:
    """By problem, who needs the fewest updates among those that reach the target with every seed, if any does."""
    complete = times[times["n_reached"] == times["n"]].set_index("optimizer")
    fastest = complete.groupby("problem")["updates_restricted_mean"].idxmin()
    return {problem: str(fastest[problem]) for problem in problems if problem in fastest}


def fastest_words(marks: Marks, fastest: dict[str, str], arm: str, target: str) -> str:
    """Who reaches the target with the fewest updates on each problem."""
    fields = {"arm": words(ARM_WORDS[arm].rates).capitalize(), "target": words(target)}
    if not fastest:
        return words("{arm}: no optimizer reached the {target} target with every seed", **fields)
    names = [
        words("{optimizer} on {problem}", optimizer=marks.title(name, arm, [problem]), problem=problem)
        for problem, name in fastest.items()
    ]
    return words("{arm}: fewest updates to the {target} target: {names}", names=joined(names), **fields)


def speed_table(evidence: Evidence) -> Table:
    """The numbers of every time to target."""
    speed = evidence.comparison.speed
    rows = []
    for row in speed.to_dict("records"):
        sign = BOUND_SIGNS[row["ratio_bound"]]
        ratio = (
            ""
            if np.isnan(row["ratio_to_sgd"])
            else words(sign) + interval(row["ratio_to_sgd"], row["ratio_low"], row["ratio_high"], row["n"])
        )
        mean = interval(row["updates_restricted_mean"], row["low"], row["high"], row["n"])
        reached = words("{n} of {total}", n=row["n_reached"], total=row["n"])
        rows.append(
            [
                row["problem"],
                arm_cell(row["arm"]),
                evidence.marks.cell(row),
                words(row["target"]),
                number(row["target_val_loss"]),
                reached,
                number(row["updates_median"]),
                mean,
                number(row["budget_updates"]),
                ratio,
            ]
        )
    headers = [
        words("problem"),
        words("arm"),
        words("optimizer"),
        words("target"),
        words("validation loss"),
        words("reached"),
        words("median updates"),
        words("mean within the budget [95 %]"),
        words("budget"),
        words("ratio to sgd [95 %]"),
    ]
    caption = words(
        "Targets lie {shares} % of the way from the initial validation loss to the lowest of {reference}. Where a run of "
        "sgd missed (≤), the ratio of paired means within the budget is at most what is shown.",
        shares=joined([f"{100 * share:g}" for share in TARGETS.values()]),
        reference=reference_title(evidence, evidence.plan.main_arm),
    )
    title = words("All times to target as numbers")
    return Table("speed", title, headers, rows, caption, speed, frozenset({4, 6, 8}), folded=True)


def optimum_gap(evidence: Evidence) -> Section | None:
    """How close to the known optimum of a convex problem training ended."""
    gaps = evidence.comparison.gaps
    if gaps.empty:
        return None
    problems = evidence.problems_in(gaps)
    floor = noise_floor_figure(evidence)
    figures = [gap_figure(evidence, problem) for problem in problems]
    return Section("optimum", words("Gap to the known optimum"), [*figures, *([floor] if floor else [])])


def find_nearest(evidence: Evidence, gaps: pd.DataFrame) -> pd.Series | None:
    """The row of ``gaps``, of one problem, nearest the optimum among those of which every run finished, if any did."""
    finished = [row["optimizer"] in evidence.complete(row["problem"], row["arm"]) for row in gaps.to_dict("records")]
    return gaps.loc[gaps.loc[finished, "gap_mean"].idxmin()] if any(finished) else None


def nearest_words(marks: Marks, problem: str, nearest: pd.Series | None) -> str:
    """Who ends nearest the optimum."""
    if nearest is None:
        return words("{problem}: no optimizer finished every run", problem=problem)
    return words(
        "{problem}: {optimizer} with {arm} ends nearest the optimum, at a gap of {gap}",
        problem=problem,
        optimizer=marks.title(nearest["optimizer"], nearest["arm"], [problem]),
        arm=words(ARM_WORDS[nearest["arm"]].rates),
        gap=interval(nearest["gap_mean"], nearest["gap_low"], nearest["gap_high"], nearest["n"]),
    )


def gap_figure(evidence: Evidence, problem: str) -> Figure:
    """One convex problem: gap by optimizer, one panel per arm."""
    gaps = evidence.comparison.gaps[evidence.comparison.gaps["problem"] == problem]
    summary = evidence.comparison.summary
    lost = summary[(summary["problem"] == problem) & (summary["n_diverged"] == summary["n_planned"])]
    # One that diverged with every seed has no gap to draw: its name stands last.
    order = [*evidence.optimizers_in(gaps), *evidence.optimizers_in(lost[~lost["optimizer"].isin(gaps["optimizer"])])]
    arms = evidence.arms_in(gaps)
    figure, axes = new_row_figure(len(arms), 3.0, order, share_x=True)
    for panel, arm in zip(axes, arms, strict=True):
        clipped = gaps[gaps["arm"] == arm].copy()
        for column in ("gap_mean", "gap_low", "gap_high"):
            clipped[column] = clipped[column].clip(lower=1e-9)
        draw_rows(panel, clipped, order, "gap_mean", "gap_low", "gap_high")
        use_log_scale(panel, "x")
        panel.set_title(words(ARM_WORDS[arm].rates))
        panel.set_xlabel(words("training objective − optimum (lower is better)"))
    takeaway = nearest_words(evidence.marks, problem, find_nearest(evidence, gaps))
    caption = words(
        "Final training loss plus penalty minus the least possible on the same training split, averaged over the final seeds "
        "that finished; 95 % t interval, n = up to {n} seeds. The optimum is known in closed form (linear regression) or by "
        "a Newton method in double precision (logistic regression).",
        n=int(gaps["n"].max()),
    )
    return finish(figure, f"optimum-{problem}", takeaway=takeaway, caption=caption, data=gaps)
