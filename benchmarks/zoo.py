"""Every model of the tests' zoo against ``model.fit``: none may be slower, and how much faster they are in the middle.

Needs ``tests`` on the path.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from benchmarks.engine_against_fit import Case, compare_with_fit
from benchmarks.rows import Row
from descentlab.training.engine.trainable import with_built_models

EPOCHS = 5
SLOWEST_GOAL, MEAN_GOAL = 1.0, 5.0


def zoo_case(name: str) -> Case:
    """A model of the zoo; that it is trained as by ``fit`` is the matter of ``make zoo``, so that losses may differ here."""
    from models import zoo

    problem = zoo.problem(name)
    data = problem.load_data(None)
    problem = with_built_models(replace(problem, stratified=False), data)
    return Case(problem, data, SLOWEST_GOAL, fit_epochs=EPOCHS, engine_epochs=EPOCHS, tolerance=math.inf)


def compare_zoo(repeats: int) -> list[Row]:
    """The slowest model, and the geometric mean of all."""
    from models import zoo

    ratios, modes = {}, {}
    for name in zoo.places():
        timing = compare_with_fit(zoo_case(name), repeats)
        ratios[name], modes[name] = timing.ratios, timing.mode
    slowest = min(ratios, key=lambda name: float(np.median(ratios[name])))
    means = np.exp(np.mean([np.log(values) for values in ratios.values()], axis=0))
    details = {"models": {name: {"mode": modes[name], "ratio": float(np.median(ratios[name]))} for name in ratios}}
    return [
        Row(
            f"{slowest}, the slowest of {len(ratios)} models of the zoo, against `model.fit`",
            ratios[slowest].tolist(),
            SLOWEST_GOAL,
        ),
        Row(
            f"geometric mean of {len(ratios)} models of the zoo, against `model.fit`",
            means.tolist(),
            MEAN_GOAL,
            details=details,
        ),
    ]
