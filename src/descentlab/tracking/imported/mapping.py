"""The mapping of ``report --mlflow-experiment``: what each parameter and metric of a logged run stands for.

Runs logged by Keras' autologging, or under the usual names, need none.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from descentlab.experiment.config import first_line, read_yaml
from descentlab.experiment.config_values import NAME_PATTERN, PositiveInt, Rate, StrictModel, check_name
from descentlab.experiment.optimizer_config import table_entry
from descentlab.experiment.settings import ReportConfig
from descentlab.optimizers.table import OPTIMIZERS

# Metrics in the order of preference, and whether higher is better.
USUAL_METRICS = {
    "accuracy": True,
    "acc": True,
    "sparse_categorical_accuracy": True,
    "categorical_accuracy": True,
    "binary_accuracy": True,
    "auc": True,
    "mae": False,
    "mean_absolute_error": False,
    "mse": False,
    "mean_squared_error": False,
    "loss": False,
}
AUTOLOGGED = ("optimizer_", "opt_")  # what Keras' and TensorFlow's autologging put before an optimizer's own settings
INSTANCE = re.compile(r"_\d+$")  # Keras numbers the optimizers that a process makes: adam, adam_1, adam_2
ABSENT = ("", "None", "nan")  # how MLflow stores None
_SWITCHES = {"True": "1", "true": "1", "False": "0", "false": "0"}


class MappingError(ValueError):
    """The mapping is invalid; the message says where, what was received and what is valid."""


def _listed(value: Any) -> Any:
    """One name is a list of one."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class ParamsMapping(StrictModel):
    """Names of parameters (or tags); of several, the first that a run has is used."""

    optimizer: Names = ("optimizer", "optimizer_name", "opt_name")
    learning_rate: Names = ("learning_rate", "lr", "optimizer_learning_rate", "opt_learning_rate")
    seed: Names = ("seed", "random_seed", "random_state")
    problem: Names = Field(default=("problem",), description="without it, one problem named after the experiment")
    batch_size: Names = ("batch_size",)
    epochs: Names = ("epochs",)
    updates_per_epoch: Names = ("updates_per_epoch", "steps_per_epoch")


class MetricsMapping(StrictModel):
    """The metric that the report compares, and the names under which metrics and losses were logged."""

    name: str | None = Field(default=None, description=f"the first of {', '.join(USUAL_METRICS)} that was logged")
    higher_is_better: bool | None = Field(default=None, description="known for the usual metrics")
    margin: Rate | None = Field(
        default=None, description="smaller differences are negligible; 0.01 of an accuracy, 1 % of the median otherwise"
    )
    train: Names | None = Field(default=None, description="NAME, train_NAME, training_NAME")
    validation: Names | None = Field(default=None, description="val_NAME, valid_NAME, validation_NAME")
    test: Names | None = Field(default=None, description="test_NAME")
    train_loss: Names = ("loss", "train_loss", "training_loss")
    validation_loss: Names = ("val_loss", "valid_loss", "validation_loss")
    test_loss: Names = ("test_loss",)

    @model_validator(mode="after")
    def _direction(self) -> MetricsMapping:
        if self.name is None and (self.train or self.validation or self.test):
            raise ValueError("name: must be set where train, validation or test is")
        if self.name is not None and self.higher_is_better is None and self.name not in USUAL_METRICS:
            raise ValueError(
                f"higher_is_better: must be true or false for '{self.name}'; it is known only for {', '.join(USUAL_METRICS)}"
            )
        return self


class RunMapping(StrictModel):
    """What the parameters, tags and metrics of logged runs stand for."""

    params: ParamsMapping = ParamsMapping()
    metrics: MetricsMapping = MetricsMapping()
    optimizers: dict[str, str] = Field(default={}, description="logged optimizer to its name in the report")
    step: Literal["epoch", "update"] = Field(default="epoch", description="what the steps of the metrics count")
    first_epoch: int | None = Field(
        default=None,
        strict=True,
        description="the step logged after the first epoch; by default the lowest one",
    )
    batch_size: PositiveInt | None = Field(default=None, description="of runs without the parameter")
    updates_per_epoch: PositiveInt | None = Field(default=None, description="of runs without the parameter")
    filter: str = Field(default="", description="an MLflow search that selects runs, such as \"params.model = 'cnn'\"")
    report: ReportConfig = ReportConfig()

    @field_validator("optimizers")
    @classmethod
    def _plain(cls, names: dict[str, str]) -> dict[str, str]:
        return {logged: check_name(name) for logged, name in names.items()}


