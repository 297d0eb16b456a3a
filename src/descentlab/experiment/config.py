"""The experiment as a reader writes it: YAML in, frozen and validated models out.

Everything that can be checked without importing Keras or a reader's own code is checked here, with a one-line error each; the
``plan`` stage checks the rest before anything is trained.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from descentlab.experiment.config_values import NAME_RULE, Decay, PositiveInt, StrictModel, check_name
from descentlab.experiment.measurements import MEASUREMENTS
from descentlab.experiment.optimizer_config import OptimizerConfig, Schedule, equal_updates_row, tuned_rows
from descentlab.experiment.problem_config import ProblemConfig, ProblemSeeds, ProblemTuning
from descentlab.experiment.settings import (
    BudgetConfig,
    ExecutionConfig,
    ReportConfig,
    SeedsConfig,
    SweepConfig,
    TrackingConfig,
    TuningConfig,
)
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.import_path import suggestion
from descentlab.optimizers.table import LITERATURE, OPTIMIZERS, OptimizerEntry

GROUPS = {"all": OPTIMIZERS, "all_literature": LITERATURE}  # what stands for several optimizers
RESERVED = ("cache", "mlflow-artifacts")
RESERVED_RULE = "an experiment can't be called 'cache' or 'mlflow-artifacts': results keeps its own there"


class ConfigError(ValueError):
    """The config can't be run; the message says where, what was received and what would be valid."""


