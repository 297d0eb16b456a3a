"""Building a Keras optimizer from its entry in the table, with its hyperparameters checked first.

Keras is imported only when a function needs it, so that importing this module stays cheap.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from descentlab.optimizers.arms import Arm
from descentlab.optimizers.copies import lost_in_copy
from descentlab.optimizers.error_line import one_line
from descentlab.optimizers.import_path import ImportPathError, import_object, suggestion

# What decides a run's numbers imports this module, so it must not import the table: a new row makes no other runs.
if TYPE_CHECKING:
    from descentlab.optimizers.table import OptimizerEntry

NOTHING: Mapping[str, Any] = MappingProxyType({})

# Keras accepts these, but the protocol can't account for them.
REFUSED_HYPERPARAMETERS = {"learning_rate_schedule": "the arm sets the schedule"}


class OptimizerError(ValueError):
    """The config names an optimizer that can't be built."""


def resolve_factory(entry: OptimizerEntry) -> Any:
    """The callable that makes the optimizer: a class of Keras, or the reader's own.

    Raises:
        ImportPathError: the import path can't be imported, or what it names can't be called.
    """
    if ":" in entry.factory:
        where = f"optimizer '{entry.name}'"
        factory = import_object(entry.factory, where)
        if not callable(factory):
            raise ImportPathError(
                f"{where}: an import path must name a class or function; '{entry.factory}' is a "
                f"{type(factory).__name__}"
            )
        return factory
    import keras

    return getattr(keras.optimizers, entry.factory)


def accepted_hyperparameters(factory: Any) -> tuple[list[str], bool]:
    """The names that ``factory`` accepts, and whether it accepts any other name as well."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some callables written in C have no signature
        return [], True
    # Keras optimizers take **kwargs only to reject them, so an unknown name is a typo.
    keras_class = inspect.isclass(factory) and factory.__module__.startswith("keras.")
    open_ended = not keras_class and any(p.kind is p.VAR_KEYWORD for p in parameters)
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD], open_ended


def default_learning_rate(entry: OptimizerEntry) -> float | None:
    """Learning rate of the ``default`` arm: the entry's own, or the default in the factory's signature; None without one."""
    if entry.default_learning_rate is not None:
        return entry.default_learning_rate
    if entry.center_learning_rate is None:
        return None
    try:
        parameter = inspect.signature(resolve_factory(entry)).parameters.get("learning_rate")
    except (TypeError, ValueError):  # some callables written in C have no signature
        parameter = None
    if parameter is None or not isinstance(parameter.default, (int, float)):
        return entry.center_learning_rate
    return float(parameter.default)


def arm_hyperparameters(entry: OptimizerEntry, arm: str, extended: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """Hyperparameters in an arm, except the learning rate (docs/protocol.md, "Arms").

    Args:
        entry: the optimizer.
        arm: decides the weight decay.
        extended: hyperparameters that the extended arm sets.
    """
    hyperparameters = {**entry.hyperparameters, **extended}
    if arm != Arm.DEFAULT and entry.tuned_weight_decay is not None:
        hyperparameters.setdefault("weight_decay", entry.tuned_weight_decay)
        if entry.factory == "Muon":
            hyperparameters.setdefault("adam_weight_decay", entry.tuned_weight_decay)
    return hyperparameters


def build(entry: OptimizerEntry, arm: str, learning_rate: float | None, extended: Mapping[str, Any] = NOTHING) -> Any:
    """A new Keras optimizer.

    Args:
        entry: the optimizer.
        arm: decides the weight decay.
        learning_rate: initial rate; None for an optimizer without one.
        extended: hyperparameters that the extended arm sets.

    Raises:
        ImportPathError: the optimizer's import path does not name a callable.
        OptimizerError: a hyperparameter is unknown or not supported, or the factory does not return a Keras optimizer.
    """
    import keras

    factory = resolve_factory(entry)
    where = f"optimizer '{entry.name}'"
    hyperparameters = arm_hyperparameters(entry, arm, extended)
    check_hyperparameters(factory, hyperparameters, where)
    if learning_rate is not None:
        hyperparameters["learning_rate"] = float(learning_rate)
    try:
        optimizer, another = factory(**hyperparameters), factory(**hyperparameters)
    except Exception as error:  # a reader's factory may raise anything; show it with the optimizer's name
        raise OptimizerError(
            f"{where}: {entry.factory} could not be built with {hyperparameters}: {one_line(error)}"
        ) from error
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise OptimizerError(
            f"{where}: '{entry.factory}' must return a keras.optimizers.Optimizer; it returned "
            f"{type(optimizer).__name__}"
        )
    if another is optimizer or optimizer.built:  # it would carry its state from run to run
        optimizer = copied(optimizer, where)
    for name, inner in vars(optimizer).items():
        if isinstance(inner, keras.optimizers.Optimizer) and inner is vars(another).get(name):
            raise OptimizerError(
                f"{where}: every optimizer that '{entry.factory}' returns has the same one as its '{name.lstrip('_')}', which "
                "would carry its state from run to run. Create it inside the factory"
            )
    if learning_rate is not None:
        try:
            optimizer.learning_rate = float(learning_rate)
        except Exception as error:  # a schedule, or several optimizers in one
            raise OptimizerError(
                f"{where}: its learning rate can't be set: {one_line(error)}. Write learning_rate: null, and it keeps its own"
            ) from error
    return optimizer


def copied(optimizer: Any, where: str) -> Any:
    """A new optimizer like one that a factory returns again at every call.

    Raises:
        OptimizerError: its config doesn't have all that it is.
    """
    try:
        copy = type(optimizer).from_config(optimizer.get_config())
        lost = lost_in_copy(optimizer, copy)
    except Exception as error:  # a reader's class may raise anything
        lost = f"config ({one_line(error)})"
    if lost:
        raise OptimizerError(
            f"{where}: its factory returns the same object at every call, which would carry state from run to run, and a copy "
            f"by its config loses its {lost}. Let the factory return a new object"
        )
    return copy


def check_hyperparameters(factory: Any, hyperparameters: Mapping[str, Any], where: str) -> None:
    """Reject names that the factory doesn't know or that the protocol can't account for, and values of the wrong type.

    Raises:
        OptimizerError: names the hyperparameter and the nearest valid one, or the type that it must have.
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
    """What ``value`` must be if its type differs from the default's, else ''; Keras would fail only during training."""
    try:
        parameter = inspect.signature(factory).parameters.get(name)
    except (TypeError, ValueError):  # some callables written in C have no signature
        return ""
    default = None if parameter is None else parameter.default
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if name in {"weight_decay", "adam_weight_decay", "clipnorm", "clipvalue", "global_clipnorm"}:
        return "" if number or value is None else "a number or null"
    return "" if number or not isinstance(default, (int, float)) else "a number"
