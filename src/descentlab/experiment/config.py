"""The experiment as a reader writes it: YAML in, frozen and checked models out.

Everything that can be judged without importing Keras or a reader's own code is judged here, in one clear line each; the
``plan`` stage judges the rest before anything is trained.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from descentlab.experiment.entries import (
    NAME_RULE,
    OptimizerConfig,
    ProblemConfig,
    StrictModel,
    check_name,
    equal_updates_row,
)
from descentlab.experiment.measurements import MEASUREMENTS
from descentlab.experiment.settings import (
    ExecutionConfig,
    ReportConfig,
    SeedsConfig,
    SweepConfig,
    TrackingConfig,
    TuningConfig,
)
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.import_path import suggestion
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry

RESERVED = ("cache", "mlflow-artifacts")
RESERVED_RULE = "an experiment can't be called 'cache' or 'mlflow-artifacts': results keeps its own there"


class ConfigError(ValueError):
    """The config can't be run; the message says where, what was received and what is valid."""


class Config(StrictModel):
    """A whole experiment."""

    experiment: str = Field(description=f"its name and that of its folders: {NAME_RULE}")
    problems: Annotated[tuple[ProblemConfig, ...], Field(min_length=1)] = Field(description="problems to train")
    optimizers: Annotated[tuple[OptimizerConfig, ...], Field(min_length=1)] = Field(
        description="'all', or a list of names, Keras classes, import paths or mappings; 'all' may be one of them"
    )
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)] = Field(
        default=(Arm.DEFAULT, Arm.TUNED), description="what is tuned, arm by arm; reported apart"
    )
    seeds: SeedsConfig = SeedsConfig()
    tuning: TuningConfig = TuningConfig()
    sweep: SweepConfig = SweepConfig()
    measurements: tuple[str, ...] = Field(
        default=tuple(MEASUREMENTS),
        description=f"what is measured beside the runs, for the slides' claims: any of {', '.join(MEASUREMENTS)}; [] for none",
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
        if isinstance(value, str) and value != "all":
            raise ValueError("must be 'all' or a list")
        if isinstance(value, str | list | tuple):
            items = [value] if isinstance(value, str) else value
            return [name for item in items for name in (OPTIMIZERS if item == "all" else [item])]
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
            ("measurements", list(self.measurements)),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key}: names must differ; more than once: {', '.join(twice)}")
        if Arm.EXTENDED in self.arms and Arm.TUNED not in self.arms:
            raise ValueError("arms: 'extended' begins with the tuned arm's choice, so it needs 'tuned' too")
        reserved = {f"{o.name}_equal_updates" for o in self.optimizers if o.entry().full_batch}
        clash = reserved & {o.name for o in self.optimizers}
        if clash:
            raise ValueError(f"optimizers: the name is taken by a full-batch optimizer's second row: {clash.pop()}")
        reference, rows = self.report.reference, [*(o.name for o in self.optimizers), *sorted(reserved)]
        if reference != ReportConfig().reference and reference not in rows:
            known = ", ".join(rows)
            raise ValueError(f"report.reference: must be one of the optimizers ({known}); received '{reference}'")
        unknown = [name for name in self.sweep.optimizers if name not in rows]
        if unknown and self.sweep.optimizers != SweepConfig().optimizers:
            raise ValueError(
                f"sweep.optimizers: must be among the optimizers ({', '.join(rows)}); received '{unknown[0]}'"
            )
        return self

    def entries(self, problem: ProblemConfig) -> list[OptimizerEntry]:
        """The optimizers of a problem, full-batch ones with their second row."""
        entries: list[OptimizerEntry] = []
        for optimizer in self.optimizers:
            entry = optimizer.entry()
            entries.append(entry)
            if entry.full_batch and problem.gd_equal_updates:
                entries.append(equal_updates_row(entry))
        return entries

    def problem(self, name: str) -> ProblemConfig:
        """The problem of that name."""
        return next(p for p in self.problems if p.name == name)

    def as_json(self) -> str:
        """The whole config, defaults filled in, always the same text for the same experiment."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)


def parse_config(raw: Any, where: str) -> Config:
    """Check a config as read from YAML.

    Raises:
        ConfigError: one line that names the place, what was received and what is valid.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: a config must be a mapping of keys to values; received {type(raw).__name__}")
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{where}: {first_line(error, Config)}") from None
    except UnicodeEncodeError as error:  # pydantic's own, where a validator's message has half a character
        half = error.object[error.start : error.end]
        raise ConfigError(f"{where}: a text must be of whole characters; received {half!r} in one") from None


def check_folders(experiment: str) -> None:
    """Refuse folders of results and reports that hold something else or can't be written to, before anything is trained.

    Raises:
        ConfigError: naming the folder and what stands in the way.
    """
    if experiment in RESERVED:  # a config's never is; an experiment that other code logged may be
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
        ConfigError: the file can't be read, is no YAML, or is no valid config.
    """
    return parse_config(read_yaml(path, "config"), str(path))


def read_yaml(path: Path, what: str) -> Any:
    """The contents of a YAML file, ``what`` it is being part of the error.

    Raises:
        ConfigError: the file can't be read, or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the {what} can't be read; {error}") from error
    except (yaml.YAMLError, ValueError) as error:  # a ValueError is a date or a number that Python refuses
        raise ConfigError(f"{path}: the {what} is no valid YAML; {_shortened(' '.join(str(error).split()))}") from error
    except RecursionError:
        raise ConfigError(f"{path}: the {what} is no valid YAML; it is nested too deeply") from None


def _fields_at(location: tuple[Any, ...], model: Any) -> list[str]:
    """Names of the valid keys where pydantic met an unknown one."""
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        nested = {"problems": ProblemConfig, "optimizers": OptimizerConfig}.get(str(part), annotation)
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            model = nested
    return list(model.model_fields)


# What pydantic says, in the words of someone who writes YAML.
_RULES = {
    "missing": "this key is required",
    "too_short": "must have at least one item",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping",
    "invalid_key": "keys must be texts",
}


def first_line(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a validation of ``model`` in one line, and how many more there are."""
    # A list of which an item is invalid counts as empty too: that is no problem of its own.
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
    """``text`` on one line as a terminal can show it: other characters as Python writes them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _shortened(text: str) -> str:
    """Printable ``text``, endless words cut."""
    return re.sub(r"\S{200,}", lambda word: f"{word[0][:77]}...", printable(text))
