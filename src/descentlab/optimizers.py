"""The table of optimizers: one entry each, and the only place that names them.

Nothing here imports Keras before :func:`build` is called, so that a workflow can be planned without it.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

DECADES_PER_STEP = 0.5
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class OptimizerEntry:
    """One optimizer of the table.

    Attributes:
        name: its row in config and report.
        factory: ``keras.optimizers`` class name, or an import path ``package.module:ClassOrFactory``.
        centre_learning_rate: middle of its half-decade grid; None for an optimizer without a learning rate.
        state_slots: variables of the size of the weights that it keeps (protocol, section 7).
        paper: where the rule comes from.
        hyperparameters: what differs from the factory's defaults.
        tuned_weight_decay: decoupled weight decay in the ``tuned`` arm; 0 but where it is the optimizer's point.
        full_batch: one update uses the whole training set.
        equal_updates: full batch with as many updates as the mini-batch optimizers, instead of as many examples.
        default_learning_rate: rate of the ``default`` arm; None for the factory's own default.
        tuned_schedule: of the learning rate in the ``tuned`` arm.
    """

    name: str
    factory: str
    centre_learning_rate: float | None
    state_slots: float | None
    paper: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    tuned_weight_decay: float | None = None
    full_batch: bool = False
    equal_updates: bool = False
    default_learning_rate: float | None = None
    tuned_schedule: str = "linear"

    def grid(self, points: int) -> list[float]:
        """The learning rates to tune over, ascending, half a decade apart; ``[nan]`` without a learning rate."""
        if self.centre_learning_rate is None:
            return [float("nan")]
        return [self.rate_at(i - points // 2) for i in range(points)]

    def rate_at(self, step: float) -> float:
        """The learning rate that lies ``step`` half-decades above the centre (below, where negative)."""
        if self.centre_learning_rate is None:
            return float("nan")
        return float(f"{self.centre_learning_rate * 10 ** (DECADES_PER_STEP * step):.3g}")

    def step_of(self, learning_rate: float) -> int:
        """The ``step`` of which :meth:`rate_at` is nearest to ``learning_rate``; 0 without a learning rate."""
        if self.centre_learning_rate is None:
            return 0
        return round(math.log10(learning_rate / self.centre_learning_rate) / DECADES_PER_STEP)


# Centres: the middle of the best rates (by validation) on the problems of the default experiment, found by tuning over
# grids one step lower (2026-11), where most optima of the convex problems lay on the upper edge.
_SLIDES = "Quiroga & Ronchetti, Variantes de Descenso de Gradiente (slides)"

_ENTRIES = (
    OptimizerEntry("gd", "SGD", 1.0, 0, f"Cauchy 1847; {_SLIDES}", full_batch=True),
    OptimizerEntry("sgd", "SGD", 0.3, 0, f"Robbins & Monro 1951; {_SLIDES}"),
    OptimizerEntry("momentum", "SGD", 0.1, 1, f"Polyak 1964; {_SLIDES}", {"momentum": 0.9}),
    OptimizerEntry(
        "nesterov", "SGD", 0.1, 1, "Nesterov 1983; Sutskever et al. 2013", {"momentum": 0.9, "nesterov": True}
    ),
    OptimizerEntry("adagrad", "Adagrad", 0.3, 1, f"Duchi et al. 2011; {_SLIDES}"),
    OptimizerEntry("rmsprop", "RMSprop", 0.01, 1, f"Tieleman & Hinton 2012; {_SLIDES}"),
    OptimizerEntry("adam", "Adam", 0.01, 2, f"Kingma & Ba 2015; {_SLIDES}"),
    OptimizerEntry("amsgrad", "Adam", 0.01, 3, f"Reddi et al. 2018; {_SLIDES}", {"amsgrad": True}),
    OptimizerEntry("adamw", "AdamW", 0.01, 2, "Loshchilov & Hutter 2019", tuned_weight_decay=0.004),
    OptimizerEntry("adamax", "Adamax", 0.1, 2, "Kingma & Ba 2015, section 7.1"),
    OptimizerEntry("nadam", "Nadam", 0.01, 2, "Dozat 2016"),
    OptimizerEntry("adadelta", "Adadelta", 10.0, 2, "Zeiler 2012"),
    OptimizerEntry("adafactor", "Adafactor", 0.03, None, "Shazeer & Stern 2018"),
    # Its rate scales the weights themselves (w = −rate · linear / √accumulator), so decay to zero takes them to zero: least
    # squares in full batch ended 0.45 above the optimum with decay, 2e-8 without (2026-11).
    OptimizerEntry("ftrl", "Ftrl", 1.0, 2, "McMahan et al. 2013", tuned_schedule="constant"),
    OptimizerEntry("lion", "Lion", 0.003, 1, "Chen et al. 2023"),
    OptimizerEntry("lamb", "Lamb", 0.01, 2, "You et al. 2020"),
    OptimizerEntry("muon", "Muon", 0.03, None, "Jordan et al. 2024; Liu et al. 2025", tuned_weight_decay=0.004),
    OptimizerEntry(
        "schedule_free_adamw", "ScheduleFreeAdamW", 0.03, 2, "Defazio et al. 2024", tuned_weight_decay=0.004
    ),
)

OPTIMIZERS: Mapping[str, OptimizerEntry] = {entry.name: entry for entry in _ENTRIES}

# Public classes of keras.optimizers that are no optimizer of their own; a test fails when Keras adds one unlisted.
EXCLUDED = {
    "Optimizer": "the base class: it has no update rule",
    "LossScaleOptimizer": "wraps another optimizer to scale the loss in float16; in float32 it is that optimizer",
    "MultiOptimizer": "gives each layer an optimizer of its own; it is as many rules as it is given",
    "OptimizerMap": "the assignment that MultiOptimizer reads, not an optimizer",
}

# What Keras accepts and this protocol can't account for: an update would no longer be one batch, or the weights that
# are evaluated no longer those that the update left.
REFUSED_HYPERPARAMETERS = {
    "use_ema": "evaluated weights would be an average that the last update did not leave",
    "ema_momentum": "belongs to use_ema",
    "ema_overwrite_frequency": "belongs to use_ema",
    "gradient_accumulation_steps": "an update would no longer be one batch",
    "loss_scale_factor": "meant for float16, in which nothing is trained here",
    "learning_rate_schedule": "the arm sets the schedule",
}


class OptimizerError(ValueError):
    """An optimizer can't be made from what the config says."""


