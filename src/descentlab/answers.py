"""The first page's sentences, put together from the tables: every number with its interval and n.

The words are chosen by the verdicts alone; nothing here knows how an experiment turned out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

DISPLAY = {"sgd": "plain SGD", "momentum": "SGD with momentum", "adam": "Adam"}
ARM_TITLES = {
    "default": "Default learning rates, nothing tuned",
    "tuned": "Learning rates tuned equally",
    "extended": "Momentum, epsilon and schedule tuned too",
}
ORDER = ("better", "worse", "negligible", "inconclusive", "identical", "not tested")
MOST_ALARMS = 8
BOUND_SIGNS = {"": "", "at least": "≥ ", "at most": "≤ ", "unknown": "censored on both sides: "}
BY_CLAIM = {
    "speed": ("fewer-steps", ("Speed", "needs fewer updates than plain SGD to the medium target", "needs more",
              "Plain SGD's updates over Adam's, above 1 Adam is faster")),
    "sensitivity": ("adam-rate", ("Learning rate", "has a wider range of good rates than plain SGD", "has a narrower one",
                    "Difference of the ranges in decades, positive is wider for Adam")),
}  # fmt: skip
PHRASES = {
    "better": "ends better",
    "worse": "ends worse",
    "negligible": "makes a negligible difference",
    "inconclusive": "is inconclusive",
    "identical": "ends in exactly the same place",
    "not tested": "is not tested",
}


def optimizer_title(name: str) -> str:
    """An optimizer's name in a sentence."""
    return DISPLAY.get(name, name)


def number(value: float, signed: bool = False) -> str:
    """Three significant digits; ``signed`` puts a + before what is positive."""
    if np.isnan(value):
        return "unknown"
    if np.isinf(value):
        return "never" if value > 0 else "-inf"
    text = f"{value:+.3g}" if signed else f"{value:.3g}"
    if "e" in text and 1e3 <= abs(value) < 1e7:
        text = f"{value:+,.0f}" if signed else f"{value:,.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def interval(mean: float, low: float, high: float, n: int, signed: bool = False) -> str:
    """``0.012 [0.003, 0.021], n = 10``; without an interval it says so."""
    ends = f"[{number(low, signed)}, {number(high, signed)}]" if not np.isnan(low) else "(no interval)"
    return f"{number(mean, signed)} {ends}, n = {n}"


def value_of(stored: float | str | None) -> float:
    """A number as claims.json holds it."""
    return float("nan") if stored is None else float(stored)


