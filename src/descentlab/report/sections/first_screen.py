"""The first screen: SGD or Adam, in one figure an arm."""

from __future__ import annotations

import pandas as pd

from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.i18n.wording import counted, message, words
from descentlab.optimizers.roles import ADAM, MINI_BATCH, PLAIN
from descentlab.report.answers import PROBLEMS
from descentlab.report.blocks import (
    ARM_WORDS,
    Evidence,
    Figure,
    Section,
    joined,
    present,
    reference_title,
)
from descentlab.report.drawing import MARGINS_SHOWN, VERDICT_MARKS, draw_margin_axis, draw_rows, finish, label_rows
from descentlab.report.phrases import verdict_words
from descentlab.report.plotting import label_room, new_figure

FEW = 5  # problems; with more only Adam and plain SGD have rows
COUNTS = {
    Verdict.BETTER: message("better on {n}"),
    Verdict.WORSE: message("worse on {n}"),
    Verdict.NEGLIGIBLE: message("negligibly different on {n}"),
    Verdict.INCONCLUSIVE: message("inconclusive on {n}"),
    Verdict.IDENTICAL: message("identical on {n}"),
    Verdict.NOT_TESTED: message("not tested on {n}"),
}


def answer(evidence: Evidence) -> Section:
    """An arm a figure: the slides' optimizers against the reference on every problem; Adam's verdicts are the takeaway."""
    contrasts = evidence.comparison.contrasts
    to_reference = contrasts[contrasts["second"] == evidence.reference]
    figures = [
        answer_figure(evidence, rows, arm)
        for arm in evidence.arms
        if len(rows := to_reference[to_reference["arm"] == arm])
    ]
    return Section("answer", words("Answer"), [*figures])


def answer_figure(evidence: Evidence, rows: pd.DataFrame, arm: str) -> Figure:
    """One arm: a group of rows a problem, differences in margins."""
    problems = present(rows["problem"], list(evidence.plan.problems))
    wanted = MINI_BATCH if len(problems) <= FEW else (PLAIN, ADAM)
    names = present(rows["first"], evidence.optimizers)
    shown = [name for name in names if name in wanted] or names[:FEW]
    room = label_room([evidence.marks.label(name, arm, problems) for name in shown])
    figure, (axes,) = new_figure(1, 2.4, 0.19 * len(problems) * (len(shown) + 1), left=room, right=0.2)
    scaled = rows[rows["difference_mean"].notna()].copy()
    for column in ("difference_mean", "low_corrected", "high_corrected"):
        scaled[column] = (rows[column] / rows["margin"]).clip(-MARGINS_SHOWN, MARGINS_SHOWN)
    labels: list[str] = []
    draw_margin_axis(axes)
    for problem in problems:
        # Rows are known to draw_rows by name: each problem's begin below its heading.
        order = [problem, *shown]
        drawn = scaled[(scaled["problem"] == problem) & scaled["first"].isin(shown)].rename(
            columns={"first": "optimizer"}
        )
        draw_rows(
            axes,
            drawn,
            order,
            "difference_mean",
            "low_corrected",
            "high_corrected",
            marks="verdict",
            offset=len(labels),
        )
        axes.text(
            0.01, len(labels), problem, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5, weight="bold"
        )
        labels += ["", *(evidence.marks.label(name, arm, [problem]) for name in shown)]
    label_rows(axes, labels)
    axes.set_xlabel(words("worse ← difference / margin → better"))
    takeaway = answer_words(evidence, rows, arm)
    caption = words(
        "Final test metric against {reference}, paired by seed, in units of each problem's margin; lines are intervals "
        "corrected for the number of contrasts, n = up to {n} pairs of seeds. ▲ better, ▼ worse, ■ negligible (the whole "
        "interval lies inside the gray band), hollow: inconclusive.",
        reference=reference_title(evidence, arm),
        n=int(rows["n"].max()),
    )
    data = rows[rows["first"].isin(shown)]
    return finish(figure, f"answer-{arm}", takeaway=takeaway, caption=caption, data=data)


def answer_words(evidence: Evidence, rows: pd.DataFrame, arm: str) -> str:
    """Adam's verdicts against the reference, of all problems; the first optimizer's where Adam isn't there."""
    names = present(rows["first"], evidence.optimizers)
    subject = ADAM if ADAM in names else names[0]
    judged = {row["problem"]: row for row in rows[rows["first"] == subject].to_dict("records")}
    verdicts = [judged[name]["verdict"] if name in judged else Verdict.NOT_TESTED for name in evidence.plan.problems]
    compared = {
        "arm": words(ARM_WORDS[arm].rates).capitalize(),
        "subject": evidence.marks.title(subject, arm, evidence.plan.problems),
        "reference": reference_title(evidence, arm),
    }
    if len(verdicts) == 1:
        ((where, row),) = judged.items()
        verdict = verdict_words(row)
        return words(
            "{arm}: {subject} against {reference} on {where}: {verdict}", where=where, verdict=verdict, **compared
        )
    tallies = [words(COUNTS[verdict], n=count) for verdict in VERDICT_MARKS if (count := verdicts.count(verdict))]
    problems = counted(len(verdicts), *PROBLEMS)
    return words(
        "{arm}: {subject} against {reference} on {problems}: {tallies}",
        problems=problems,
        tallies=joined(tallies),
        **compared,
    )
