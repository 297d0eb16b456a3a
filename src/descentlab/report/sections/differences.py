"""How it ended: paired differences to the reference."""

from __future__ import annotations

import pandas as pd

from descentlab.analysis.contrasts import PRIMARY
from descentlab.analysis.statistics.intervals import LEVEL
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.i18n.wording import joined, message, words
from descentlab.report.blocks import (
    ARM_WORDS,
    Evidence,
    Figure,
    Section,
    Table,
    interval,
    number,
    optimizer_title,
    reference_title,
)
from descentlab.report.drawing import MARGINS_SHOWN, draw_margin_axis, draw_rows, finish, label_rows
from descentlab.report.phrases import NOT_RUN, arm_cell, contrast_note, verdict_words
from descentlab.report.plotting import new_row_figure

COUNTS = {
    Verdict.BETTER: message("{n} better"),
    Verdict.WORSE: message("{n} worse"),
    Verdict.NEGLIGIBLE: message("{n} negligibly different"),
    Verdict.INCONCLUSIVE: message("{n} inconclusive"),
    Verdict.IDENTICAL: message("{n} identical"),
    Verdict.NOT_TESTED: message("{n} not tested"),
}
RARE = (Verdict.IDENTICAL, Verdict.NOT_TESTED)  # counted where there are any
NO_PAIR = message("no pair finished")  # stands in place of a difference, as NOT_RUN does


def paired_differences(evidence: Evidence) -> Section | None:
    """Every optimizer against the reference, seed by seed."""
    contrasts = evidence.comparison.contrasts
    to_reference = contrasts[contrasts["second"] == evidence.reference]
    if to_reference.empty:
        return None
    figures = [figure for arm in evidence.arms if (figure := difference_figure(evidence, to_reference, arm))]
    table = contrast_table(evidence)
    title = words("Every optimizer against {reference}", reference=optimizer_title(evidence.reference))
    return Section("differences", title, [*figures, table])


def difference_figure(evidence: Evidence, contrasts: pd.DataFrame, arm: str) -> Figure | None:
    """Differences in units of each problem's margin, one panel per problem; None without rows of the arm."""
    rows = contrasts[contrasts["arm"] == arm].rename(columns={"first": "optimizer"})
    if rows.empty:
        return None
    order = evidence.optimizers_in(rows)
    problems = evidence.problems_in(rows)
    scaled = rows.copy()
    for column in ("difference_mean", "low_corrected", "high_corrected"):
        scaled[column] = (rows[column] / rows["margin"]).clip(-MARGINS_SHOWN, MARGINS_SHOWN)
    labels = [evidence.marks.label(name, arm, problems) for name in order]
    figure, axes = new_row_figure(len(problems), 1.95, labels, gap=0.15)
    for panel, problem in zip(axes, problems, strict=True):
        draw_margin_axis(panel)
        drawn = scaled[(scaled["problem"] == problem) & scaled["difference_mean"].notna()]
        draw_rows(panel, drawn, order, "difference_mean", "low_corrected", "high_corrected", marks="verdict")
        planned = set(rows.loc[rows["problem"] == problem, "optimizer"])
        for name in [name for name in order if name not in set(drawn["optimizer"])]:
            reason = words(NO_PAIR if name in planned else NOT_RUN)
            panel.text(0, order.index(name), reason, ha="center", va="center", fontsize=7.5)
        panel.tick_params(axis="x", labelsize=7)
        panel.set_title(problem)
        panel.set_xlabel(words("difference / margin"))
    label_rows(axes[0], labels)
    reference = reference_title(evidence, arm)
    counts = rows["verdict"].value_counts()
    takeaway = words(
        "{arm}: of {n} comparisons with {reference}, {tallies}",
        arm=words(ARM_WORDS[arm].rates).capitalize(),
        n=len(rows),
        reference=reference,
        tallies=joined(
            [
                words(text, n=counts.get(verdict, 0))
                for verdict, text in COUNTS.items()
                if verdict in counts or verdict not in RARE
            ]
        ),
    )
    margins = []
    for problem in problems:
        problem_info = evidence.plan.problems[problem]
        margin, metric = number(problem_info.margin), words(problem_info.metric)
        margins.append(words("{margin} {metric} on {problem}", margin=margin, metric=metric, problem=problem))
    caption = words(
        "Paired difference between the final test metric and that of {reference}, divided by the problem's margin ({margins}); "
        "right of 0 is better. Lines: intervals corrected for the number of contrasts; n = up to {seeds} pairs of seeds, each "
        "on every test example. Marks: triangle up better, triangle down worse, square negligible (interval inside the gray "
        "band), hollow circle inconclusive, diamond identical. Where a run of only one side diverged, the verdict is the sign "
        "test's, in which that side lost. Anything beyond {most:g} margins is drawn at {most:g}.",
        reference=reference,
        margins=joined(margins),
        seeds=int(rows["n"].max()),
        most=MARGINS_SHOWN,
    )
    return finish(figure, f"differences-{arm}", takeaway=takeaway, caption=caption, data=rows)


def contrast_table(evidence: Evidence) -> Table:
    """The numbers of every contrast."""
    contrasts = evidence.comparison.contrasts
    rows = [
        [
            row["problem"],
            arm_cell(row["arm"]),
            " − ".join(evidence.marks.label(row[side], row["arm"], [row["problem"]]) for side in ("first", "second")),
            words(row["declared"]),
            verdict_words(row),
            interval(row["difference_mean"], row["low_corrected"], row["high_corrected"], row["n"], signed=True),
            number(row["p_corrected"]),
            interval(row["fit_mean"], row["fit_low"], row["fit_high"], row["fit_n"], signed=True),
            number(row["effect_size"], signed=True),
            contrast_note(row),
        ]
        for row in contrasts.to_dict("records")
    ]
    headers = [
        words("problem"),
        words("arm"),
        words("contrast"),
        words("declared"),
        words("verdict"),
        words("difference [interval]"),
        words("p (corrected)"),
        words("training objective, decades lower"),
        words("d / sd"),
        words("note"),
    ]
    title = words("All contrasts as numbers")
    primary = contrasts["declared"] == PRIMARY
    directed = int(contrasts.loc[~primary, "verdict"].isin([Verdict.BETTER, Verdict.WORSE]).sum())
    # The rate bounds the share of all that are rejected; some of them are negligible, and the wrong ones may all be elsewhere.
    rejected = int((contrasts.loc[~primary, "p_corrected"] <= LEVEL).sum())
    caption = words(
        "Test metric; positive means the first is better. Intervals and p of the {primary} primary contrasts, which were "
        "declared before the runs, are corrected by Holm's procedure; those of the {exploratory} exploratory ones, which "
        "suggest and don't conclude, to a false discovery rate of 5 %: of their {directed} verdicts with a direction "
        "at most {false:.1f} are expected to be wrong. Training objective: loss plus penalty at the end; positive means that "
        "the first fits the training data better; its intervals are corrected in the same way among themselves. The claims "
        "judge some of these differences again, corrected over the pieces of one claim: the same difference may have another "
        "interval and verdict there.",
        primary=int(primary.sum()),
        exploratory=int((~primary).sum()),
        directed=directed,
        false=min(LEVEL * rejected, directed),
    )
    return Table("contrasts", title, headers, rows, caption, contrasts, frozenset({6, 8}), folded=True)
