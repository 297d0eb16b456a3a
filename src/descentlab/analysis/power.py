"""What the seeds of a plan can see, before anything is trained.

How far a seed's difference of two optimizers scatters is not known before the runs, so the power is given for scatters of
half, once and twice the margin δ: a reader who knows the problem finds the line that holds.
"""

from __future__ import annotations

import math

from descentlab.analysis.statistics.paired import power
from descentlab.experiment.plan import TrainingPlan

ALPHA, ENOUGH = 0.05, 0.8
DEVIATIONS = {"δ/2": 0.5, "δ": 1.0, "2δ": 2.0}
DIFFERING = (0.01, 0.05)  # shares of the test examples


def least_seeds(level: float, enough: float = ENOUGH) -> int:
    """The least number of pairs of seeds that see a true difference of one standard deviation with probability ``enough``.

    Args:
        level: two-sided.
    """
    n = 2
    while power(n, 1.0, 1.0, level) < enough:
        n += 1
    return n


def example_floor(differing: float, test_examples: int) -> float:
    """Standard error of a difference of accuracies that no seed removes.

    Where two optimizers answer the same share of the test examples differently whatever the seed, each of these is worth
    +1 or −1, and a test split is one draw of ``test_examples``. Answers that differ by chance, from seed to seed, leave
    less.

    Args:
        differing: share of the test examples.
    """
    return math.sqrt(differing / test_examples)


def power_lines(plan: TrainingPlan) -> list[str]:
    """For each problem: the power to see a true difference of its margin, and what the test examples take from it.

    At Holm's first step, with as many pairs as there are final seeds.
    """
    n, level = plan.config.seeds.final, ALPHA / len(plan.problems)
    pairs, least = f"{n} pair{'' if n == 1 else 's'} of seeds", least_seeds(level)
    lines = []
    for problem, planned in plan.problems.items():
        delta, metric, examples = planned.margin, planned.metric, planned.test_examples
        if n < 2:
            lines.append(f"{problem}: no power to see any difference, {pairs} has no interval")
            continue
        chances = [
            f"{percent(power(n, 1.0, ratio, level))} where {delta * ratio:.3g} ({word})"
            for word, ratio in DEVIATIONS.items()
        ]
        lines.append(
            f"{problem}: power to see a true difference of δ = {delta:.3g} ({metric}) with {pairs} at level {level:.3g}, by the "
            f"standard deviation of one seed's difference: {', '.join(chances)}; 80 % at δ takes {least} pairs"
        )
        if metric == "accuracy":
            floors = []
            for share in DIFFERING:
                floor = example_floor(share, examples)
                chance = percent(power(n, delta, delta, level, floor))
                floors.append(
                    f"{100 * share:g} %: a standard error of {floor:.2g} stays, and the power at δ is {chance}"
                )
            lines.append(
                f"{problem}: {examples:,} test examples, by the share of them that the two answer differently in every seed: "
                f"{'; '.join(floors)}"
            )
    return lines


def percent(share: float) -> str:
    """``61 %``; ``over 99 %`` and ``under 1 %`` where rounding would promise certainty."""
    if share >= 0.995:
        return "over 99 %"
    return "under 1 %" if share < 0.005 else f"{100 * share:.0f} %"