class Config(StrictModel):
    """A whole experiment."""

    experiment: str = Field(description=f"its name and that of its folders: {NAME_RULE}")
    problems: Annotated[tuple[ProblemConfig, ...], Field(min_length=1)] = Field(description="problems to train")
    optimizers: Annotated[tuple[OptimizerConfig, ...], Field(min_length=1)] = Field(
        description="'all' (Keras' own), 'all_literature', or a list of names, Keras classes, import paths or mappings; both "
        "words may be among them"
    )
    schedules: tuple[Schedule, ...] = Field(
        default=(),
        description="learning-rate schedules of the tuned arm, for every optimizer that names none; each further one adds a "
        "row for every optimizer, tuned by itself",
    )
    weight_decays: tuple[Decay, ...] = Field(
        default=(),
        description="weight decays of the tuned arm, for every optimizer that has a learning rate and names none; each further "
        "one adds a row for every optimizer, tuned by itself",
    )
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)] = Field(
        default=(Arm.DEFAULT, Arm.TUNED), description="what is tuned, arm by arm; reported separately"
    )
    patience: PositiveInt | None = Field(
        default=None,
        description="a run ends after this many epochs without a fall of the validation loss, as EarlyStopping does; never by "
        "default",
    )
    seeds: SeedsConfig = SeedsConfig()
    budget: BudgetConfig = BudgetConfig()
    tuning: TuningConfig = TuningConfig()
    sweep: SweepConfig = SweepConfig()
    measurements: tuple[str, ...] = Field(
        default=tuple(MEASUREMENTS),
        description=f"what is measured besides the runs, for the slides' claims: any of {', '.join(MEASUREMENTS)}; [] for none",
    )
    execution: ExecutionConfig = ExecutionConfig()
    tracking: TrackingConfig = TrackingConfig()
    report: ReportConfig = ReportConfig()

    @field_validator("experiment")
    @classmethod
    def _plain(cls, name: str) -> str:
        if name in RESERVED:
            raise ValueError(RESERVED_RULE)
        return check_name(name)

    @field_validator("optimizers", mode="before")
    @classmethod
    def _all(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in GROUPS:
            raise ValueError(f"must be {', '.join(map(repr, GROUPS))} or a list")
        if isinstance(value, str | list | tuple):
            items = [value] if isinstance(value, str) else value
            return [name for item in items for name in (GROUPS.get(item, [item]) if isinstance(item, str) else [item])]
        return value

    @field_validator("measurements")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in MEASUREMENTS:
                raise ValueError(
                    f"unknown measurement '{name}'{suggestion(name, MEASUREMENTS)} Valid: {', '.join(MEASUREMENTS)}"
                )
        return names

    @model_validator(mode="after")
    def _no_duplicates(self) -> Config:
        for key, names in (
            ("problems", [p.name for p in self.problems]),
            ("optimizers", [o.name for o in self.optimizers]),
            ("arms", [str(arm) for arm in self.arms]),
            ("schedules", list(self.schedules)),
            ("weight_decays", [f"{decay:g}" for decay in self.weight_decays]),
            ("measurements", list(self.measurements)),
        ):
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"{key}: names must be unique; repeated: {', '.join(repeated)}")
        if Arm.EXTENDED in self.arms and Arm.TUNED not in self.arms:
            raise ValueError("arms: 'extended' begins with the tuned arm's choice, so it needs 'tuned' too")
        for axis in ("schedules", "weight_decays"):
            if getattr(self, axis) and Arm.TUNED not in self.arms:
                raise ValueError(f"{axis}: they are the tuned arm's, so arms needs 'tuned'")
        for problem in self.problems:
            self._check_own(problem)
        rows = list(dict.fromkeys(entry.name for problem in self.problems for entry in self._rows(problem)))
        reference = self.report.reference
        if reference != ReportConfig().reference and reference not in rows:
            valid = ", ".join(rows)
            raise ValueError(f"report.reference: must be one of the optimizers ({valid}); received '{reference}'")
        unknown = [name for name in self.sweep.optimizers if name not in rows]
        if unknown and self.sweep.optimizers != SweepConfig().optimizers:
            raise ValueError(
                f"sweep.optimizers: must be among the optimizers ({', '.join(rows)}); received '{unknown[0]}'"
            )
        return self

    def _check_own(self, problem: ProblemConfig) -> None:
        """Reject what a problem has of its own and the experiment doesn't allow."""
        names = [optimizer.name for optimizer in self.optimizers]
        for name in problem.optimizers or ():
            if name not in names:
                raise ValueError(
                    f"problems: '{problem.name}' has an optimizer that the experiment lacks: '{name}'"
                    f"{suggestion(name, names)} Valid: {', '.join(names)}"
                )
        try:
            looks = self.seeds_of(problem.name).looks
        except ValidationError as error:
            raise ValueError(f"problems: '{problem.name}': seeds.{first_line(error, SeedsConfig)}") from None
        if len(looks) > len(self.seeds.looks):
            raise ValueError(
                f"problems: '{problem.name}' can't have more looks ({', '.join(map(str, looks))}) than the experiment's "
                f"seeds.final and seeds.most give ({', '.join(map(str, self.seeds.looks))})"
            )
        if (problem.tuning.points or 1) > self.tuning.points:
            raise ValueError(
                f"problems: '{problem.name}' can't have grids of more points than the experiment's tuning.points "
                f"({self.tuning.points}); received {problem.tuning.points}"
            )

    def entries(self, problem: ProblemConfig) -> list[OptimizerEntry]:
        """The optimizers of a problem; full-batch ones also have their second row."""
        entries: list[OptimizerEntry] = []
        for optimizer in self.optimizers:
            if problem.optimizers is not None and optimizer.name not in problem.optimizers:
                continue
            schedules = () if optimizer.schedule else self.schedules
            decays = self.weight_decays if optimizer.tuned_weight_decay is None else ()
            for entry in tuned_rows(optimizer.entry(), schedules, decays):
                entries.append(entry)
                if entry.full_batch and problem.gd_equal_updates:
                    entries.append(equal_updates_row(entry))
        return entries

    def _rows(self, problem: ProblemConfig) -> list[OptimizerEntry]:
        entries = self.entries(problem)
        names = [entry.name for entry in entries]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(
                f"optimizers: another row (of full batches, schedules or weight decays) has this name: {repeated}"
            )
        for name in names:
            check_name(name)
        return entries

    def seeds_of(self, problem: str) -> SeedsConfig:
        """The numbers of seeds of a problem. One with its own number of final seeds has the looks that it declares."""
        own = next((entry.seeds for entry in self.problems if entry.name == problem), ProblemSeeds())
        given = {name: number for name, number in own if number is not None}
        return SeedsConfig.model_validate(self.seeds.model_dump() | ({"most": None} if own.final else {}) | given)

    def tuning_of(self, problem: str) -> TuningConfig:
        """How a problem's learning rates are tuned."""
        own = next((entry.tuning for entry in self.problems if entry.name == problem), ProblemTuning())
        return self.tuning.model_copy(update={name: value for name, value in own if value is not None})

    def problem(self, name: str) -> ProblemConfig:
        """The problem of that name."""
        return next(p for p in self.problems if p.name == name)

    def as_json(self) -> str:
        """The whole config with defaults filled in; equal experiments have equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)


def parse_config(raw: Any, where: str) -> Config:
    """Validate a config as read from YAML.

    Args:
        raw: the config's mapping.
        where: names the config in an error message.

    Raises:
        ConfigError: in one line, where it is invalid, what was received and what would be valid.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: a config must be a mapping of keys to values; received {type(raw).__name__}")
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{where}: {first_line(error, Config)}") from None
    except UnicodeEncodeError as error:  # from pydantic, if a validator's message has a lone surrogate
        half = error.object[error.start : error.end]
        raise ConfigError(f"{where}: a text must be of whole characters; received {half!r} in one") from None


