"""How much of a tuned result is the luck of tuning: what other tuning seeds would have chosen, and how that would have ended.

The choice of a learning rate is made again from resampled tuning seeds. How each of the rates that come out ends is known from
the final seeds' runs, which are trained at the chosen rate and at its two neighbors (docs/statistics.md, "The noise of
tuning").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.resampling import resample_seeds, weighted_variance
from descentlab.experiment.plan import Plan
from descentlab.experiment.plateau import middle, plateau
from descentlab.optimizers.arms import Arm

NO_NOISE = (0.0, float("inf"))


@dataclass(frozen=True)
class ChoiceNoise:
    """The ends of choices made again.

    Attributes:
        ends: how each final seed ended, such as its test metric, at the rate that each resampling of the tuning seeds chooses,
            by (problem, optimizer); shape (resamplings, final seeds), the same ones for all, NaN where a run didn't finish.
        weights: how often each resampling occurs, shape (resamplings,), sum 1.
        degrees: tuning seeds minus 1.
    """

    ends: Mapping[tuple[str, str], np.ndarray] = field(default_factory=dict)
    weights: np.ndarray = field(default_factory=lambda: np.ones(1))
    degrees: int = 0

    def of(self, problem: str, arm: str, first: str, second: str | None = None) -> tuple[float, float]:
        """The variance that tuning adds to a mean, or to the difference of two, and its degrees of freedom.

        Optimizers are tuned with the same seeds, so what these do to both cancels. Zero outside the tuned arm, and for an
        optimizer without a choice.
        """
        known = [self.ends[problem, name] for name in (first, second) if name and (problem, name) in self.ends]
        if arm != Arm.TUNED or not known:
            return NO_NOISE
        values = known[0] - known[1] if len(known) == 2 else known[0]
        values = values[:, ~np.isnan(values).any(axis=0)]
        seeds = values.shape[1]
        if seeds < 2:
            return NO_NOISE
        mean = values.mean(axis=1)
        # The means of the rates differ by the noise of their final seeds, too, which is no noise of tuning.
        of_seeds = sum(self._spread(values[:, seed] - mean) for seed in range(seeds)) / (seeds * (seeds - 1))
        return max(0.0, self._spread(mean) - of_seeds), float(self.degrees)

    def _spread(self, values: np.ndarray) -> float:
        return weighted_variance(values, self.weights)


NOT_TUNED = ChoiceNoise()


def choose_again(
    goodness: np.ndarray, loss: np.ndarray, positions: np.ndarray, margin: float, chosen: int
) -> np.ndarray:
    """The position of the learning rate that each resampling of the tuning seeds chooses.

    Args:
        goodness, loss: by learning rate and tuning seed, as :func:`~descentlab.experiment.plateau.plateau` takes their means.
        positions: of the seeds in each resampling, shape (resamplings, drawn).
        margin: in the score's unit.
        chosen: the position that was chosen; also where a resampling has no rate that finished.
    """
    scores, losses = goodness[:, positions].mean(axis=2), loss[:, positions].mean(axis=2)
    ends = (plateau(score, other, margin) for score, other in zip(scores.T, losses.T, strict=True))
    return np.array([chosen if pair is None else middle(pair) for pair in ends])


def measure_choice_noise(
    plan: Plan, runs: pd.DataFrame, selections: list[dict[str, Any]], value: str = "test_metric"
) -> ChoiceNoise:
    """Choose every learning rate again from resampled tuning seeds.

    A choice beyond the neighbors counts as the neighbor on that side, and one at which most final runs diverged as the rate
    beside it, which the alarm of a cliff says. With one tuning seed, or where the neighbors were not trained, the noise can't be
    measured and is taken as none.

    Args:
        plan: the experiment's plan.
        runs: all runs.
        selections: the choices that were made.
        value: the column that tells how a final run ended.
    """
    tuned = runs[(runs["arm"] == Arm.TUNED) & runs["learning_rate"].notna()]
    tuning = tuned[tuned["phase"] == "tuning"]
    seeds = sorted(tuning["seed"].unique())
    if len(seeds) < 2:
        return NOT_TUNED
    positions, weights = resample_seeds(len(seeds))
    ended = tuned[tuned["phase"].isin(["final", "neighbor"])]
    ended = ended.assign(end=ended[value].where(ended["status"] == "finished"))
    index = ["problem", "optimizer", "learning_rate"]
    by_rate = ended.pivot(index=index, columns="seed", values="end")
    known = dict(tuple(by_rate[by_rate.notna().mean(axis=1) >= 0.5].groupby(level=[0, 1])))
    signs = {name: problem.sign for name, problem in plan.problems.items()}
    tuning = tuning.assign(goodness=tuning["problem"].map(signs) * tuning["val_metric"])
    tuning.loc[tuning["status"] != "finished", ["goodness", "val_loss"]] = np.nan
    tried = dict(
        tuple(tuning.pivot(index=index, columns="seed", values=["goodness", "val_loss"]).groupby(level=[0, 1]))
    )
    by_choice = {}
    for selection in selections:
        row = selection["problem"], selection["optimizer"]
        if row not in tried or row not in known:
            continue
        goodness, loss = np.split(tried[row].to_numpy(), 2, axis=1)
        rates, finals = (table.index.get_level_values("learning_rate").to_numpy() for table in (tried[row], known[row]))
        chosen = int(np.flatnonzero(rates == selection["learning_rate"])[0])
        again = rates[choose_again(goodness, loss, positions, plan.problems[row[0]].margin, chosen)]
        nearest = np.abs(np.log(again)[:, None] - np.log(finals)[None, :]).argmin(axis=1)
        by_choice[row] = known[row].to_numpy()[nearest]
    return ChoiceNoise(by_choice, weights, len(seeds) - 1)
