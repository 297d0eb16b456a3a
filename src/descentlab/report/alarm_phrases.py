"""The sentence of each alarm, by its code."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from descentlab.i18n.wording import counted, message, words
from descentlab.report.phrases import ARM_WORDS, SPLIT_WORDS

# In the order in which a reader should know them; of two forms the first is for one run.
PHRASES: dict[str, str | tuple[str, str]] = {
    "diverged": message("{optimizer} on {problem}, {arm}: {n} of {of} final runs diverged"),
    "failed": message("{optimizer} on {problem}, {arm}: {n} of {of} final runs failed"),
    "missing": message("{optimizer} on {problem}, {arm}: {n} of {of} final runs missing"),
    "edge": message(
        "{optimizer} on {problem}: learning rates as good as the best, within the margin, reach the end of the grid ({low:g} to "
        "{high:g}), which could not grow further; {rate:g} was chosen"
    ),
    "cliff": message(
        "{optimizer} on {problem}: a step from the chosen learning rate {rate:g}, at {cliff:g}, tuning runs diverged"
    ),
    "lagging averages": message(
        "{optimizer} on {problem}, {arm}: the averages that BatchNormalization keeps lag behind its few updates; measured anew, "
        "they give a validation metric of {anew:.4g} in place of {kept:.4g} (means over {n} seeds)"
    ),
    "absent class": (
        message("{problem}: class {label} has no example in the {split} split of {n} seed"),
        message("{problem}: class {label} has no example in the {split} split of {n} seeds"),
    ),
    "few seeds": (
        message("{n} final seed is too few to trust intervals; at least {least} are needed"),
        message("{n} final seeds are too few to trust intervals; at least {least} are needed"),
    ),
    "tuning noise unmeasured": message(
        "on {n} of {of} problems the intervals of tuned rates leave out what other tuning seeds would have chosen, and may be "
        "too short: measuring that takes at least {least} tuning seeds, and final runs at the rates beside the chosen one "
        "(tuning.neighbors)"
    ),
    "pairing": message(
        "pairing can't be checked: initial weights and splits of these runs are unknown; runs with the same seed number are "
        "compared as pairs"
    ),
    "tuning": message(
        "how these learning rates were tuned is unknown: one optimizer may have been tuned more than another"
    ),
    "examples": message(
        "the test score of each example is unknown: intervals are over seeds alone, so they hold for these test examples, not "
        "for others"
    ),
    "unscored": message(
        "{problem}: its metric doesn't follow from sums over examples, so intervals are over seeds alone: they hold for these "
        "test examples, not for others"
    ),
    "no test metric": message("no run of {problem} has a test metric ({names}): its final results are not compared"),
    "test is validation": message(
        "the mapping uses {name} for both validation and test: the metric that chose also judges"
    ),
    "settings": message(
        "settings other than optimizer, learning rate and seed differ between the compared runs of {problem}: {names}; they may"
        " explain a difference"
    ),
    "seeds": (
        message(
            "{n} of {total} compared runs has no seed: it is numbered by when it began, and what its pairs share is unknown"
        ),
        message(
            "{n} of {total} compared runs have no seed: they are numbered in the order in which they began, and what their pairs "
            "share is unknown"
        ),
    ),
    "uneven": message(
        "optimizers have different numbers of runs, {least} to {most}: where the page gives one number, it is the smallest"
    ),
    "repeated": (
        message(
            "{n} run repeats another's problem, optimizer, learning rate and seed: the newest that ended is compared"
        ),
        message(
            "{n} runs repeat another's problem, optimizer, learning rate and seed: the newest that ended is compared"
        ),
    ),
    "repeated with": (
        message(
            "{n} run repeats another's problem, optimizer, learning rate and seed, but differs in {names}: the newest that ended "
            "is compared"
        ),
        message(
            "{n} runs repeat another's problem, optimizer, learning rate and seed, but differ in {names}: the newest that ended "
            "is compared"
        ),
    ),
    "usual margin": message(
        "no margin was declared: {margin}, the usual one for accuracy, is used; smaller differences of {metric} count as "
        "negligible"
    ),
    "median margin": message(
        "no margin was declared: {margin}, 1 % of the median, is used on {problem}; smaller differences of {metric} count as "
        "negligible"
    ),
    "rates": message("the learning rate of {n} of {total} compared runs is unknown"),
    "start": message(
        "no loss before the first update was logged: targets of time to target are shares of the way from the first loss that "
        "was logged"
    ),
    "cost": message("the cost of an update is unknown: nothing on this page is in seconds"),
    "epochs": message("the number of updates per epoch is unknown: one is counted as the other"),
    "batches": message("batch sizes are unknown: an update is counted as one example"),
    "unattributed": (
        message("{n} run names no optimizer ({names}): it is left out"),
        message("{n} runs name no optimizer ({names}): they are left out"),
    ),
    "empty": (
        message("{n} run logged none of the expected losses and metrics: it is left out"),
        message("{n} runs logged none of the expected losses and metrics: they are left out"),
    ),
    "running": (
        message("{n} run had not ended when the experiment was read: it is left out"),
        message("{n} runs had not ended when the experiment was read: they are left out"),
    ),
    "chosen": message(
        "{optimizer} on {problem}: its learning rate {rate} was chosen from {rates} by the validation metric of the seeds that "
        "are compared, which favors it a little"
    ),
}


def order_alarms(alarms: pd.DataFrame) -> pd.DataFrame:
    """The alarms in the order of PHRASES where a code says what is unknown; all others as they are, first."""
    order = {code: place for place, code in enumerate(PHRASES)}
    ordered = alarms["kind"].isin(["unknown", "same seeds"])
    return alarms.iloc[alarms["code"].map(order).where(ordered, -1).argsort(kind="stable")]


def alarm_sentence(row: dict[str, Any]) -> str:
    """What a row of the table of alarms says."""
    values = {"problem": row["problem"], "optimizer": row["optimizer"], **json.loads(row["values"])}
    if "split" in values:
        values["split"] = words(SPLIT_WORDS[values["split"]])
    if row["arm"]:
        values["arm"] = words(ARM_WORDS[row["arm"]].name)
    forms = PHRASES[row["code"]]
    if isinstance(forms, tuple):
        return counted(row["count"], *forms, **values)
    sentence = words(forms, n=f"{row['count']:,}", **values)
    return f"{sentence} ({values['reason']})" if values.get("reason") else sentence
