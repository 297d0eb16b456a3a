"""The decision of a look: which open primary contrasts get more seeds, and in what order (docs/protocol.md, "Looks")."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.contrasts import PRIMARY, contrast
from descentlab.analysis.pairing import ROW, Row
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.analysis.tuning_effects import measure_tuning_effects
from descentlab.experiment.looks import FINAL_PHASES, Contrast, Look
from descentlab.experiment.plan import TrainingPlan


def decide_look(
    plan: TrainingPlan,
    runs: pd.DataFrame,
    scores: Mapping[str, np.ndarray],
    selections: list[dict[str, Any]],
    looks: Sequence[Look],
) -> Look:
    """Judge the primary contrasts, and extend the open ones to the seeds of the next look.

    A contrast that is settled stays as it is, so that its runs are not added to until they say something else. One that no
    number of seeds can settle, because the test examples or the tuning seeds are too few, is left. The others come in the order
    of the seconds that they are expected to take until they settle; with a budget, as many as it pays for.

    Args:
        plan: the experiment's plan.
        runs: all runs so far.
        scores: metric of each test example at the end, by run id.
        selections: the choices of learning rates.
        looks: what the looks before this one decided.
    """
    number = len(looks) + 1
    looks_of = {problem: plan.config.seeds_of(problem).looks for problem in plan.problems}
    table = contrast(plan, runs, scores, measure_tuning_effects(plan, runs, selections), looks)
    goes_on = table["problem"].map(lambda name: len(looks_of[name]) > number)
    reached = (table["declared"] == PRIMARY) & (table["look"] == number) & goes_on
    open_contrasts = table[reached & (table["verdict"] == Verdict.INCONCLUSIVE)]
    seconds = seconds_by_row(runs)
    expected: dict[Contrast, float] = {}
    left = []
    for row in open_contrasts.to_dict("records"):
        one = Contrast(row["problem"], row["arm"], row["first"], row["second"])
        seeds = looks_of[one.problem]
        needed = seeds[number] if math.isnan(row["seeds_needed"]) else row["seeds_needed"]
        # More seeds move the mean only within their own part of the interval. No seeds help if, wherever it moves, what the
        # test examples and tuning leave of the interval is too wide.
        of_seeds = max(0.0, 1 - row["example_share"] - row["choice_share"])
        reach = (row["high_corrected"] - row["low_corrected"]) / 2 * math.sqrt(of_seeds)
        if math.isinf(needed) and row["floor"] >= max(row["margin"], abs(row["difference_mean"]) + reach):
            left.append(one)
        else:
            further = min(needed, seeds[-1]) - seeds[number - 1]
            expected[one] = further * sum(seconds[side] for side in rows_of(one))
    budget = 60 * (plan.config.budget.minutes or math.inf)
    spent = sum(look.seconds for look in looks)
    paid: dict[Row, float] = {}
    extended, unpaid = [], []
    for one in sorted(expected, key=expected.__getitem__):
        added = looks_of[one.problem][number] - looks_of[one.problem][number - 1]
        new = {row: added * seconds[row] for row in rows_of(one) if row not in paid}
        if spent + sum(paid.values()) + sum(new.values()) > budget:
            unpaid.append(one)
        else:
            extended.append(one)
            paid |= new
    return Look(
        number=number,
        contrasts=tuple(extended),
        left=tuple(left),
        unpaid=tuple(unpaid),
        seconds=sum(paid.values()),
    )


def rows_of(one: Contrast) -> list[Row]:
    """The two rows whose runs a contrast needs."""
    return [(one.problem, one.arm, name) for name in (one.first, one.second)]


def seconds_by_row(runs: pd.DataFrame) -> dict[Row, float]:
    """The median seconds that a final run of each row took, its evaluations included."""
    finals = runs[runs["phase"].isin(FINAL_PHASES)]
    taken = finals["train_seconds"] + finals["evaluation_seconds"]
    return taken.fillna(0.0).groupby([finals[name] for name in ROW], sort=False).median().to_dict()
