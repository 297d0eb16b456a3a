"""How firmly the most dependable optimizer is known: how often it comes out again.

The choice (:func:`~descentlab.analysis.regret.most_dependable`) is made again from resampled seeds and with each problem left out
in turn (docs/protocol.md, "Ranks").
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.experiment.plan import Plan
from descentlab.storage.tables import Column, check_table, empty_table

DRAWS = 1000
ENOUGH = 0.8  # of the choices: so many are named

RECOMMENDATION_COLUMNS: dict[str, Column] = {
    "arm": Column("str", "", "", "arm"),
    "optimizer": Column("str", "", "", "optimizer, the most frequent first"),
    "share": Column("float64", "share", "higher", "of the choices made again in which it comes out; ties share"),
    "n": Column(
        "int64", "choices", "", "made again: resamplings of the final seeds, with all problems and without each one"
    ),
    "named": Column("bool", "", "", f"among the fewest optimizers that make up {ENOUGH:.0%} of the choices"),
}


def measure_recommendations(plan: Plan, finals: pd.DataFrame) -> pd.DataFrame:
    """How often each optimizer stays closest to the best on its worst problem (columns RECOMMENDATION_COLUMNS).

    Args:
        plan: the experiment's plan.
        finals: final runs.
    """
    tables = [table for _, group in finals.groupby("arm", sort=False) if len(table := recommend_again(plan, group))]
    return pd.concat(tables, ignore_index=True) if tables else empty_table(RECOMMENDATION_COLUMNS)


def recommend_again(plan: Plan, finals: pd.DataFrame) -> pd.DataFrame:
    """The same for the runs of one arm; empty where no optimizer is on every problem."""
    goodness = finals["val_metric"] * finals["problem"].map({name: p.sign for name, p in plan.problems.items()})
    goodness = goodness.where(finals["status"] == "finished").fillna(
        -np.inf
    )  # the worst result; NaN: no run of that seed
    wide = finals.assign(goodness=goodness).pivot(index=["problem", "optimizer"], columns="seed", values="goodness")
    problems = list(dict.fromkeys(finals["problem"]))
    optimizers = [
        name for name, group in finals.groupby("optimizer", sort=False) if set(group["problem"]) == set(problems)
    ]
    if not optimizers:
        return empty_table(RECOMMENDATION_COLUMNS)
    margins = np.array([plan.problems[name].margin for name in problems])
    scores = np.stack([wide.loc[name].reindex(optimizers).to_numpy() for name in problems])
    seeds = scores.shape[2]
    drawn = np.random.default_rng(0).integers(0, seeds, (DRAWS, seeds))
    counts = np.stack([(drawn == seed).sum(axis=1) for seed in range(seeds)])  # (seeds, draws)
    finite = np.isfinite(scores)
    lost, drawn_runs = (scores == -np.inf).astype(float) @ counts, finite.astype(float) @ counts
    sums = np.where(finite, scores, 0.0) @ counts  # (problems, optimizers, draws)
    means = np.where((lost > 0) | (drawn_runs == 0), -np.inf, sums / np.maximum(1, drawn_runs))
    best = means.max(axis=1, keepdims=True)
    behind = np.full(means.shape, np.inf)
    np.subtract(best, means, out=behind, where=np.isfinite(means))
    behind /= margins[:, None, None]
    subsets = [list(range(len(problems)))]
    if len(problems) > 1:
        subsets += [[other for other in subsets[0] if other != left_out] for left_out in subsets[0]]
    chosen = np.zeros(len(optimizers))
    for subset in subsets:
        worst = behind[subset].max(axis=0)
        least = np.isclose(worst, worst.min(axis=0), rtol=0, atol=1e-12) & np.isfinite(worst)
        chosen += (least / np.maximum(1, least.sum(axis=0))).sum(axis=1)
    table = pd.DataFrame(
        {"arm": finals["arm"].iloc[0], "optimizer": optimizers, "share": chosen / (DRAWS * len(subsets))}
    )
    table = table[table["share"] > 0].sort_values("share", ascending=False, kind="stable")
    before = table["share"].cumsum() - table["share"]
    table = table.assign(n=DRAWS * len(subsets), named=before < ENOUGH).reset_index(drop=True)
    return check_table(table, RECOMMENDATION_COLUMNS, "recommendations")
