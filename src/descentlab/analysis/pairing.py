"""Final runs of two optimizers, paired by seed and by test example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.choice_noise import NO_NOISE
from descentlab.analysis.remarks import Remark, remark
from descentlab.analysis.statistics.intervals import LEVEL
from descentlab.analysis.statistics.pair_test import PairTest, Wins
from descentlab.analysis.statistics.paired import bootstrap_interval, estimate_crossed, seeds_to_settle
from descentlab.analysis.statistics.stages import ONE_LOOK, Stage
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.problems.base import metric_sign


def scores_by_run(examples: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each final run's metric on every test example, in the order of the examples.

    Example:
        >>> examples = pd.DataFrame({"run_id": ["b", "a", "a"], "example": [0, 1, 0], "score": [0.5, 1.0, 0.0]})
        >>> {run: scores.tolist() for run, scores in scores_by_run(examples).items()}
        {'a': [0.0, 1.0], 'b': [0.5]}
    """
    # Sorted by number, not by id: with runs × examples rows, the ids take most of this stage's memory.
    numbers, ids = pd.factorize(examples["run_id"], sort=True)
    ordered = examples["score"].to_numpy()[np.lexsort((examples["example"], numbers))]
    ends = np.cumsum(np.bincount(numbers, minlength=len(ids)))
    return {str(run): part for run, part in zip(ids, np.split(ordered, ends[:-1]), strict=False)}


ROW = ["problem", "arm", "optimizer"]
Row = tuple[str, str, str]  # values of ROW
PAIRED = ("run_id", "status", "init_hash", "split_hash", "test_metric")


class PairingError(ValueError):
    """Two runs of one seed did not start from the same weights and split, so their difference means nothing."""


class PairedRuns:
    """The final runs of two optimizers on one problem, paired by seed.

    A diverged run has the worst possible result: it loses to any finished run, and a pair of two diverged runs is no
    evidence. Pairs with a failed or missing run are dropped.

    Args:
        first, second: final runs indexed by seed.
        scores: metric of each test example at the end, by run id; where a run is absent, the runs' mean metrics are used.
        where: names the pair in an error message.
        margin: smaller differences are negligible, in the metric's unit.
        choice_noise: what tuning adds to the variance of the mean difference, and its degrees of freedom.

    Raises:
        PairingError: a seed's runs differ in initial weights or split.

    Example:
        >>> def runs(optimizer, *accuracies):
        ...     ids = [f"{optimizer}.{seed}" for seed in range(len(accuracies))]
        ...     same = {"status": "finished", "higher_is_better": True, "init_hash": "weights", "split_hash": "split"}
        ...     return pd.DataFrame({"run_id": ids, "optimizer": optimizer, "test_metric": accuracies, **same})
        >>> pair = PairedRuns(runs("adam", 0.90, 0.92, 0.94), runs("sgd", 0.80, 0.84, 0.82), {}, "mlp", margin=0.01)
        >>> pair.differences.tolist(), pair.test.wins.won
        ([0.1, 0.08, 0.12], 3)
        >>> pair.test.interval()  # 0.1 ± 4.303 · 0.02 / √3
        (0.0503, 0.1497)
    """

    def __init__(
        self,
        first: pd.DataFrame,
        second: pd.DataFrame,
        scores: Mapping[str, np.ndarray],
        where: str,
        margin: float,
        choice_noise: tuple[float, float] = NO_NOISE,
    ) -> None:
        seeds = first.index.union(second.index)
        # Arrays: a comparison of two columns takes pandas longer than all the arithmetic here.
        a, b = ({name: side[name].reindex(seeds).to_numpy() for name in PAIRED} for side in (first, second))
        finished = [side["status"] == "finished" for side in (a, b)]
        diverged = [side["status"] == "diverged" for side in (a, b)]
        # Externally logged runs may lack a test metric.
        both = finished[0] & finished[1] & ~np.isnan(a["test_metric"]) & ~np.isnan(b["test_metric"])
        for column in ("init_hash", "split_hash"):
            differing = (finished[0] | diverged[0]) & (finished[1] | diverged[1]) & (a[column] != b[column])
            if differing.any():
                raise PairingError(
                    f"{where}: the runs of a pair differ in {column}, so they can't be compared; seeds: "
                    f"{', '.join(str(seed) for seed in seeds[differing])}"
                )
        self.sign = metric_sign(bool(first["higher_is_better"].iloc[0]))
        self.seeds = len(seeds)
        self.diverged = {
            str(side["optimizer"].iloc[0]): int(lost.sum())
            for side, lost in zip((first, second), diverged, strict=True)
        }
        lost, won = diverged[0] & finished[1], diverged[1] & finished[0]
        self.dropped = int((~both).sum())
        self.differences = self.sign * (a["test_metric"] - b["test_metric"])[both]
        one_sided = np.r_[np.full(lost.sum(), -np.inf), np.full(won.sum(), np.inf)]
        pairs = list(zip(a["run_id"][both], b["run_id"][both], strict=True))
        of_pairs = [scores.get(run, np.empty(0)) for pair in pairs for run in pair]
        scored = len({len(score) for score in of_pairs}) == 1 and len(of_pairs[0]) > 0
        crossed = None
        if scored:
            by_example = [scores[first_id] - scores[second_id] for first_id, second_id in pairs]
            crossed = estimate_crossed(self.sign * np.stack(by_example))
        self.test = PairTest.of(np.r_[self.differences, one_sided], margin, choice_noise, crossed)

    @property
    def remarks(self) -> list[Remark]:
        """What a reader must know where the sign test judges; otherwise empty."""
        if not self.test.by_wins:
            return []
        divergences = [remark("diverged", name=name, n=n, seeds=self.seeds) for name, n in self.diverged.items() if n]
        return [*divergences, wins_remark(self.test.wins)]

    def judge(self, adjusted: float, family_level: float, stage: Stage = ONE_LOOK) -> dict[str, Any]:
        """A row of the table of contrasts.

        Args:
            adjusted: its p value in its family.
            family_level: its level there, over all looks.
            stage: the look that judges it.
        """
        test, estimate, d, level = self.test, self.test.estimate, self.differences, family_level * stage.share
        deviation = d.std(ddof=1) if len(d) > 1 else np.nan
        low, high = test.interval(level)
        uncorrected = test.interval(LEVEL * stage.share)
        bootstrap = bootstrap_interval(d, 0)
        judged, needed = test.verdict(level), np.nan
        if judged is Verdict.INCONCLUSIVE and not test.by_wins:
            needed = seeds_to_settle(estimate, test.margin, level, stage.later_levels(family_level))
        return {
            "n": len(d),
            "n_dropped": self.dropped,
            "difference_mean": estimate.mean,
            "low": uncorrected[0],
            "high": uncorrected[1],
            "low_corrected": low,
            "high_corrected": high,
            "bca_low": bootstrap[0],
            "bca_high": bootstrap[1],
            "p": test.p,
            "p_corrected": adjusted,
            "effect_size": estimate.mean / deviation if deviation > 0 else np.nan,
            "verdict": judged,
            "example_share": estimate.example_variance / estimate.variance if estimate.variance > 0 else np.nan,
            "choice_share": estimate.choice_variance / estimate.variance if estimate.variance > 0 else np.nan,
            "seeds_needed": needed,
            "floor": estimate.floor((stage.later_levels(family_level) or [(0, level)])[-1][1]),
        }


def wins_remark(wins: Wins) -> Remark:
    """How many of the pairs that differ by more than the margin the first side won."""
    if wins.level:
        return remark("wins, some within", **wins._asdict())
    return remark("wins", won=wins.won, decided=wins.decided)
