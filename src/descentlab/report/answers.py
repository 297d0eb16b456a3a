"""The first page's sentences, put together from the tables: every number with its interval and n.

The words are chosen by the verdicts alone; nothing here knows how an experiment turned out.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.advantages import associate_traits, measure_advantages
from descentlab.analysis.comparison import Comparison
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.experiment.plan import Plan
from descentlab.i18n.wording import counted, joined, message, words
from descentlab.optimizers.roles import ADAM, MOMENTUM, PLAIN
from descentlab.report.alarm_phrases import alarm_sentence, order_alarms
from descentlab.report.claim_answers import BY_CLAIM, answer_claim
from descentlab.report.formatting import interval
from descentlab.report.marks import Marks
from descentlab.report.phrases import ARM_WORDS, NOT_RUN, contrast_note
from descentlab.report.trait_phrases import trait_words

MOST_ALARMS = 8
PHRASES = {
    Verdict.BETTER: message("Adam ends better"),
    Verdict.WORSE: message("Adam ends worse"),
    Verdict.NEGLIGIBLE: message("the difference is negligible"),
    Verdict.INCONCLUSIVE: message("the result is inconclusive"),
    Verdict.IDENTICAL: message("both end in exactly the same place"),
    Verdict.NOT_TESTED: message("the contrast is not tested"),
}
# The same code of the training data.
FITS = {
    Verdict.BETTER: message("Adam fits the training data better"),
    Verdict.WORSE: message("Adam fits the training data worse"),
    Verdict.NEGLIGIBLE: message("both fit the training data equally well"),
    Verdict.INCONCLUSIVE: message("it is open which fits the training data better"),
    Verdict.IDENTICAL: message("both fit the training data equally well"),
}
UNMEASURED = message("noise of tuning not measured")  # of an experiment, so there is one
ALARMS = {
    "diverged": (message("{n} optimizer with diverged final runs"), message("{n} optimizers with diverged final runs")),
    "failed": (message("{n} optimizer with failed runs"), message("{n} optimizers with failed runs")),
    "missing": (message("{n} optimizer with missing runs"), message("{n} optimizers with missing runs")),
    "edge": (
        message("{n} grid of learning rates too narrow"),
        message("{n} grids of learning rates too narrow"),
    ),
    "cliff": (
        message("{n} learning rate chosen a step from divergence"),
        message("{n} learning rates chosen a step from divergence"),
    ),
    "absent class": (
        message("{n} class absent from a split of some seed"),
        message("{n} classes absent from splits of some seeds"),
    ),
    "lagging averages": (
        message("{n} optimizer whose averages of BatchNormalization lag"),
        message("{n} optimizers whose averages of BatchNormalization lag"),
    ),
    "few seeds": (message("{n} warning of too few seeds"), message("{n} warnings of too few seeds")),
    "tuning noise unmeasured": (UNMEASURED, UNMEASURED),
    "unscored": (
        message("{n} problem with intervals over seeds alone"),
        message("{n} problems with intervals over seeds alone"),
    ),
    "unknown": (
        message("{n} unknown about the logged runs"),
        message("{n} unknowns about the logged runs"),
    ),
    "same seeds": (
        message("{n} learning rate chosen on the seeds that are compared"),
        message("{n} learning rates chosen on the seeds that are compared"),
    ),
}
NO_MEAN = message("no mean test metric")
PROBLEMS = message("{n} problem"), message("{n} problems")


def write_answers(plan: Plan, compared: Comparison, traits: pd.DataFrame) -> list[dict[str, Any]]:
    """The first page's statements, in its order.

    Args:
        plan: the experiment's plan.
        compared: the tables of the comparison.
        traits: of its problems; may be empty.

    Returns:
        Each ``{"id", "section", "head", "details"}``: the section with the data behind it, a sentence, and under it one line
        a problem, ``{"problem", "verdict", "text"}`` (verdict empty where none is given).
    """
    answers, marks = [], Marks.of(plan, compared.summary)
    for arm in reversed(plan.config.arms):
        answers += [answer_contrast(plan, compared.contrasts, marks, arm, second) for second in (MOMENTUM, PLAIN)]
    answers += answer_when(plan, compared.contrasts, traits, marks)
    for identity in BY_CLAIM:
        answers += answer_claim(plan, compared.claims, marks, identity)
    answers += [answer_ranking(plan, compared.summary, marks, arm) for arm in reversed(plan.config.arms)]
    answers.append(answer_alarms(compared.alarms))
    return answers


def _statement(identity: str, section: str, head: str, details: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {"id": identity, "section": section, "head": head, "details": details or []}


def answer_contrast(plan: Plan, contrasts: pd.DataFrame, marks: Marks, arm: str, second: str) -> dict[str, Any]:
    """Adam against ``second``: final test metric, how many problems have which verdict."""
    rows = contrasts[(contrasts["arm"] == arm) & (contrasts["first"] == ADAM) & (contrasts["second"] == second)]
    identity = f"{arm}-adam-{second}"
    first, other = (marks.title(name, arm, plan.problems) for name in (ADAM, second))
    named = {"arm": words(ARM_WORDS[arm].title), "first": first, "second": other}
    if rows.empty:
        missing = words("{arm}: {first} against {second} is not tested: they are not both in the experiment.", **named)
        return _statement(identity, "differences", missing)
    absent = [problem for problem in plan.problems if problem not in set(rows["problem"])]
    counts = {judged: int((rows["verdict"] == judged).sum()) for judged in Verdict}
    counts[Verdict.NOT_TESTED] += len(absent)
    phrases = {judged: words(PHRASES[judged]) for judged, count in counts.items() if count}
    if sum(counts.values()) > 1:
        phrases = {
            judged: words("{phrase} on {n}", phrase=phrase, n=counts[judged]) for judged, phrase in phrases.items()
        }
    verdicts = joined(list(phrases.values()))
    details = []
    for row in rows.to_dict("records"):
        value = interval(row["difference_mean"], row["low_corrected"], row["high_corrected"], row["n"], signed=True)
        metric = plan.problems[row["problem"]].metric
        text = words("{value}; test {metric}, positive means Adam is better", value=value, metric=words(metric))
        text = "; ".join(filter(None, [text, fit_words(row), contrast_note(row)]))
        details.append({"problem": row["problem"], "verdict": row["verdict"], "text": text})
    details += [{"problem": name, "verdict": Verdict.NOT_TESTED, "text": words(NOT_RUN)} for name in absent]
    head = counted(
        sum(counts.values()),
        "{arm}: {first} against {second}: {verdicts}.",
        "{arm}: {first} against {second}: of {n} problems, {verdicts}.",
        verdicts=verdicts,
        **named,
    )
    return _statement(identity, "differences", head, details)


def answer_when(plan: Plan, contrasts: pd.DataFrame, traits: pd.DataFrame, marks: Marks) -> list[dict[str, Any]]:
    """Which traits of a problem go with Adam's advantage over plain SGD; nothing where too few problems have any measured."""
    advantages = measure_advantages(plan, contrasts, traits)
    associations = associate_traits(advantages[advantages["arm"] == plan.main_arm])
    if associations.empty:
        return []
    first, second = (marks.title(name, plan.main_arm, plan.problems) for name in (ADAM, PLAIN))
    head = words(
        "{arm}, the advantage of {first} over {second}: {traits}.",
        arm=words(ARM_WORDS[plan.main_arm].title),
        first=first,
        second=second,
        traits=trait_words(associations),
    )
    return [_statement("when", "when", head)]