def joined(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def counted(count: int, noun: str) -> str:
    """``1 problem``, ``4 problems``: the first word of ``noun`` takes the plural."""
    word, _, rest = noun.partition(" ")
    return f"{count} {word}{'' if count == 1 else 's'}{' ' if rest else ''}{rest}"


def write_answers(
    plan: dict[str, Any],
    summary: pd.DataFrame,
    contrasts: pd.DataFrame,
    claims: list[dict[str, Any]],
    alarms: pd.DataFrame,
) -> list[dict[str, Any]]:
    """The first page's statements, in its order.

    Returns:
        Each ``{"id", "head", "details"}``: a sentence, and under it one line a problem, ``{"problem", "verdict", "text"}``
        (verdict empty where none is given).
    """
    answers = []
    for arm in reversed(plan["config"]["arms"]):
        answers += [answer_contrast(plan, contrasts, arm, second) for second in ("momentum", "sgd")]
    arm = "tuned" if "tuned" in plan["config"]["arms"] else "default"
    for identity, (claim, (subject, *words)) in BY_CLAIM.items():
        answers.append(answer_claim(claims, identity, claim, (f"{subject}, {arm} arm", *words)))
    answers += [answer_ranking(plan, summary, arm) for arm in reversed(plan["config"]["arms"])]
    answers.append(answer_alarms(alarms))
    return answers


def _statement(identity: str, head: str, details: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {"id": identity, "head": head, "details": details or []}


def answer_contrast(plan: dict[str, Any], contrasts: pd.DataFrame, arm: str, second: str) -> dict[str, Any]:
    """Adam against ``second``: final test metric, how many problems have which verdict."""
    rows = contrasts[(contrasts["arm"] == arm) & (contrasts["first"] == "adam") & (contrasts["second"] == second)]
    head = f"{ARM_TITLES[arm]}: Adam against {optimizer_title(second)}"
    identity = f"{arm}-adam-{second}"
    if rows.empty:
        return _statement(identity, f"{head} is not tested: they are not both in the experiment.")
    counts = {judged: int((rows["verdict"] == judged).sum()) for judged in ORDER}
    parts = [f"{PHRASES[judged]} on {count}" for judged, count in counts.items() if count]
    details = []
    for row in rows.to_dict("records"):
        value = interval(row["difference_mean"], row["low_holm"], row["high_holm"], row["n"], signed=True)
        metric = plan["problems"][row["problem"]]["metric"]
        note = f"; {row['note']}" if row["note"] else ""
        text = f"{value}; test {metric}, positive means Adam is better{note}"
        details.append({"problem": row["problem"], "verdict": row["verdict"], "text": text})
    return _statement(identity, f"{head}: of {counted(len(rows), 'problem')}, Adam {joined(parts)}.", details)


def answer_claim(claims: list[dict[str, Any]], identity: str, claim: str, words: tuple[str, ...]) -> dict[str, Any]:
    """A claim about Adam and plain SGD by problem: what the ledger's pieces of it say.

    Args:
        claims: the ledger.
        claim: its id.
        words: what is compared, what a supported and what a contradicted piece says of Adam, what the numbers are.
    """
    subject, supported, contradicted, numbers = words
    entry: dict[str, Any] = next(entry for entry in claims if entry["id"] == claim)
    if not entry["pieces"]:
        return _statement(identity, f"{subject} is not tested: {entry['reason']}.")
    details = []
    for piece in entry["pieces"]:
        mean, low, high = (value_of(piece[name]) for name in ("estimate", "low", "high"))
        text = f"{BOUND_SIGNS[piece['bound']]}{interval(mean, low, high, piece['n'])}"
        details.append({"problem": piece["where"], "verdict": piece["verdict"], "text": f"{text}; {piece['note']}"})
    verdicts = [piece["verdict"] for piece in entry["pieces"]]
    yes, no = verdicts.count("supported"), verdicts.count("contradicted")
    head = (
        f"{subject}: on {yes} of {counted(len(verdicts), 'problem')} Adam {supported}, on {no} it {contradicted}; on "
        f"{len(verdicts) - yes - no} neither can be told. {numbers}:"
    )
    return _statement(identity, head, details)


def answer_ranking(plan: dict[str, Any], summary: pd.DataFrame, arm: str) -> dict[str, Any]:
    """The best mean test metric of each problem."""
    details, winners = [], []
    for problem, about in plan["problems"].items():
        rows = summary[(summary["problem"] == problem) & (summary["arm"] == arm) & (summary["rank"] == 1)]
        if rows.empty:
            continue
        row = rows.iloc[0]
        names = joined([optimizer_title(name) for name in rows["optimizer"]])
        winners += list(rows["optimizer"])
        value = interval(
            row["test_metric_mean"], row["test_metric_low"], row["test_metric_high"], int(row["n_finished"])
        )
        details.append({"problem": problem, "verdict": "", "text": f"{names}; {about['metric']} {value}"})
    if not details:
        return _statement(f"{arm}-best", f"{ARM_TITLES[arm]}: no final run finished.")
    several = len(set(winners)) > 1
    head = (
        f"{ARM_TITLES[arm]}: {counted(len(set(winners)), 'optimizer')} {'share' if several else 'has'} the best mean test "
        f"metric of {counted(len(details), 'problem')}. The best mean is not always better than the next:"
    )
    return _statement(f"{arm}-best", head, details)


def answer_alarms(alarms: pd.DataFrame) -> dict[str, Any]:
    """How much there is to be wary of."""
    if alarms.empty:
        return _statement("alarms", "No alarm: no run diverged, failed or is missing, and no chosen learning rate lies on "
                          "the edge of its grid.")  # fmt: skip
    words = {
        "diverged": "optimizer with diverged final runs", "failed": "optimizer with failed runs",
        "missing": "optimizer with missing runs", "edge": "rate chosen on the edge of its grid",
        "few seeds": "warning of too few seeds",
    }  # fmt: skip
    counts = alarms["kind"].value_counts(sort=False)
    head = f"Alarms: {joined([counted(count, words[str(kind)]) for kind, count in counts.items()])}."
    details = [
        {"problem": str(row["kind"]), "verdict": "", "text": str(row["text"])} for row in alarms.to_dict("records")
    ]
    if len(details) > MOST_ALARMS:
        more = f"{len(details) - MOST_ALARMS} more in the section on alarms"
        details = [*details[:MOST_ALARMS], {"problem": "and", "verdict": "", "text": more}]
    return _statement("alarms", head, details)
