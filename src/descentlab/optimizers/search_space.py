"""The extended arm: epsilon, momentum and schedule tuned together with the learning rate (docs/protocol.md, "Arms").

Choi et al. 2019 show that rankings of optimizers flip when more than the learning rate is tuned. Every optimizer gets the
same quasi-random points (Halton) in its own space, plus the tuned arm's choice. So by the validation metric it can only
gain, and a more general method is never tuned worse than its special case for lack of a trial.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from descentlab.optimizers.build import accepted_hyperparameters, resolve_factory
from descentlab.optimizers.schedules import TUNED_SCHEDULES
from descentlab.optimizers.table import OptimizerEntry

EPSILONS = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)
MOMENTA = (0.5, 0.8, 0.9, 0.95, 0.99)
RATE_GROWS_FROM = 1e-4  # a larger epsilon shrinks the updates


@dataclass(frozen=True)
class Trial:
    """One point that the extended arm tries.

    Attributes:
        learning_rate: None for an optimizer without one.
        schedule: learning-rate schedule.
        hyperparameters: the other hyperparameters that it sets.
    """

    learning_rate: float | None
    schedule: str
    hyperparameters: Mapping[str, Any]

    def as_json(self) -> str:
        """The trial as JSON; equal trials have equal text."""
        return json.dumps(asdict(self), sort_keys=True)


def momentum_name(entry: OptimizerEntry) -> str | None:
    """The hyperparameter that is the optimizer's momentum; None if it has none, like plain SGD."""
    accepted, _ = accepted_hyperparameters(resolve_factory(entry))
    if "beta_1" in accepted:
        return "beta_1"
    plain = entry.factory == "SGD" and not entry.hyperparameters.get("momentum")
    return "momentum" if "momentum" in accepted and not plain else None


def extended_trials(entry: OptimizerEntry, points: int, trials: int) -> list[Trial]:
    """What the extended arm tries: the same quasi-random points for every optimizer, each in its own space.

    A point chooses one learning rate of the half-decade grid and one each of MOMENTA, EPSILONS and TUNED_SCHEDULES, as far as
    the optimizer has them; points that coincide in a small space are one trial. Epsilon is added to the root of the mean
    squared gradient and shrinks updates where it is the larger of the two, so the grid moves up with the root of epsilon.

    Args:
        entry: the optimizer.
        points: size of the learning-rate grid.
        trials: number of quasi-random points.
    """
    from scipy.stats import qmc

    accepted, _ = accepted_hyperparameters(resolve_factory(entry))
    momentum = momentum_name(entry)
    grid = entry.grid(points)
    distinct: dict[str, Trial] = {}
    for point in qmc.Halton(4, scramble=False).random(trials + 1)[1:]:  # the first is always the corner

        def pick(choices: Any, axis: int, point: Any = point) -> Any:
            return choices[int(point[axis] * len(choices))]

        rate, hyperparameters = pick(grid, 0), {}
        if momentum:
            hyperparameters[momentum] = pick(MOMENTA, 1)
        if "epsilon" in accepted:
            hyperparameters["epsilon"] = pick(EPSILONS, 2)
        if rate is None:
            trial = Trial(None, "constant", hyperparameters)
        else:
            growth = max(1.0, hyperparameters.get("epsilon", 0.0) / RATE_GROWS_FROM) ** 0.5
            trial = Trial(float(f"{rate * growth:.3g}"), pick(TUNED_SCHEDULES, 3), hyperparameters)
        distinct[trial.as_json()] = trial
    return list(distinct.values())


def all_trials(
    tuned_rate: float | None, tuned_schedule: str, trials: Sequence[Trial], center: float | None
) -> list[Trial]:
    """Every trial of an optimizer on a problem: the tuned arm's choice first, and the others' rates moved to lie around it.

    Args:
        tuned_rate: the tuned arm's learning rate; None for an optimizer without one.
        tuned_schedule: the tuned arm's schedule.
        trials: the optimizer's other trials, from :func:`extended_trials`.
        center: the rate around which theirs lie.
    """
    first = Trial(tuned_rate, "constant" if tuned_rate is None else tuned_schedule, {})
    factor = 1.0 if tuned_rate is None or center is None else tuned_rate / center
    moved = [
        trial
        if trial.learning_rate is None
        else replace(trial, learning_rate=float(f"{trial.learning_rate * factor:.3g}"))
        for trial in trials
    ]
    return [first, *(trial for trial in moved if trial != first)]
