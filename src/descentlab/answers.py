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
}
ORDER = ("better", "worse", "negligible", "inconclusive", "identical", "diverged", "not tested")
PHRASES = {
    "better": "ends better",
    "worse": "ends worse",
    "negligible": "makes a negligible difference",
    "inconclusive": "can't be told apart",
    "identical": "ends in exactly the same place",
    "diverged": "is not comparable, one of them diverging,",
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


def joined(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def write_answers(
    plan: dict[str, Any],
    summary: pd.DataFrame,
    contrasts: pd.DataFrame,
    speed: pd.DataFrame,
    widths: pd.DataFrame,
    alarms: pd.DataFrame,
) -> list[dict[str, Any]]:
    """The sentences, each ``{"id", "text", "numbers"}``, in the order of the first page."""
    answers = []
    for arm in reversed(plan["config"]["arms"]):
        answers += [answer_contrast(plan, contrasts, arm, second) for second in ("momentum", "sgd")]
    answers.append(answer_speed(plan, speed))
    answers.append(answer_sensitivity(plan, widths))
    answers += [answer_ranking(plan, summary, arm) for arm in reversed(plan["config"]["arms"])]
    answers.append(answer_alarms(alarms))
    return answers


def answer_contrast(plan: dict[str, Any], contrasts: pd.DataFrame, arm: str, second: str) -> dict[str, Any]:
    """Adam against ``second``: final test metric, by verdict."""
    rows = contrasts[
        (contrasts["arm"] == arm) & (contrasts["first"] == "adam") & (contrasts["second"] == second)
    ]
    head = f"{ARM_TITLES[arm]}: Adam against {optimizer_title(second)}"
    identity = f"{arm}-adam-{second}"
    if rows.empty:
        return {"id": identity, "text": f"{head} is not tested: they are not both in the experiment.", "numbers": {}}
    parts = []
    for judged in ORDER:
        group = rows[rows["verdict"] == judged]
        if group.empty:
            continue
        details = [_contrast_detail(plan, row) for row in group.to_dict("records")]
        parts.append(f"{PHRASES[judged]} on {len(group)} of {len(rows)} problems ({'; '.join(details)})")
    numbers = {row["problem"]: {"difference": row["difference_mean"], "low": row["low_holm"], "high": row["high_holm"],
                                "n": row["n"], "verdict": row["verdict"]} for row in rows.to_dict("records")}  # fmt: skip
    return {"id": identity, "text": f"{head} {joined(parts)}.", "numbers": numbers}


def _contrast_detail(plan: dict[str, Any], row: dict[str, Any]) -> str:
    metric = plan["problems"][row["problem"]]["metric"]
    if row["note"]:
        return f"{row['problem']}: {row['note']}"
    value = interval(row["difference_mean"], row["low_holm"], row["high_holm"], row["n"], signed=True)
    return f"{row['problem']}: {value}, test {metric}, positive is better"


def answer_speed(plan: dict[str, Any], speed: pd.DataFrame) -> dict[str, Any]:
    """Updates that Adam needs to the medium target, as a ratio to plain SGD's."""
    arm = "tuned" if "tuned" in plan["config"]["arms"] else "default"
    rows = speed[(speed["arm"] == arm) & (speed["optimizer"] == "adam") & (speed["target"] == "medium")]
    rows = rows[rows["ratio_to_sgd"].notna()]
    if rows.empty:
        text = "Speed of Adam against plain SGD is not tested: they are not both in the experiment, or nothing to reach."
        return {"id": "speed", "text": text, "numbers": {}}
    parts, numbers = [], {}
    for row in rows.to_dict("records"):
        bound = "at most " if row["ratio_is_bound"] else ""
        value = interval(row["ratio_to_sgd"], row["ratio_low"], row["ratio_high"], row["n"])
        parts.append(
            f"{bound}{value} on {row['problem']} (Adam reached it in {row['n_reached']} of {row['n']} runs)"
        )
        numbers[row["problem"]] = {"ratio": row["ratio_to_sgd"], "low": row["ratio_low"], "high": row["ratio_high"],
                                   "n": row["n"], "bound": row["ratio_is_bound"]}  # fmt: skip
    head = f"Updates that Adam needs to the medium target, as a ratio to plain SGD ({arm} arm; below 1 is faster): "
    return {"id": "speed", "text": f"{head}{'; '.join(parts)}.", "numbers": numbers}


def answer_sensitivity(plan: dict[str, Any], widths: pd.DataFrame) -> dict[str, Any]:
    """How wide the range of good learning rates is, Adam's beside plain SGD's and momentum's."""
    parts, numbers = [], {}
    for problem in plan["problems"]:
        mine = widths[widths["problem"] == problem].set_index("optimizer")
        named = [name for name in ("adam", "momentum", "sgd") if name in mine.index]
        if "adam" not in named or len(named) < 2:
            continue
        texts = []
        for name in named:
            row = mine.loc[name]
            at_least = "at least " if row["censored"] else ""
            texts.append(f"{optimizer_title(name)} {at_least}{number(float(row['width']))}")
        parts.append(f"{problem}: {joined(texts)} (n = {int(mine.loc['adam', 'n'])} seeds)")
        numbers[problem] = {name: float(mine.loc[name, "width"]) for name in named}
    if not parts:
        return {"id": "sensitivity", "text": "Sensitivity to the learning rate is not tested: no tuned arm with Adam "
                "and SGD.", "numbers": {}}  # fmt: skip
    head = "Decades of learning rate that end within the margin of the best validation metric, wider is more forgiving: "
    return {"id": "sensitivity", "text": f"{head}{'; '.join(parts)}.", "numbers": numbers}


def answer_ranking(plan: dict[str, Any], summary: pd.DataFrame, arm: str) -> dict[str, Any]:
    """The best mean test metric of each problem."""
    parts, numbers = [], {}
    for problem, about in plan["problems"].items():
        rows = summary[(summary["problem"] == problem) & (summary["arm"] == arm) & (summary["rank"] == 1)]
        if rows.empty:
            continue
        row = rows.iloc[0]
        names = joined([optimizer_title(name) for name in rows["optimizer"]])
        value = interval(row["test_metric_mean"], row["test_metric_low"], row["test_metric_high"], int(row["n_finished"]))
        parts.append(f"{names} on {problem} ({about['metric']} {value})")
        numbers[problem] = {"optimizers": list(rows["optimizer"]), "mean": float(row["test_metric_mean"])}
    if not parts:
        return {"id": f"{arm}-best", "text": f"{ARM_TITLES[arm]}: no final run finished.", "numbers": {}}
    text = f"{ARM_TITLES[arm]}: the best mean test metric has {joined(parts)}; its neighbours may be as good."
    return {"id": f"{arm}-best", "text": text, "numbers": numbers}


def answer_alarms(alarms: pd.DataFrame) -> dict[str, Any]:
    """How much there is to be wary of."""
    if alarms.empty:
        return {"id": "alarms", "text": "No alarm: no run diverged, failed or is missing, and no chosen learning rate "
                "lies on the edge of its grid.", "numbers": {}}  # fmt: skip
    counts = {str(kind): int(count) for kind, count in alarms["kind"].value_counts(sort=False).items()}
    words = {
        "diverged": "optimizers with diverged final runs", "failed": "with failed runs", "missing": "with missing runs",
        "edge": "chosen learning rates on the edge of their grid", "few seeds": "warning of too few seeds",
    }  # fmt: skip
    text = f"Alarms: {joined([f'{count} {words[kind]}' for kind, count in counts.items()])}."
    return {"id": "alarms", "text": text, "numbers": counts}