@dataclass(frozen=True)
class LoggedMetric:
    """The metric that is compared, and the names to look for on each split."""

    name: str
    higher_is_better: bool
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def load_mapping(path: Path | None) -> RunMapping:
    """Read and check a YAML file; without one, the usual names apply.

    Raises:
        ConfigError: the file can't be read or isn't YAML.
        MappingError: it isn't a valid mapping.
    """
    if path is None:
        return RunMapping()
    raw = read_yaml(path, "mapping")
    if not isinstance(raw, dict):
        raise MappingError(f"{path}: a mapping must have keys and values; received {type(raw).__name__}")
    try:
        return RunMapping.model_validate(raw)
    except ValidationError as error:
        raise MappingError(f"{path}: {first_line(error, RunMapping)}") from None


def choose_metric(mapping: MetricsMapping, logged: Collection[str]) -> LoggedMetric:
    """The metric that the mapping names, else the first usual one with a logged validation or test value.

    Args:
        logged: names of all metrics of the runs.
    """
    name = mapping.name
    if name is None:
        usable = (usual for usual in USUAL_METRICS if set(logged) & {*_validation_names(usual), f"test_{usual}"})
        name = next(usable, "loss")
    higher = USUAL_METRICS[name] if mapping.higher_is_better is None else mapping.higher_is_better
    return LoggedMetric(
        name,
        higher,
        mapping.train or (name, f"train_{name}", f"training_{name}"),
        mapping.validation or _validation_names(name),
        mapping.test or (f"test_{name}",),
    )


def _validation_names(name: str) -> tuple[str, ...]:
    return f"val_{name}", f"valid_{name}", f"validation_{name}"


def first_of(names: tuple[str, ...], values: Mapping[str, str]) -> str | None:
    """The value of the first of ``names`` that is logged and isn't None."""
    return next((values[name] for name in names if values.get(name, "") not in ABSENT), None)


def logged_optimizer(names: tuple[str, ...], values: Mapping[str, str]) -> str | None:
    """What a run calls its optimizer, without the number that Keras gives to an instance; None if it names none."""
    parameter = next((name for name in names if first_of((name,), values) is not None), None)
    if parameter is None:
        return None
    return INSTANCE.sub("", values[parameter]) if parameter.startswith(AUTOLOGGED) else values[parameter]


def plain_name(text: str) -> str:
    """``text`` as a name that is valid in paths and ids.

    Example:
        >>> plain_name("two moons/large")
        'two_moons_large'
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:64]
    return name if NAME_PATTERN.fullmatch(name) else "unnamed"


def plain_names(texts: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A plain name for each text; different texts get different names, none of them among ``taken``.

    Example:
        >>> plain_names(["a/b", "a_b"])
        {'a/b': 'a_b', 'a_b': 'a_b_2'}
    """
    names: dict[str, str] = {}
    used = set(taken)
    for text in sorted(set(texts)):
        first = plain_name(text)
        numbered = (f"{first[:60]}_{n}" for n in itertools.count(2))
        name = first if first not in used else next(one for one in numbered if one not in used)
        names[text] = name
        used.add(name)
    return names


def name_optimizer(logged: str, values: Mapping[str, str], names: Mapping[str, str]) -> str:
    """An optimizer's name in the report: the one in ``names``, else the one in the table of optimizers.

    Autologging calls both plain SGD and SGD with momentum ``SGD``. The settings by which the table distinguishes optimizers
    of one class are read from ``values``; if the table has no optimizer with these settings, they become part of the name.

    Args:
        logged: what the run calls it.
        values: the run's parameters and tags.
        names: the mapping's ``optimizers``, and the names of optimizers that the table doesn't have.

    Example:
        >>> name_optimizer("SGD", {"opt_momentum": "0.9"}, {})
        'momentum'
        >>> name_optimizer("SGD", {"opt_momentum": "0.5"}, {})
        'sgd_momentum_0_5'
        >>> name_optimizer("torch.SGD", {}, {"torch.SGD": "theirs"})
        'theirs'
    """
    if logged in names:
        return names[logged]
    entry = table_entry(logged)
    assert entry is not None  # ``names`` has all others
    if entry.hyperparameters or entry.full_batch:
        return entry.name
    twins = {
        e.name: dict(e.hyperparameters) for e in OPTIMIZERS.values() if e.factory == entry.factory and not e.full_batch
    }
    given = dict(set_hyperparameters(sorted({key for of in twins.values() for key in of}), values))
    for name, hyperparameters in twins.items():
        if hyperparameters == given:
            return name
    settings = "_".join(f"{key}_{value:g}" for key, value in given.items())
    return plain_name(f"{entry.name}_{settings}")


def set_hyperparameters(names: list[str], values: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """Those of ``names`` that a run sets to anything but zero, false or None, with their values; true counts as 1."""
    for name in names:
        value = as_number(first_of((name, *(f"{prefix}{name}" for prefix in AUTOLOGGED)), values))
        if value and not math.isnan(value):
            yield name, value


def as_number(text: str | None) -> float:
    """A parameter as a number, true and false as 1 and 0; NaN if it is no number."""
    try:
        return float(_SWITCHES.get(text or "", text or ""))
    except ValueError:
        return math.nan
