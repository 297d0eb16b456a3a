"""Paired differences of final test goodness, over seeds and test examples, corrected for their number, with a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.comparison import fill_table
from descentlab.analysis.fit import compare_fit, log_objective
from descentlab.analysis.pairing import PAIRED, ROW, PairedRuns
from descentlab.analysis.remarks import Remark, pack_remarks, remark
from descentlab.analysis.statistics.pair_test import PairTest
from descentlab.analysis.statistics.stages import ONE_LOOK, Stage
from descentlab.analysis.statistics.verdicts import (
    benjamini_hochberg,
    benjamini_hochberg_levels,
    holm,
    holm_levels,
)
from descentlab.analysis.tuning_effects import NO_EFFECTS, TuningEffects
from descentlab.experiment.looks import ADDED, FINAL_PHASES, Contrast, Look, seeds_of_contrasts
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
    runs: pd.DataFrame,
    scores: Mapping[str, np.ndarray],
    tuning: TuningEffects = NO_EFFECTS,
    looks: Sequence[Look] = (),
) -> pd.DataFrame:
    """Every declared contrast, judged in its family (docs/protocol.md, "Contrasts").

    The primary contrasts of all arms and problems are one family, corrected by Holm's procedure: hardly any wrong direction in
    all of them. The exploratory ones are another, corrected by Benjamini & Hochberg's: hardly any share of wrong directions.

    A primary contrast is judged on the seeds of its last look, at that look's share of its level (docs/protocol.md, "Looks");
    an exploratory one on the seeds of the first, which all rows have.

    Args:
        plan: the experiment's plan.
        runs: all runs.
        scores: metric of each test example at the end, by run id; where a run is absent, the pair's mean metrics are used.
        tuning: what it does to the results; what is said of an undertuned row carries the remark.
        looks: what each look so far decided.
    """
    finals = runs[runs["phase"].isin(FINAL_PHASES)]
    finals = finals.assign(log_objective=log_objective(finals)).set_index("seed")
    by_row = dict(tuple(finals[[*ROW, *PAIRED, "higher_is_better", "phase", "log_objective"]].groupby(ROW, sort=False)))
    extended = seeds_of_contrasts(plan, looks)
    rows: list[dict[str, Any]] = []
    pairs: list[PairedRuns] = []
    fits: list[PairTest] = []
    stages: list[Stage] = []
    for arm in plan.config.arms:
        for (first, second), declared in declared_pairs(list(plan.optimizers), plan.reference).items():
            for problem, planned in plan.problems.items():
                a, b = by_row.get((problem, arm, first)), by_row.get((problem, arm, second))
                if a is None or b is None:
                    continue
                one = Contrast(problem, arm, first, second)
                seeds = extended.get(one)
                a, b = on_seeds(a, seeds), on_seeds(b, seeds)
                stages.append(Stage.at(plan.config.seeds_of(problem).looks, seeds) if declared == PRIMARY else ONE_LOOK)
                where, tuned = f"{problem}, {arm}: {first} and {second}", tuning.noise.of(problem, arm, first, second)
                pairs.append(PairedRuns(a, b, scores, where, planned.margin, tuned))
                tuned = tuning.fit_noise.of(problem, arm, first, second)
                fits.append(compare_fit(a["log_objective"], b["log_objective"], tuned))
                rows.append(
                    {
                        "problem": problem,
                        "arm": arm,
                        "first": first,
                        "second": second,
                        "declared": EXPLORATORY if isinstance(plan, ImportedPlan) else declared,
                        "margin": planned.margin,
                        "remarks": pack_remarks(
                            [
                                *pairs[-1].remarks,
                                *tuning.mark((problem, arm, name) for name in (first, second)),
                                *remarks_on_looks(looks, one, stages[-1], plan),
                            ]
                        ),
                    }
                )
    declared_as, shares = [row["declared"] for row in rows], np.array([stage.share for stage in stages])
    adjusted, levels = correct(np.array([pair.test.p for pair in pairs]), declared_as, shares)
    _, fit_levels = correct(np.array([fit.p for fit in fits]), declared_as, shares)
    for row, pair, stage, fit, p, level, fit_level in zip(
        rows, pairs, stages, fits, adjusted, levels, fit_levels, strict=True
    ):
        row |= {**pair.judge(p, level, stage), **judge_fit(fit, fit_level * stage.share), "look": stage.number}
    return fill_table(pd.DataFrame(rows), "contrasts")


def remarks_on_looks(looks: Sequence[Look], one: Contrast, stage: Stage, plan: Plan) -> list[Remark]:
    """At which look a contrast was judged, unless there is one, and why it was looked at no further."""
    number = len(plan.config.seeds_of(one.problem).looks)
    remarks = [remark("settled later", look=stage.number, looks=number)] if stage.number > 1 else []
    if any(one in look.left for look in looks):
        remarks.append(remark("no seeds settle"))
    if any(one in look.unpaid for look in looks):
        remarks.append(remark("budget spent"))
    return remarks


def on_seeds(runs: pd.DataFrame, seeds: int | None) -> pd.DataFrame:
    """The final runs of one row on its first ``seeds``; on those of the first look, if None."""
    return runs[runs["phase"] != ADDED] if seeds is None else runs[runs.index < seeds]


def correct(
    p_values: np.ndarray, declared: list[str], shares: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Adjusted p values and the level of each test over all looks, the primary and the exploratory ones each a family.

    Args:
        p_values: shape (tests,).
        declared: PRIMARY or EXPLORATORY, of each test.
        shares: of a test's level that its look may spend, shape (tests,).
    """
    p_values = np.minimum(1.0, p_values / shares)
    adjusted, levels = np.full((2, len(p_values)), np.nan)
    primary = np.array([kind == PRIMARY for kind in declared], dtype=bool)
    adjusted[primary], levels[primary] = holm(p_values[primary]), holm_levels(p_values[primary])
    others = p_values[~primary]
    adjusted[~primary], levels[~primary] = benjamini_hochberg(others), benjamini_hochberg_levels(others)
    return adjusted, levels


def judge_fit(fit: PairTest, level: float) -> dict[str, Any]:
    """The columns on the training objective of a contrast."""
    low, high = fit.interval(level)
    estimate = fit.estimate
    return {
        "fit_mean": estimate.mean,
        "fit_low": low,
        "fit_high": high,
        "fit_n": estimate.n,
        "fit_verdict": fit.verdict(level),
    }
