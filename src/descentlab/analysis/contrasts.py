"""Paired differences of final test goodness, over seeds and test examples, corrected for their number, with a verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.choice_noise import NOT_TUNED, ChoiceNoise
from descentlab.analysis.comparison import fill_table
from descentlab.analysis.fit import FIT_MARGIN, estimate_fit, log_objective
from descentlab.analysis.pairing import ROW, PairedRuns, Row
from descentlab.analysis.remarks import pack_remarks, remark
from descentlab.analysis.statistics.paired import Estimate
from descentlab.analysis.statistics.verdicts import (
    benjamini_hochberg,
    benjamini_hochberg_levels,
    holm,
    holm_levels,
    verdict,
)
from descentlab.experiment.plan import ImportedPlan, Plan
from descentlab.optimizers.roles import ADVANCED, PLAIN, PRIMARY_CONTRASTS

PRIMARY, EXPLORATORY = "primary", "exploratory"


def declared_pairs(names: list[str], reference: str) -> dict[tuple[str, str], str]:
    """The contrasts of an experiment and whether each is ``primary`` or ``exploratory``, fixed before any run.

    Example:
        >>> declared_pairs(["sgd", "adam"], reference="sgd")
        {('adam', 'sgd'): 'primary'}
    """
    pairs = {pair: PRIMARY for pair in PRIMARY_CONTRASTS if set(pair) <= set(names)}
    others = [(name, PLAIN) for name in ADVANCED] + [(name, reference) for name in names if name != reference]
    for pair in others:
        if set(pair) <= set(names):
            pairs.setdefault(pair, EXPLORATORY)
    return pairs


def contrast(
    plan: Plan,
    finals: pd.DataFrame,
    scores: Mapping[str, np.ndarray],
    noise: ChoiceNoise = NOT_TUNED,
    undertuned: Collection[Row] = (),
    fit_noise: ChoiceNoise = NOT_TUNED,
) -> pd.DataFrame:
    """Every declared contrast, judged in its family (docs/protocol.md, "Contrasts").

    The primary contrasts of all arms and problems are one family, corrected by Holm's procedure: hardly any wrong direction in
    all of them. The exploratory ones are another, corrected by Benjamini & Hochberg's: hardly any share of wrong directions.

    Args:
        plan: the experiment's plan.
        finals: final runs.
        scores: metric of each test example at the end, by run id; where a run is absent, the pair's mean metrics are used.
        noise: of tuning.
        undertuned: rows whose grid of learning rates was too narrow; what is said of them carries the remark.
        fit_noise: of tuning, in decades of the training objective.
    """
    finals = finals.assign(log_objective=log_objective(finals))
    by_row = {key: group.set_index("seed") for key, group in finals.groupby(ROW, sort=False)}
    rows: list[dict[str, Any]] = []
    pairs: list[PairedRuns] = []
    fits: list[Estimate] = []
    for arm in plan.config.arms:
        for (first, second), declared in declared_pairs(list(plan.optimizers), plan.reference).items():
            for problem, planned in plan.problems.items():
                a, b = by_row.get((problem, arm, first)), by_row.get((problem, arm, second))
                if a is None or b is None:
                    continue
                where, tuned = f"{problem}, {arm}: {first} and {second}", noise.of(problem, arm, first, second)
                pairs.append(PairedRuns(a, b, scores, where, planned.margin, tuned))
                tuned = fit_noise.of(problem, arm, first, second)
                fits.append(estimate_fit(a["log_objective"], b["log_objective"], tuned))
                narrow = [name for name in (first, second) if (problem, arm, name) in undertuned]
                rows.append(
                    {
                        "problem": problem,
                        "arm": arm,
                        "first": first,
                        "second": second,
                        "declared": EXPLORATORY if isinstance(plan, ImportedPlan) else declared,
                        "margin": planned.margin,
                        "remarks": pack_remarks(
                            [*pairs[-1].remarks, *(remark("undertuned", name=name) for name in narrow)]
                        ),
                    }
                )
    declared_as = [row["declared"] for row in rows]
    adjusted, levels = correct(np.array([pair.p for pair in pairs]), declared_as)
    _, fit_levels = correct(np.array([fit.p for fit in fits]), declared_as)
    for row, pair, fit, p, level, fit_level in zip(rows, pairs, fits, adjusted, levels, fit_levels, strict=True):
        row |= {**pair.judge(p, level), **judge_fit(fit, fit_level)}
    return fill_table(pd.DataFrame(rows), "contrasts")


def correct(p_values: np.ndarray, declared: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Adjusted p values and the level of each test, the primary and the exploratory ones each a family.

    Args:
        p_values: shape (tests,).
        declared: PRIMARY or EXPLORATORY, of each test.
    """
    adjusted, levels = np.full((2, len(p_values)), np.nan)
    primary = np.array([kind == PRIMARY for kind in declared], dtype=bool)
    adjusted[primary], levels[primary] = holm(p_values[primary]), holm_levels(p_values[primary])
    others = p_values[~primary]
    adjusted[~primary], levels[~primary] = benjamini_hochberg(others), benjamini_hochberg_levels(others)
    return adjusted, levels


def judge_fit(estimate: Estimate, level: float) -> dict[str, Any]:
    """The columns on the training objective of a contrast."""
    low, high = estimate.interval(level)
    judged = verdict(low, high, estimate.mean, estimate.n, FIT_MARGIN)
    return {"fit_mean": estimate.mean, "fit_low": low, "fit_high": high, "fit_n": estimate.n, "fit_verdict": judged}
