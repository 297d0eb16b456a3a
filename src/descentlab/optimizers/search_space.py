"""The extended arm: epsilon, momentum and schedule tuned together with the learning rate (docs/protocol.md, "Arms").

Choi et al. 2019 show that rankings of optimizers flip when more than the learning rate is tuned. Every optimizer gets the
same quasi-random points (Halton) of its own space, and the tuned arm's choice as one more: so it can only gain by the
validation metric, and a more general method is never tuned worse than the one it contains for want of a try.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from descentlab.optimizers.build import accepted_hyperparameters, resolve_factory
from descentlab.optimizers.schedules import SCHEDULES
from descentlab.optimizers.table import OptimizerEntry

EPSILONS = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)
MOMENTA = (0.5, 0.8, 0.9, 0.95, 0.99)
RATE_GROWS_FROM = 1e-4  # epsilon from which on it shrinks updates


@dataclass(frozen=True)
class Trial:
    """One point that the extended arm tries.

    Attributes:
        learning_rate: None for an optimizer without one.
        schedule: of the learning rate.
        hyperparameters: what it sets besides.
    """

    learning_rate: float | None
    schedule: str
    hyperparameters: Mapping[str, Any]

    def as_json(self) -> str:
        """The same text for the same trial."""
        return json.dumps(asdict(self), sort_keys=True)


def momentum_name(entry: OptimizerEntry) -> str | None:
    """The hyperparameter that is the optimizer's momentum; None where it has none, as plain SGD."""
    accepted, _ = accepted_hyperparameters(resolve_factory(entry))
    if "beta_1" in accepted:
        return "beta_1"
    plain = entry.factory == "SGD" and not entry.hyperparameters.get("momentum")
    return "momentum" if "momentum" in accepted and not plain else None


def extended_trials(entry: OptimizerEntry, points: int, trials: int) -> list[Trial]:
    """What the extended arm tries: the same quasi-random points for every optimizer, each in its own space.

    A point chooses one of the half-decade grid's learning rates, of MOMENTA, of EPSILONS and of SCHEDULES, as far as the
    optimizer has them; points that fall together in a small space are one trial. Epsilon stands beside the root of the
    squared gradients' mean and shrinks updates where it is the larger, so the grid moves up with its root.

    Args:
        points: of the learning rate's grid.
        trials: quasi-random points.
    """
    from scipy.stats import qmc

    accepted, _ = accepted_hyperparameters(resolve_factory(entry))
    momentum = momentum_name(entry)
    grid = entry.grid(points)
    distinct: dict[str, Trial] = {}
    for place in qmc.Halton(4, scramble=False).random(trials + 1)[1:]:  # the first is the corner

        def pick(choices: Any, axis: int, place: Any = place) -> Any:
            return choices[int(place[axis] * len(choices))]

        rate, hyperparameters = pick(grid, 0), {}
        if momentum:
            hyperparameters[momentum] = pick(MOMENTA, 1)
        if "epsilon" in accepted:
            hyperparameters["epsilon"] = pick(EPSILONS, 2)
        if rate is None:
            trial = Trial(None, "constant", hyperparameters)
        else:
            growth = max(1.0, hyperparameters.get("epsilon", 0.0) / RATE_GROWS_FROM) ** 0.5
            trial = Trial(float(f"{rate * growth:.3g}"), pick(SCHEDULES, 3), hyperparameters)
        distinct[trial.as_json()] = trial
    return list(distinct.values())


def all_trials(tuned_rate: float | None, tuned_schedule: str, trials: Sequence[Trial]) -> list[Trial]:
    """Every trial of an optimizer on a problem, the tuned arm's choice first.

    Args:
        tuned_rate: the tuned arm's choice; None without a learning rate.
        tuned_schedule: the tuned arm's.
        trials: of the optimizer, as :func:`extended_trials` gives them.
    """
    first = Trial(tuned_rate, "constant" if tuned_rate is None else tuned_schedule, {})
    return [first, *(trial for trial in trials if trial != first)]
