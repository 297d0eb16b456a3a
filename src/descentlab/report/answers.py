"""The first page's sentences, put together from the tables: every number with its interval and n.

The words are chosen by the verdicts alone; nothing here knows how an experiment turned out.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from descentlab.analysis.advantages import associate_traits, measure_advantages
from descentlab.analysis.claims.judgment import value_of
from descentlab.analysis.comparison import Comparison
from descentlab.analysis.remarks import unpack_remarks
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.experiment.plan import Plan
from descentlab.i18n.wording import counted, joined, message, words
from descentlab.optimizers.roles import ADAM, MOMENTUM, PLAIN
from descentlab.report.alarm_phrases import alarm_sentence, order_alarms
from descentlab.report.formatting import BOUND_SIGNS, interval, marked_titles, optimizer_title
from descentlab.report.phrases import ARM_WORDS, NOT_RUN, place_words, reason_words, remark_words
from descentlab.report.trait_phrases import trait_words

MOST_ALARMS = 8


class ClaimWords(NamedTuple):
    """What the first page says of a claim about Adam and plain SGD.

    Attributes:
        claim: its id.
        section: the page's section with the data behind it.
        subject: what is compared, with ``arm``.
        many: what is found on ``n`` problems: how many say ``yes`` and ``no``, and the ``rest``.
        alone: what is found where there is one, by its verdict; empty for the verdicts that tell nothing.
        scale: what the numbers below are.
    """

    claim: str
    section: str
    subject: str
    many: str
    alone: dict[str, str]
    scale: str


BY_CLAIM = {
    "speed": ClaimWords(
        "fewer-steps",
        "time-to-target",
        message("Speed, {arm} rates"),
        message(
            "on {yes} of {n} problems Adam needs fewer updates than plain SGD to the medium target, on {no} it needs more; on "
            "{rest} the result is inconclusive or negligible"
        ),
        {
            "supported": message("Adam needs fewer updates than plain SGD to the medium target"),
            "contradicted": message("Adam needs more updates than plain SGD to the medium target"),
            "negligible": message("Adam needs as many updates as plain SGD to the medium target, within the margin"),
            "": message("the runs can't settle whether Adam needs fewer updates than plain SGD to the medium target"),
        },
        message("Plain SGD's updates over Adam's; above 1, Adam is faster:"),
    ),
    "sensitivity": ClaimWords(
        "adam-rate",
        "sensitivity",
        message("Learning rate, {arm} rates"),
        message(
            "on {yes} of {n} problems Adam has a wider range of good rates than plain SGD, on {no} it has a narrower one; on "
            "{rest} the result is inconclusive or negligible"
        ),
        {
            "supported": message("Adam has a wider range of good rates than plain SGD"),
            "contradicted": message("Adam has a narrower range of good rates than plain SGD"),
            "negligible": message("Adam's range of good rates is as wide as plain SGD's, within the margin"),
            "": message("the runs can't settle whether Adam has a wider range of good rates than plain SGD"),
        },
        message("Difference of the ranges in decades; positive means Adam's is wider:"),
    ),
}
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
    "unknown": (
        message("{n} unknown about the logged runs"),
        message("{n} unknowns about the logged runs"),
    ),
    "same seeds": (
        message("{n} learning rate chosen on the seeds that are compared"),
        message("{n} learning rates chosen on the seeds that are compared"),
    ),
}
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
    answers = []
    for arm in reversed(plan.config.arms):
        answers += [answer_contrast(plan, compared.contrasts, arm, second) for second in (MOMENTUM, PLAIN)]
    answers += answer_when(plan, compared.contrasts, traits)
    answers += [answer_claim(compared.claims, identity, plan.main_arm) for identity in BY_CLAIM]
    answers += [answer_ranking(plan, compared.summary, arm) for arm in reversed(plan.config.arms)]
    answers.append(answer_alarms(compared.alarms))
    return answers


def _statement(identity: str, section: str, head: str, details: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {"id": identity, "section": section, "head": head, "details": details or []}


def answer_contrast(plan: Plan, contrasts: pd.DataFrame, arm: str, second: str) -> dict[str, Any]:
    """Adam against ``second``: final test metric, how many problems have which verdict."""
    rows = contrasts[(contrasts["arm"] == arm) & (contrasts["first"] == ADAM) & (contrasts["second"] == second)]
    identity = f"{arm}-adam-{second}"
    named = {"arm": words(ARM_WORDS[arm].title), "second": optimizer_title(second)}
    if rows.empty:
        missing = words("{arm}: Adam against {second} is not tested: they are not both in the experiment.", **named)
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
        note = remark_words(unpack_remarks(row["remarks"]))
        details.append(
            {
                "problem": row["problem"],
                "verdict": row["verdict"],
                "text": "; ".join(filter(None, [text, fit_words(row), note])),
            }
        )
    details += [{"problem": name, "verdict": Verdict.NOT_TESTED, "text": words(NOT_RUN)} for name in absent]
    head = counted(
        sum(counts.values()),
        "{arm}: Adam against {second}: {verdicts}.",
        "{arm}: Adam against {second}: of {n} problems, {verdicts}.",
        verdicts=verdicts,
        **named,
    )
    return _statement(identity, "differences", head, details)


def answer_when(plan: Plan, contrasts: pd.DataFrame, traits: pd.DataFrame) -> list[dict[str, Any]]:
    """Which traits of a problem go with Adam's advantage over plain SGD; nothing where too few problems have any measured."""
    advantages = measure_advantages(plan, contrasts, traits)
    associations = associate_traits(advantages[advantages["arm"] == plan.main_arm])
    if associations.empty:
        return []
    head = words(
        "{arm}, Adam's advantage over plain SGD: {traits}.",
        arm=words(ARM_WORDS[plan.main_arm].title),
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


def answer_claim(claims: list[dict[str, Any]], identity: str, arm: str) -> dict[str, Any]:
    """A claim about Adam and plain SGD by problem: what the ledger's pieces of it say.

    Args:
        claims: the ledger.
        identity: of BY_CLAIM.
        arm: whose pieces they are.
    """
    said = BY_CLAIM[identity]
    subject = words(said.subject, arm=words(ARM_WORDS[arm].adjective))
    entry: dict[str, Any] = next(entry for entry in claims if entry["id"] == said.claim)
    if not entry["pieces"]:
        return _statement(
            identity,
            said.section,
            words("{subject} is not tested: {reason}.", subject=subject, reason=reason_words(entry["reason"])),
        )
    details = []
    for piece in entry["pieces"]:
        mean, low, high = (value_of(piece[name]) for name in ("estimate", "low", "high"))
        text = f"{words(BOUND_SIGNS[piece['bound']])}{interval(mean, low, high, piece['n'])}"
        text = "; ".join(filter(None, [text, remark_words(piece["remarks"])]))
        judged = {name: piece[name] for name in ("verdict", "size")}
        details.append({"problem": place_words(piece["place"]), **judged, "text": text})
    verdicts = [piece["verdict"] for piece in entry["pieces"]]
    yes, no = verdicts.count("supported"), verdicts.count("contradicted")
    one = said.alone.get(verdicts[0], said.alone[""])
    result = counted(len(verdicts), one, said.many, yes=yes, no=no, rest=len(verdicts) - yes - no)
    return _statement(identity, said.section, f"{subject}: {result}. {words(said.scale)}", details)


def answer_ranking(plan: Plan, summary: pd.DataFrame, arm: str) -> dict[str, Any]:
    """The best mean test metric of each problem."""
    details, winners = [], []
    for problem, planned in plan.problems.items():
        rows = summary[(summary["problem"] == problem) & (summary["arm"] == arm) & (summary["rank"] == 1)]
        rows = rows[rows["test_metric_mean"].notna()]  # where all diverged, all share the last rank
        if rows.empty:
            continue
        row = rows.iloc[0]
        names = joined(marked_titles(rows))
        winners += list(rows["optimizer"])
        value = interval(
            row["test_metric_mean"], row["test_metric_low"], row["test_metric_high"], int(row["n_finished"])
        )
        metric = words(planned.metric)
        details.append({"problem": problem, "verdict": "", "text": f"{names}; {metric} {value}"})
    title = words(ARM_WORDS[arm].title)
    if not details:
        if summary.loc[summary["arm"] == arm, "n_finished"].any():  # an externally logged run may lack a test metric
            return _statement(f"{arm}-best", "test-metric", words("{arm}: no final run has a test metric.", arm=title))
        return _statement(f"{arm}-best", "test-metric", words("{arm}: no final run finished.", arm=title))
    of = {"arm": title, "problems": counted(len(details), *PROBLEMS)}
    if len(details) == 1:
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