def fit_words(row: Mapping[Hashable, Any]) -> str:
    """What a contrast says of the training data; empty where their objective can't be compared."""
    if np.isnan(row["fit_low"]):
        return ""
    value = interval(row["fit_mean"], row["fit_low"], row["fit_high"], row["fit_n"], signed=True)
    return words(
        "{verdict} (training objective, decades lower: {value})", verdict=words(FITS[row["fit_verdict"]]), value=value
    )


def answer_ranking(plan: Plan, summary: pd.DataFrame, marks: Marks, arm: str) -> dict[str, Any]:
    """The best mean test metric of each problem."""
    details, winners, ranked = [], [], 0
    for problem, planned in plan.problems.items():
        rows = summary[(summary["problem"] == problem) & (summary["arm"] == arm) & (summary["rank"] == 1)]
        rows = rows[rows["test_metric_mean"].notna()]  # where all diverged, all share the last rank
        if rows.empty:
            details.append({"problem": problem, "verdict": Verdict.NOT_TESTED, "text": words(NO_MEAN)})
            continue
        ranked += 1
        row = rows.iloc[0]
        names = joined([marks.title(name, arm, [problem]) for name in rows["optimizer"]])
        winners += list(rows["optimizer"])
        value = interval(
            row["test_metric_mean"], row["test_metric_low"], row["test_metric_high"], int(row["n_finished"])
        )
        metric = words(planned.metric)
        details.append({"problem": problem, "verdict": "", "text": f"{names}; {metric} {value}"})
    title = words(ARM_WORDS[arm].title)
    if not ranked:
        if summary.loc[summary["arm"] == arm, "n_finished"].any():  # an externally logged run may lack a test metric
            return _statement(f"{arm}-best", "test-metric", words("{arm}: no final run has a test metric.", arm=title))
        return _statement(f"{arm}-best", "test-metric", words("{arm}: no final run finished.", arm=title))
    of = {"arm": title, "problems": counted(ranked, *PROBLEMS)}
    if ranked == 1:
        leaders = counted(
            len(winners),
            "{arm}: one optimizer has the best mean test metric.",
            "{arm}: {n} optimizers share the best mean test metric.",
            **of,
        )
    else:
        leaders = counted(
            len(set(winners)),
            "{arm}: one optimizer has the best mean test metric of {problems}.",
            "{arm}: {n} optimizers share the best mean test metric of {problems}.",
            **of,
        )
    head = words("{leaders} The best mean is not always better than the next:", leaders=leaders)
    return _statement(f"{arm}-best", "test-metric", head, details)


def answer_alarms(alarms: pd.DataFrame) -> dict[str, Any]:
    """How much there is to be wary of."""
    if alarms.empty:
        none = words("No alarm: no run diverged, failed or is missing, and no grid of learning rates was too narrow.")
        return _statement("alarms", "alarms", none)
    alarms = order_alarms(alarms)
    counts = alarms["kind"].value_counts(sort=False)
    tallies = joined([counted(count, *ALARMS[str(kind)]) for kind, count in counts.items()])
    head = words("Alarms: {list}.", list=tallies)
    details = [{"problem": "", "verdict": "", "text": alarm_sentence(row)} for row in alarms.to_dict("records")]
    if len(details) > MOST_ALARMS:
        more = words("and {n} more in the section on alarms", n=len(details) - MOST_ALARMS)
        details = [*details[:MOST_ALARMS], {"problem": "", "verdict": "", "text": more}]
    return _statement("alarms", "alarms", head, details)
