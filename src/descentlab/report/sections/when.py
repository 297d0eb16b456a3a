"""When Adam ends better than plain SGD: its advantage beside the traits of each problem."""

from __future__ import annotations

import pandas as pd

from descentlab.analysis.advantages import (
    LEAST_PROBLEMS,
    associate_traits,
    measure_advantages,
    ordered_advantage,
)
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.experiment.traits import TRAITS
from descentlab.i18n.wording import words
from descentlab.optimizers.roles import ADAM, PLAIN
from descentlab.report.blocks import ARM_WORDS, Evidence, Section, Table, interval, number
from descentlab.report.phrases import VERDICTS
from descentlab.report.trait_phrases import TRAIT_WORDS, trait_words


def when(evidence: Evidence) -> Section | None:
    """A row for each problem, the largest advantage first; below the title, which traits go with it."""
    traits, arm = evidence.measurement("traits"), evidence.plan.main_arm
    advantages = measure_advantages(evidence.plan, evidence.comparison.contrasts, traits)
    shown = advantages[advantages["arm"] == arm]
    if traits.empty or shown.empty:
        return None
    shown = shown.iloc[ordered_advantage(shown).fillna(0).argsort(kind="stable")[::-1]]
    rows = [
        [
            row["problem"],
            interval(row["advantage"], row["low"], row["high"], row["n"], signed=True),
            words(VERDICTS[row["verdict"]]),
            *(number(row[trait]) for trait in TRAITS),
        ]
        for row in shown.to_dict("records")
    ]
    names = [evidence.marks.title(name, arm, evidence.plan.problems) for name in (ADAM, PLAIN)]
    difference = words("{first} − {second}, in margins", first=names[0], second=names[1])
    headers = [words("problem"), difference, words("verdict")]
    headers += [words(TRAIT_WORDS[trait]) for trait in TRAITS]
    caption = words(
        "Measured at the initial weights, before any optimizer: slope of the classes' log frequency over log rank (0 is "
        "balanced, −1 is Zipf's law); share of the parameters that are embeddings; variance of a batch's gradient over the "
        "squared mean gradient; largest curvature over the root mean square of all. 1 is yes. A trait goes with an advantage "
        "if its rank correlation over at least {least} problems has an interval without 0, at 95 % for all traits together.",
        least=LEAST_PROBLEMS,
    )
    counts = count_words(shown, len(evidence.plan.problems), *names)
    title = f"{words(ARM_WORDS[arm].rates).capitalize()}: {counts}; {trait_words(associate_traits(shown))}"
    numeric = frozenset(range(3, 3 + len(TRAITS)))
    return Section(
        "when", words("When Adam ends better"), [Table("when", title, headers, rows, caption, shown, numeric)]
    )


def count_words(advantages: pd.DataFrame, problems: int, first: str, second: str) -> str:
    """On how many of the experiment's problems Adam ends better, level, worse, and open; not tested where there are such.

    Args:
        advantages: of the problems that have the contrast.
        problems: how many there are in all.
        first, second: the titles of Adam and plain SGD.
    """
    counts = advantages["verdict"].value_counts()
    level = sum(counts.get(verdict, 0) for verdict in (Verdict.NEGLIGIBLE, Verdict.IDENTICAL))
    better, worse, still_open = (
        counts.get(verdict, 0) for verdict in (Verdict.BETTER, Verdict.WORSE, Verdict.INCONCLUSIVE)
    )
    text = words(
        "of {n} problems {first} ends better than {second} on {better}, level on {level}, worse on {worse}; {open} are open",
        n=problems,
        first=first,
        second=second,
        better=better,
        level=level,
        worse=worse,
        open=still_open,
    )
    untested = problems - better - level - worse - still_open
    return words("{text}; {n} not tested", text=text, n=untested) if untested else text
