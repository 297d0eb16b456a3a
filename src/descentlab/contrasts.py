"""Paired differences of final test goodness, over seeds and test examples, with Holm's correction and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as distributions

from descentlab.comparison_tables import fill_table
from descentlab.paired import Estimate, bootstrap_interval, estimate_crossed, estimate_difference, seeds_to_settle
from descentlab.stats import holm, holm_levels, verdict

PRIMARY = (("adam", "sgd"), ("adam", "momentum"))
ADVANCED = ("adagrad", "rmsprop", "adam")  # what the slides call so
ROW = ["problem", "arm", "optimizer"]


class PairingError(ValueError):
    """Two runs of one seed did not start from the same weights and split, so their difference means nothing."""


def declared_pairs(names: list[str], reference: str) -> dict[tuple[str, str], str]:
    """The contrasts of an experiment and whether each is ``primary`` or ``exploratory``, fixed before the runs."""
    pairs = {pair: "primary" for pair in PRIMARY if set(pair) <= set(names)}
    others = [(name, "sgd") for name in ADVANCED] + [(name, reference) for name in names if name != reference]
    for pair in others:
        if set(pair) <= set(names):
            pairs.setdefault(pair, "exploratory")
    return pairs


def contrast(plan: dict[str, Any], finals: pd.DataFrame, scores: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Every declared contrast; Holm's family is one (arm, first, second) over its problems.

    Args:
        finals: final runs.
        scores: metric of each test example at the end, by run id; a pair of which one is absent counts its mean alone.
    """
    by_row = {key: group.set_index("seed") for key, group in finals.groupby(ROW, sort=False)}
    rows = []
    for arm in plan["config"]["arms"]:
        for (first, second), declared in declared_pairs(
            list(plan["optimizers"]), plan["config"]["report"]["reference"]
        ).items():
            family: list[dict[str, Any]] = []
            pairs: list[PairedRuns] = []
            for problem, about in plan["problems"].items():
                a, b = by_row.get((problem, arm, first)), by_row.get((problem, arm, second))
                if a is not None and b is not None:
                    pairs.append(PairedRuns(a, b, scores, f"{problem}, {arm}: {first} and {second}"))
                    family.append({"problem": problem, "arm": arm, "first": first, "second": second,
                                   "declared": declared, "margin": about["margin"]})  # fmt: skip
            p = np.array([pair.p for pair in pairs])
            for row, pair, adjusted, level in zip(family, pairs, holm(p), holm_levels(p), strict=True):
                rows.append({**row, **pair.described(row["margin"], adjusted, level)})
    return fill_table(pd.DataFrame(rows), "contrasts")


class PairedRuns:
    """The final runs of two optimizers on one problem, paired by seed.

    Args:
        first, second: final runs indexed by seed.

    Raises:
        PairingError: a seed's runs differ in initial weights or split.
    """

    def __init__(self, first: pd.DataFrame, second: pd.DataFrame, scores: Mapping[str, np.ndarray], where: str) -> None:
        seeds = first.index.union(second.index)
        a, b = first.reindex(seeds), second.reindex(seeds)
        both = (a["status"] == "finished") & (b["status"] == "finished")
        for column in ("init_hash", "split_hash"):
            differing = both & (a[column] != b[column])
            if differing.any():
                raise PairingError(
                    f"{where}: runs of one seed must have the same {column}; they differ for seeds "
                    f"{', '.join(str(seed) for seed in seeds[differing])}"
                )
        self.sign = 1 if bool(first["higher_is_better"].iloc[0]) else -1
        self.seeds = len(seeds)
        gone = [(side["status"] == "diverged").to_numpy() for side in (a, b)]
        self.diverged = {str(side["optimizer"].iloc[0]): int(lost.sum())
                         for side, lost in zip((first, second), gone, strict=True)}  # fmt: skip
        self.lost, self.won = int((gone[0] & ~gone[1]).sum()), int((gone[1] & ~gone[0]).sum())
        self.dropped = int((~both).sum())
        self.differences = self.sign * (a.loc[both, "test_metric"] - b.loc[both, "test_metric"]).to_numpy(np.float64)
        pairs = list(zip(a.loc[both, "run_id"], b.loc[both, "run_id"], strict=True))
        known = bool(pairs) and all(run in scores for pair in pairs for run in pair)
        self.estimate: Estimate = (
            estimate_crossed(self.sign * np.stack([scores[one] - scores[other] for one, other in pairs]))
            if known
            else estimate_difference(self.differences)
        )

    @property
    def one_sided(self) -> bool:
        """Whether some pair was lost because one of its runs alone diverged: then a mean would leave the worst out."""
        return self.lost + self.won > 0

    @property
    def wins(self) -> tuple[int, int]:
        """Pairs that the first won, and pairs with a winner; a run that diverged lost."""
        return (int((self.differences > 0).sum()) + self.won,
                int((self.differences != 0).sum()) + self.won + self.lost)  # fmt: skip

    @property
    def p(self) -> float:
        """Of the paired t test; of the sign test where a divergence is one-sided."""
        if self.one_sided:
            return float(distributions.binomtest(*self.wins).pvalue)
        return self.estimate.p

    def described(self, margin: float, adjusted: float, level: float) -> dict[str, Any]:
        """A row of the table of contrasts, judged at Holm's ``level``."""
        found, d = self.estimate, self.differences
        deviation = d.std(ddof=1) if len(d) > 1 else np.nan
        low, high = found.interval(level)
        plain, boot = found.interval(), bootstrap_interval(d, 0)
        judged = verdict(low, high, found.mean, found.n, margin)
        needed = seeds_to_settle(found, margin, level) if judged == "inconclusive" else np.nan
        note = ""
        if self.one_sided:
            judged, needed = self.judged_by_wins(level), np.nan
            note = "; ".join(f"{name} diverged on {n} of {self.seeds} seeds" for name, n in self.diverged.items() if n)
            note += f"; judged by wins, {self.wins[0]} of {self.wins[1]}"
        return {
            "n": len(d), "n_dropped": self.dropped, "difference_mean": found.mean, "low": plain[0], "high": plain[1],
            "low_holm": low, "high_holm": high, "bca_low": boot[0], "bca_high": boot[1], "p": self.p, "p_holm": adjusted,
            "effect_size": found.mean / deviation if deviation > 0 else np.nan, "verdict": judged, "note": note,
            "example_share": found.example_variance / found.variance if found.variance > 0 else np.nan,
            "seeds_needed": needed,
        }  # fmt: skip

    def judged_by_wins(self, level: float) -> str:
        """The sign test's verdict: it needs no mean, so a divergence can count as the worst possible."""
        share = distributions.binomtest(*self.wins).proportion_ci(1 - level)
        return "better" if share.low > 0.5 else "worse" if share.high < 0.5 else "inconclusive"