def suggestion(received: str, valid: list[str] | Mapping[str, Any]) -> str:
    """How a sentence on an unknown word ends: ``, did you mean 'x'?`` with the nearest valid word, or a full stop."""
    by_lower = {name.lower(): name for name in valid}
    near = difflib.get_close_matches(received.lower(), list(by_lower), n=1, cutoff=0.6)
    return f", did you mean '{by_lower[near[0]]}'?" if near else "."


def one_line(error: Exception) -> str:
    """Type and message of an error that others raised, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def import_object(path: str, where: str) -> Any:
    """The object that ``package.module:name`` names.

    Raises:
        OptimizerError: it doesn't import, or the module has no such name.
    """
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module of the reader's own may raise anything while it is imported
        raise OptimizerError(
            f"{where}: an import path must import; received '{path}', which raised {one_line(error)}"
        ) from error
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise OptimizerError(
            f"{where}: an import path is 'package.module:name'; module '{module_name}' has no '{attribute}'"
            f"{suggestion(attribute, names)} It has: {', '.join(sorted(names))}"
        )
    return getattr(module, attribute)


def resolve_factory(entry: OptimizerEntry) -> Any:
    """The callable that makes the optimizer: a class of Keras, or the reader's own.

    Raises:
        OptimizerError: an import path doesn't import, or names nothing that can be called.
    """
    if ":" in entry.factory:
        where = f"optimizer '{entry.name}'"
        factory = import_object(entry.factory, where)
        if not callable(factory):
            raise OptimizerError(
                f"{where}: an import path must name a class or function; '{entry.factory}' is a "
                f"{type(factory).__name__}"
            )
        return factory
    import keras

    return getattr(keras.optimizers, entry.factory)


def accepted_hyperparameters(factory: Any) -> tuple[list[str], bool]:
    """Names that ``factory`` accepts, and whether it accepts any other too."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some callables written in C have none
        return [], True
    # Keras optimizers take **kwargs only to refuse them: an unknown name is a typo.
    keras_class = inspect.isclass(factory) and factory.__module__.startswith("keras.")
    open_ended = not keras_class and any(p.kind is p.VAR_KEYWORD for p in parameters)
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD], open_ended


