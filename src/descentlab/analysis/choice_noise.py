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
from descentlab.experiment.plateau import find_plateaus, middle
from descentlab.optimizers.arms import Arm

NO_NOISE = (0.0, float("inf"))
LEAST_TUNING_SEEDS = 2  # one has no spread


@dataclass(frozen=True)
class ProblemNoise:
    """The ends of choices made again on one problem, of which all optimizers are tuned with the same seeds.

    Attributes:
        ends: how each final seed ended, such as its test metric, at the rate that each resampling of the tuning seeds chooses,
            by optimizer; shape (resamplings, final seeds), the same ones for all, NaN where a run didn't finish.
        weights: how often each resampling occurs, shape (resamplings,), sum 1.
        degrees: tuning seeds minus 1.
    """

    ends: dict[str, np.ndarray]
    weights: np.ndarray
    degrees: int

    def of(self, first: str, second: str | None) -> tuple[float, float]:
        """The variance that tuning adds to a mean, or to the difference of two, and its degrees of freedom."""
        known = [self.ends[name] for name in (first, second) if name is not None and name in self.ends]
        if not known:
            return NO_NOISE
        values = known[0] - known[1] if len(known) == 2 else known[0]
        values = values[:, ~np.isnan(values).any(axis=0)]
        seeds = values.shape[1]
        if seeds < 2:
            return NO_NOISE
        mean = values.mean(axis=1)
        # The means of the rates differ by the noise of their final seeds, too, which is no noise of tuning. But that is an
        # estimate, and often all of what is seen where the choice does vary: at most half is taken off.
        of_seeds = sum(self._spread(values[:, seed] - mean) for seed in range(seeds)) / (seeds * (seeds - 1))
        seen = self._spread(mean)
        return max(seen - of_seeds, seen / 2), float(self.degrees)

    def _spread(self, values: np.ndarray) -> float:
        return weighted_variance(values, self.weights)


@dataclass(frozen=True)
class ChoiceNoise:
    """The noise of tuning, by problem; a problem without tuned rows has none."""

    by_problem: Mapping[str, ProblemNoise] = field(default_factory=dict)

    def of(self, problem: str, arm: str, first: str, second: str | None = None) -> tuple[float, float]:
        """The variance that tuning adds to a mean, or to the difference of two, and its degrees of freedom.

        Optimizers are tuned with the same seeds, so what these do to both cancels. Zero outside the tuned arm, and for an
        optimizer without a choice.
        """
        known = self.by_problem.get(problem)
        return NO_NOISE if known is None or arm != Arm.TUNED else known.of(first, second)


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
    ends = find_plateaus(goodness[:, positions].mean(axis=2).T, loss[:, positions].mean(axis=2).T, margin)
    return np.array([chosen if first < 0 else middle((first, last)) for first, last in ends.tolist()])


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
    if tuning.empty:
        return NOT_TUNED
    signs = {name: problem.sign for name, problem in plan.problems.items()}
    tuning = tuning.assign(goodness=tuning["problem"].map(signs) * tuning["val_metric"])
    tuning.loc[tuning["status"] != "finished", ["goodness", "val_loss"]] = np.nan
    goodness, loss = (by_rate(tuning, column) for column in ("goodness", "val_loss"))
    ended = tuned[tuned["phase"].isin(["final", "neighbor"])]
    ends = by_rate(
        ended.assign(end=ended[value].where((ended["status"] == "finished") & np.isfinite(ended[value]))), "end"
    )
    noise: dict[str, ProblemNoise] = {}
    for selection in selections:
        problem, name = row = selection["problem"], selection["optimizer"]
        if row not in goodness or row not in ends or (seeds := len(goodness[row].columns)) < LEAST_TUNING_SEEDS:
            continue
        known = ends[row][ends[row].notna().mean(axis=1) >= 0.5]
        if known.empty:
            continue
        rates, finals = (np.array(table.index.get_level_values("learning_rate")) for table in (goodness[row], known))
        positions, weights = resample_seeds(seeds)
        chosen = int(np.flatnonzero(rates == selection["learning_rate"])[0])
        tried = goodness[row].to_numpy(), loss[row].to_numpy()
        again = rates[choose_again(*tried, positions, plan.problems[problem].margin, chosen)]
        nearest = np.abs(np.log(again)[:, None] - np.log(finals)[None, :]).argmin(axis=1)
        own = noise.setdefault(problem, ProblemNoise({}, weights, seeds - 1))
        own.ends[name] = known.to_numpy()[nearest]
    return ChoiceNoise(noise)


def by_rate(runs: pd.DataFrame, column: str) -> dict[tuple[str, str], pd.DataFrame]:
    """A column by learning rate and seed, of each (problem, optimizer); a problem's tables have its own seeds."""
    whole = runs.pivot(index=["problem", "optimizer", "learning_rate"], columns="seed", values=column)
    present = runs.groupby("problem")["seed"].unique()
    masks = {problem: whole.columns.isin(seeds) for problem, seeds in present.items()}
    return {row: table.loc[:, masks[row[0]]] for row, table in whole.groupby(level=[0, 1])}
