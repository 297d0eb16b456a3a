"""The tables of optimizers, the only place that names them: factory, default and grid of learning rates.

``OPTIMIZERS`` are Keras' own, for which ``all`` stands in a config; ``LITERATURE`` those that papers propose and Keras lacks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DECADES_PER_STEP = 0.5
CONFIG, ASSUMED = "config", "assumed"


@dataclass(frozen=True)
class OptimizerEntry:
    """One optimizer of the table.

    Attributes:
        name: its row in config and report.
        factory: ``keras.optimizers`` class name, or an import path ``package.module:ClassOrFactory``.
        center_learning_rate: center of its half-decade grid; None for an optimizer without a learning rate.
        center_source: what recommends the center: a paper, ``CONFIG``, or ``ASSUMED`` where nothing does.
        state_slots: how many variables of the size of the weights it keeps (docs/protocol.md, "Cost").
        paper: where the rule comes from.
        hyperparameters: what differs from the factory's defaults.
        tuned_weight_decay: decoupled weight decay in the ``tuned`` arm; None for the class's own.
        full_batch: one update uses the whole training set.
        equal_updates: full batch with as many updates as the mini-batch optimizers, rather than as many examples.
        default_learning_rate: rate of the ``default`` arm; None for the factory's own default.
        tuned_schedule: learning-rate schedule in the ``tuned`` arm.
        tuned_only: it has no runs in the other arms, as they would repeat those of a row with another schedule.
    """

    name: str
    factory: str
    center_learning_rate: float | None
    center_source: str
    state_slots: float | None
    paper: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    tuned_weight_decay: float | None = None
    full_batch: bool = False
    equal_updates: bool = False
    default_learning_rate: float | None = None
    tuned_schedule: str = "linear"
    tuned_only: bool = False

    def grid(self, points: int) -> list[float] | list[None]:
        """The learning rates to tune over, ascending, half a decade apart; ``[None]`` without a learning rate.

        Example:
            >>> OPTIMIZERS["adam"].grid(5)
            [0.0001, 0.000316, 0.001, 0.00316, 0.01]
        """
        if self.center_learning_rate is None:
            return [None]
        return [self.rate_at(i - points // 2) for i in range(points)]

    def rate_at(self, step: float) -> float:
        """The learning rate that lies ``step`` half-decades above the center (below, where negative).

        Raises:
            ValueError: the optimizer has no learning rate.

        Example:
            >>> OPTIMIZERS["adam"].rate_at(-2)
            0.0001
        """
        return float(f"{self._center() * 10 ** (DECADES_PER_STEP * step):.3g}")

    def step_of(self, learning_rate: float) -> int:
        """The ``step`` whose :meth:`rate_at` is nearest to ``learning_rate``.

        Raises:
            ValueError: the optimizer has no learning rate.

        Example:
            >>> OPTIMIZERS["adam"].step_of(0.03)
            3
        """
        return round(math.log10(learning_rate / self._center()) / DECADES_PER_STEP)

    def _center(self) -> float:
        if self.center_learning_rate is None:
            raise ValueError(f"{self.name} has no learning rate, so its grid has no steps")
        return self.center_learning_rate


# Centers are rates that the literature recommends, so none was found on the problems that it is judged on.
_SLIDES = "Quiroga & Ronchetti, Variantes de Descenso de Gradiente (slides)"
_BENGIO, _HE, _ADAM = (
    (0.01, "Bengio 2012, section 3.1"),
    (0.1, "He et al. 2016"),
    (0.001, "Kingma & Ba 2015, algorithm 1"),
)
_ADAGRAD = (0.01, "Ruder 2016, section 4.3")
_ENTRIES = (
    OptimizerEntry("gd", "SGD", *_BENGIO, 0, f"Cauchy 1847; {_SLIDES}", full_batch=True),
    OptimizerEntry("sgd", "SGD", *_BENGIO, 0, f"Robbins & Monro 1951; {_SLIDES}"),
    OptimizerEntry("momentum", "SGD", *_HE, 1, f"Polyak 1964; {_SLIDES}", {"momentum": 0.9}),
    OptimizerEntry(
        "nesterov",
        "SGD",
        0.1,
        "Zagoruyko & Komodakis 2016",
        1,
        "Nesterov 1983; Sutskever et al. 2013",
        {"momentum": 0.9, "nesterov": True},
    ),
    OptimizerEntry("adagrad", "Adagrad", *_ADAGRAD, 1, f"Duchi et al. 2011; {_SLIDES}"),
    OptimizerEntry("rmsprop", "RMSprop", 0.001, "Ruder 2016, section 4.5", 1, f"Tieleman & Hinton 2012; {_SLIDES}"),
    OptimizerEntry("adam", "Adam", *_ADAM, 2, f"Kingma & Ba 2015; {_SLIDES}"),
    OptimizerEntry("amsgrad", "Adam", *_ADAM, 3, f"Reddi et al. 2018; {_SLIDES}", {"amsgrad": True}),
    OptimizerEntry("adamw", "AdamW", 0.001, "Loshchilov & Hutter 2019, algorithm 2", 2, "Loshchilov & Hutter 2019"),
    OptimizerEntry("adamax", "Adamax", 0.002, "Kingma & Ba 2015, algorithm 2", 2, "Kingma & Ba 2015, section 7.1"),
    OptimizerEntry("nadam", "Nadam", *_ADAM, 2, "Dozat 2016"),
    OptimizerEntry("adadelta", "Adadelta", 1.0, "Zeiler 2012: the rule has no rate", 2, "Zeiler 2012"),
    OptimizerEntry(
        "adafactor", "Adafactor", 0.01, "Shazeer & Stern 2018: min(0.01, 1/√t)", None, "Shazeer & Stern 2018"
    ),
    # Its rate scales the weights themselves (w = −rate · linear / √accumulator), so a rate that decays to zero drives them to
    # zero: full-batch least squares ended 0.45 above the optimum with decay, 2e-8 without (2026-11). Its rates are AdaGrad's.
    OptimizerEntry("ftrl", "Ftrl", *_ADAGRAD, 2, "McMahan et al. 2013", tuned_schedule="constant"),
    OptimizerEntry("lion", "Lion", 0.0002, "Chen et al. 2023: AdamW's, 3 to 10 times smaller", 1, "Chen et al. 2023"),
    OptimizerEntry("lamb", "Lamb", 0.001, "Dahl et al. 2023, middle of the search space", 2, "You et al. 2020"),
    OptimizerEntry("muon", "Muon", 0.02, "Jordan et al. 2024", None, "Jordan et al. 2024; Liu et al. 2025"),
    # The averages of both schedule-free methods stand in for a schedule, and the paper trains them without one.
    OptimizerEntry(
        "schedule_free_adamw",
        "ScheduleFreeAdamW",
        0.003,
        "Defazio et al. 2024: AdamW's, 1 to 10 times larger",
        2,
        "Defazio et al. 2024",
        tuned_schedule="constant",
    ),
)
OPTIMIZERS: Mapping[str, OptimizerEntry] = {entry.name: entry for entry in _ENTRIES}

_PACKAGE = "descentlab.optimizers.literature"
_LITERATURE = (
    OptimizerEntry(
        "signum", f"{_PACKAGE}.signum:Signum", 1e-4, "Bernstein et al. 2018, on ImageNet", 1, "Bernstein et al. 2018"
    ),
    OptimizerEntry(
        "adabelief",
        f"{_PACKAGE}.adabelief:AdaBelief",
        0.001,
        "Zhuang et al. 2020, algorithm 2",
        2,
        "Zhuang et al. 2020",
    ),
    OptimizerEntry(
        "ademamix",
        f"{_PACKAGE}.ademamix:AdEMAMix",
        0.001,
        "Pagliardini et al. 2024, the authors' code",
        3,
        "Pagliardini et al. 2024",
    ),
    OptimizerEntry("adopt", f"{_PACKAGE}.adopt:ADOPT", 0.001, "Taniguchi et al. 2024", 2, "Taniguchi et al. 2024"),
    OptimizerEntry(
        "prodigy",
        f"{_PACKAGE}.prodigy:Prodigy",
        1.0,
        "Mishchenko & Defazio 2023: a factor of the rate that the rule finds",
        4,
        "Mishchenko & Defazio 2023",
    ),
    # Besides two variables of the weights' size, it keeps two square matrices for each of their axes.
    OptimizerEntry(
        "soap", f"{_PACKAGE}.soap:SOAP", 0.003, "Vyas et al. 2024, the authors' code", None, "Vyas et al. 2024"
    ),
    OptimizerEntry(
        "schedule_free_sgd",
        f"{_PACKAGE}.schedule_free_sgd:ScheduleFreeSGD",
        1.0,
        "Defazio et al. 2024, the authors' code: momentum's, 10 to 50 times larger",
        2,
        "Defazio et al. 2024",
        tuned_schedule="constant",
    ),
    OptimizerEntry(
        "lookahead",
        f"{_PACKAGE}.lookahead:lookahead_momentum",
        0.1,
        "Zhang et al. 2019, on ImageNet",
        2,
        "Zhang et al. 2019, around SGD with momentum",
    ),
)
LITERATURE: Mapping[str, OptimizerEntry] = {entry.name: entry for entry in _LITERATURE}

# Public classes of keras.optimizers that aren't optimizers in their own right; a test fails when Keras adds another.
EXCLUDED = {
    "Optimizer": "the base class: it has no update rule",
    "LossScaleOptimizer": "wraps another optimizer to scale the loss in float16; in float32 it is that optimizer",
    "MultiOptimizer": "gives each layer its own optimizer, so it is as many rules as it is given",
    "OptimizerMap": "the assignment that MultiOptimizer reads, not an optimizer",
}