def default_learning_rate(entry: OptimizerEntry) -> float:
    """Rate of the ``default`` arm: the entry's own, or the default in the factory's signature; NaN without one."""
    if entry.default_learning_rate is not None:
        return entry.default_learning_rate
    if entry.centre_learning_rate is None:
        return float("nan")
    try:
        parameter = inspect.signature(resolve_factory(entry)).parameters.get("learning_rate")
    except (TypeError, ValueError):  # some callables written in C have none
        parameter = None
    if parameter is None or not isinstance(parameter.default, (int, float)):
        return entry.centre_learning_rate
    return float(parameter.default)


def arm_hyperparameters(entry: OptimizerEntry, arm: str, extended: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """Hyperparameters in an arm, learning rate apart (protocol, section 1); ``extended``: what the extended arm sets."""
    hyperparameters = {**entry.hyperparameters, **extended}
    if arm != "default" and entry.tuned_weight_decay is not None:
        hyperparameters.setdefault("weight_decay", entry.tuned_weight_decay)
        if entry.factory == "Muon":
            hyperparameters.setdefault("adam_weight_decay", entry.tuned_weight_decay)
    return hyperparameters


def build(entry: OptimizerEntry, arm: str, learning_rate: float, extended: Mapping[str, Any] = NOTHING) -> Any:
    """A new Keras optimizer.

    Args:
        entry: the optimizer.
        arm: decides the weight decay.
        learning_rate: initial rate; NaN for an optimizer without one.
        extended: hyperparameters that the extended arm sets.

    Raises:
        OptimizerError: a hyperparameter is unknown or refused, or the factory yields no Keras optimizer.
    """
    import keras

    factory = resolve_factory(entry)
    where = f"optimizer '{entry.name}'"
    hyperparameters = arm_hyperparameters(entry, arm, extended)
    check_hyperparameters(factory, hyperparameters, where)
    if learning_rate == learning_rate:
        hyperparameters["learning_rate"] = float(learning_rate)
    try:
        optimizer = factory(**hyperparameters)
    except Exception as error:  # whatever the factory objects to, the reader must see it with the optimizer's name
        raise OptimizerError(
            f"{where}: {entry.factory} could not be made with {hyperparameters}; {one_line(error)}"
        ) from error
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise OptimizerError(
            f"{where}: an import path must yield a keras.optimizers.Optimizer; '{entry.factory}' gave "
            f"{type(optimizer).__name__}"
        )
    return optimizer


def check_hyperparameters(factory: Any, hyperparameters: Mapping[str, Any], where: str) -> None:
    """Refuse names that the factory doesn't know or that the protocol can't account for, and values of a wrong type.

    Raises:
        OptimizerError: naming the hyperparameter, and the nearest valid one or what it must be.
    """
    accepted, open_ended = accepted_hyperparameters(factory)
    for name, value in hyperparameters.items():
        if name in REFUSED_HYPERPARAMETERS:
            raise OptimizerError(f"{where}: '{name}' is not supported: {REFUSED_HYPERPARAMETERS[name]}")
        if name not in accepted and not open_ended:
            hint = ", did you mean 'learning_rate'?" if name in {"lr", "alpha"} else suggestion(name, accepted)
            valid = [a for a in accepted if a not in REFUSED_HYPERPARAMETERS]
            raise OptimizerError(f"{where}: unknown hyperparameter '{name}'{hint} Valid: {', '.join(valid)}")
        if rule := type_rule(factory, name, value):
            raise OptimizerError(f"{where}: '{name}' must be {rule}; received {value!r}")


def type_rule(factory: Any, name: str, value: Any) -> str:
    """What ``value`` must be, where its default says so and it isn't; Keras would only find out while it trains."""
    try:
        parameter = inspect.signature(factory).parameters.get(name)
    except (TypeError, ValueError):  # some callables written in C have none
        return ""
    default = None if parameter is None else parameter.default
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, (int, float)):
        return "" if number else "a number"
    optional = name in {"weight_decay", "clipnorm", "clipvalue", "global_clipnorm"}
    return "" if number or value is None or not optional else "a number or null"


def evaluation_weights(optimizer: Any, weights: list[Any]) -> list[Any] | None:
    """Weights to evaluate where they are not those that are trained, None otherwise.

    ScheduleFreeAdamW trains y and keeps z; its result is the average x, with y = (1 - β1) z + β1 x (Defazio et al.
    2024, equation 1). Keras' ``fit`` leaves y in the model.
    """
    import keras

    if not isinstance(optimizer, keras.optimizers.ScheduleFreeAdamW):
        return None
    beta = optimizer.beta_1
    return [(y.value - (1 - beta) * z.value) / beta for y, z in zip(weights, optimizer._momentums, strict=True)]
