"""What the seeds of a plan can detect, before anything is trained.

How much the difference of two optimizers varies from seed to seed is unknown before the runs, so the power is given for
standard deviations of half, once and twice the margin δ: a reader who knows the problem picks the line that applies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from descentlab.analysis.contrasts import PRIMARY, declared_pairs
from descentlab.analysis.statistics.intervals import LEVEL
from descentlab.analysis.statistics.paired import power
from descentlab.analysis.statistics.stages import Stage
from descentlab.experiment.plan import TrainingPlan
from descentlab.optimizers.arms import Arm

ENOUGH = 0.8  # power
TRIALS = 20_000
DEVIATIONS = {"δ/2": 0.5, "δ": 1.0, "2δ": 2.0}
DIFFERING = (0.01, 0.05)  # shares of the test examples


def least_seeds(level: float, enough: float = ENOUGH) -> int:
    """The least number of pairs of seeds that detect a true difference of one standard deviation with probability ``enough``.

    Args:
        level: two-sided level of the test.
        enough: the power to reach.
    """
    n = 2
    while power(n, 1.0, 1.0, level) < enough:
        n += 1
    return n


def example_floor(differing: float, test_examples: int) -> float:
    """Standard error of a difference of accuracies that no seed removes.

    Where two optimizers answer the same share of the test examples differently whatever the seed, each of these
    contributes +1 or −1, and a test split is one draw of ``test_examples``. If answers differ by chance, from seed to seed,
    the remaining error is smaller.

    Args:
        differing: share of the test examples that are answered differently.
        test_examples: size of the test split.
    """
    return math.sqrt(differing / test_examples)


def power_of_looks(
    looks: Sequence[int], deviation: float, level: float, floor: float = 0.0, test_examples: int = 2
) -> float:
    """The probability that some look's paired t test detects a true difference of 1.

    With several looks, or a floor, it is the share of TRIALS simulated experiments, always the same ones.

    Args:
        looks: the seeds of each look, ascending.
        deviation: standard deviation of one seed's difference.
        level: two-sided, of all looks together.
        floor: standard error that no seed removes, due to the test examples.
        test_examples: how many there are, which counts in the degrees of freedom where there is a floor.

    Example:
        >>> power_of_looks([10], deviation=1.0, level=0.05)
        0.803
        >>> power_of_looks([10, 20, 40, 80], deviation=2.0, level=0.05)
        0.986
    """
    if len(looks) == 1 and not floor:
        return power(looks[0], 1.0, deviation, level)
    generator = np.random.default_rng(0)
    differences = 1 + deviation * generator.standard_normal((TRIALS, looks[-1]))
    differences += floor * generator.standard_normal((TRIALS, 1))
    found = np.zeros(TRIALS, dtype=bool)
    for seeds in looks:
        seen = differences[:, :seeds]
        of_seeds, of_examples = seen.var(axis=1, ddof=1) / seeds, floor**2
        variance = of_seeds + of_examples
        # Satterthwaite's degrees of freedom, as in estimate_crossed.
        parts = of_seeds**2 / (seeds - 1) + of_examples**2 / (test_examples - 1)
        p = 2 * special.stdtr(variance**2 / parts, -np.abs(seen.mean(axis=1)) / np.sqrt(variance))
        found |= p < level * Stage.at(looks, seeds).share
    return float(found.mean())


class Foreseen(NamedTuple):
    """What the seeds of a plan can detect on one problem.

    Attributes:
        pairs: of seeds, at the last look.
        level: two-sided level, of all looks together, of the first step of Holm's procedure over the primary contrasts.
        chances: the power to detect a true difference as large as the margin, by the standard deviation of one seed's
            difference in margins; empty for one pair, which has no interval.
        floors: by the share of the test examples that are answered differently in every seed, the standard error that stays
            and the power with it; empty where the metric is no share of right answers.
    """

    pairs: int
    level: float
    chances: dict[float, float]
    floors: dict[float, tuple[float, float]]


def foresee(plan: TrainingPlan) -> dict[str, Foreseen]:
    """For each problem: the power to detect a true difference as large as its margin, and how the test examples limit it."""
    declared = list(declared_pairs(list(plan.optimizers), plan.reference).values())
    level = LEVEL / max(1, declared.count(PRIMARY) * len(plan.config.arms) * len(plan.problems))
    foreseen = {}
    for problem, planned in plan.problems.items():
        looks = plan.config.seeds_of(problem).looks
        n = looks[-1]
        by_deviation = (
            {ratio: power_of_looks(looks, ratio, level) for ratio in DEVIATIONS.values()} if looks[0] > 1 else {}
        )
        floors = dict[float, tuple[float, float]]()
        if by_deviation and planned.metric == "accuracy":
            for share in DIFFERING:
                floor = example_floor(share, planned.test_examples)
                floors[share] = floor, power_of_looks(looks, 1.0, level, floor / planned.margin, planned.test_examples)
        foreseen[problem] = Foreseen(n, level, by_deviation, floors)
    return foreseen


def most_added_runs(plan: TrainingPlan) -> int:
    """The runs that looks add at most: where every primary contrast stays open until the last."""
    declared = declared_pairs(list(plan.optimizers), plan.reference)
    names = {name for pair, kind in declared.items() if kind == PRIMARY for name in pair}
    looks = [plan.config.seeds_of(problem).looks for problem in plan.problems]
    return sum(of[-1] - of[0] for of in looks) * len(names) * len(plan.config.arms)


def power_lines(plan: TrainingPlan) -> list[str]:
    """What :func:`foresee` finds, as sentences."""
    lines, foreseen = [], foresee(plan)
    for problem, (n, level, chances, floors) in foreseen.items():
        planned = plan.problems[problem]
        delta, metric, examples = planned.margin, planned.metric, planned.test_examples
        pairs = f"{n} pair{'' if n == 1 else 's'} of seeds"
        if len(plan.config.seeds_of(problem).looks) > 1:
            pairs = f"up to {pairs}"
        if not chances:
            lines.append(f"{problem}: no power to see any difference, {pairs} has no interval")
            continue
        by_deviation = [
            f"{percent(chances[ratio])} where {delta * ratio:.3g} ({word})" for word, ratio in DEVIATIONS.items()
        ]
        lines.append(
            f"{problem}: power to see a true difference of δ = {delta:.3g} ({metric}) with {pairs} at level {level:.3g}, by the "
            f"standard deviation of one seed's difference: {', '.join(by_deviation)}; 80 % at δ takes {least_seeds(level)} pairs"
        )
        if floors:
            by_share = [
                f"{100 * share:g} %: a standard error of {floor:.2g} stays, and the power at δ is {percent(chance)}"
                for share, (floor, chance) in floors.items()
            ]
            lines.append(
                f"{problem}: {examples:,} test examples, by the share of them that the two answer differently in every seed: "
                f"{'; '.join(by_share)}"
            )
    if Arm.TUNED in plan.config.arms and any(one.chances for one in foreseen.values()):
        lines.append(
            "The power of the tuned arm is lower than that: which learning rate is chosen varies, too, and by how much only the "
            "runs can tell"
        )
    return lines


def percent(share: float) -> str:
    """``61 %``; ``over 99 %`` and ``under 1 %`` where rounding would promise certainty."""
    if share >= 0.995:
        return "over 99 %"
    return "under 1 %" if share < 0.005 else f"{100 * share:.0f} %"
