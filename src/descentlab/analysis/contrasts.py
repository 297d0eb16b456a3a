"""Paired differences of final test goodness, over seeds and test examples, with Holm's correction and a verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.choice_noise import NOT_TUNED, ChoiceNoise
from descentlab.analysis.comparison import fill_table
from descentlab.analysis.fit import FIT_MARGIN, estimate_fit
from descentlab.analysis.pairing import ROW, PairedRuns, Row
from descentlab.analysis.remarks import Remark, pack_remarks, remark
from descentlab.analysis.statistics.paired import Estimate
from descentlab.analysis.statistics.verdicts import holm, holm_levels, verdict
from descentlab.experiment.plan import ImportedPlan, Plan
from descentlab.optimizers.roles import ADVANCED, PLAIN, PRIMARY_CONTRASTS


def declared_pairs(names: list[str], reference: str) -> dict[tuple[str, str], str]:
    """The contrasts of an experiment and whether each is ``primary`` or ``exploratory``, fixed before any run.

    Example:
        >>> declared_pairs(["sgd", "adam"], reference="sgd")
        {('adam', 'sgd'): 'primary'}
    """
    pairs = {pair: "primary" for pair in PRIMARY_CONTRASTS if set(pair) <= set(names)}
    others = [(name, PLAIN) for name in ADVANCED] + [(name, reference) for name in names if name != reference]
    for pair in others:
        if set(pair) <= set(names):
            pairs.setdefault(pair, "exploratory")
    return pairs


def contrast(
    plan: Plan,
    finals: pd.DataFrame,
    scores: Mapping[str, np.ndarray],
    noise: ChoiceNoise = NOT_TUNED,
    undertuned: Collection[Row] = (),
    fit_noise: ChoiceNoise = NOT_TUNED,
) -> pd.DataFrame:
    """Every declared contrast; a Holm family is one (arm, first, second) over its problems.

    Args:
        plan: the experiment's plan.
        finals: final runs.
        scores: metric of each test example at the end, by run id; where a run is absent, the pair's mean metrics are used.
        noise: of tuning.
        undertuned: rows whose grid of learning rates was too narrow; what is said of them carries the remark.
        fit_noise: of tuning, in decades of the training objective.
    """
    by_row = {key: group.set_index("seed") for key, group in finals.groupby(ROW, sort=False)}
    rows = []
    for arm in plan.config.arms:
        for (first, second), declared in declared_pairs(list(plan.optimizers), plan.reference).items():
            family: list[dict[str, Any]] = []
            pairs: list[PairedRuns] = []
            fits: list[Estimate] = []
            marks: list[list[Remark]] = []
            for problem, planned in plan.problems.items():
                a, b = by_row.get((problem, arm, first)), by_row.get((problem, arm, second))
                if a is not None and b is not None:
                    where = f"{problem}, {arm}: {first} and {second}"
                    narrow = [name for name in (first, second) if (problem, arm, name) in undertuned]
                    marks.append([remark("undertuned", name=name) for name in narrow])
                    pairs.append(PairedRuns(a, b, scores, where, planned.margin, noise.of(problem, arm, first, second)))
                    fits.append(estimate_fit(a, b, fit_noise.of(problem, arm, first, second)))
                    family.append(
                        {
                            "problem": problem,
                            "arm": arm,
                            "first": first,
                            "second": second,
                            "declared": "exploratory" if isinstance(plan, ImportedPlan) else declared,
                            "margin": planned.margin,
                        }
                    )
            p = np.array([pair.p for pair in pairs])
            fitted = judge_fits(fits)
            for row, pair, marked, fit, adjusted, level in zip(
                family, pairs, marks, fitted, holm(p), holm_levels(p), strict=True
            ):
                judged = pair.judge(adjusted, level)
                rows.append({**row, **judged, **fit, "remarks": pack_remarks([*pair.remarks, *marked])})
    return fill_table(pd.DataFrame(rows), "contrasts")


def judge_fits(estimates: list[Estimate]) -> list[dict[str, Any]]:
    """The columns on the training objective of a family of contrasts, each judged at Holm's level in the family."""
    rows = []
    for estimate, level in zip(estimates, holm_levels(np.array([one.p for one in estimates])), strict=True):
        low, high = estimate.interval(level)
        judged = verdict(low, high, estimate.mean, estimate.n, FIT_MARGIN)
        rows.append(
            {"fit_mean": estimate.mean, "fit_low": low, "fit_high": high, "fit_n": estimate.n, "fit_verdict": judged}
        )
    return rows