def check_folders(experiment: str) -> None:
    """Reject results and reports folders that hold something else or can't be written to, before anything is trained.

    Raises:
        ConfigError: names the folder and the obstacle.
    """
    if experiment in RESERVED:  # possible only for an externally logged experiment
        raise ConfigError(f"results/{experiment}: {RESERVED_RULE}")
    for folder in (Path("results", experiment), Path("reports", experiment)):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if not existing.is_dir():
            raise ConfigError(
                f"{folder}: results and reports need a folder that can be written to; '{existing}' is a file"
            )
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ConfigError(
                f"{folder}: results and reports need a folder that can be written to; '{existing}' can't be"
            )


def load_config(path: Path) -> Config:
    """Read and check a YAML file.

    Raises:
        ConfigError: the file can't be read, is not YAML, or is not a valid config.
    """
    return parse_config(read_yaml(path, "config"), str(path))


def read_yaml(path: Path, kind: str) -> Any:
    """The contents of a YAML file.

    Args:
        path: of the file.
        kind: what the file is, for an error message.

    Raises:
        ConfigError: the file can't be read, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the {kind} can't be read: {error}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that Python rejects
        raise ConfigError(
            f"{path}: the {kind} is not valid YAML: {_shortened(' '.join(str(error).split()))}"
        ) from error
    except RecursionError:
        raise ConfigError(f"{path}: the {kind} is not valid YAML: it is nested too deeply") from None


def _fields_at(location: tuple[Any, ...], model: Any) -> list[str]:
    """The valid keys at the place where pydantic found an unknown one."""
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        nested = {"problems": ProblemConfig, "optimizers": OptimizerConfig}.get(str(part), annotation)
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            model = nested
    return list(model.model_fields)


# Pydantic's errors, reworded for someone who writes YAML.
_RULES = {
    "missing": "this key is required",
    "too_short": "must have at least one item",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping",
    "invalid_key": "keys must be text",
}


def first_line(error: ValidationError, model: type[BaseModel]) -> str:
    """The first error of validating ``model`` in one line, and how many more there are."""
    # A list with an invalid item is also reported as empty, which is not an error of its own.
    errors = [e for e in error.errors() if not (e["type"] == "too_short" and e["input"])]
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        valid = _fields_at(first["loc"], model)
        key = str(first["loc"][-1])
        text = f"{place}: unknown key '{key}'{suggestion(key, valid)} Valid: {', '.join(valid)}"
    else:
        message = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        received = repr(first.get("input"))
        received = received if len(received) <= 80 else received[:77] + "..."
        shown = first["type"] != "missing" and first["loc"] and "; received" not in message
        text = (f"{place}: " if place else "") + _RULES.get(first["type"], message)
        text += f"; received {received}" if shown else ""
    text += f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return _shortened(text)


def printable(text: str) -> str:
    r"""``text`` on one line as a terminal can show it; unprintable characters are escaped as in Python.

    Example:
        >>> printable("two\nlines")
        'two\\nlines'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _shortened(text: str) -> str:
    """Printable ``text`` with overlong words cut."""
    return re.sub(r"\S{200,}", lambda word: f"{word[0][:77]}...", printable(text))
