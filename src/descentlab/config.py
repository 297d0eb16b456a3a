"""The experiment as a reader writes it: YAML in, frozen and checked models out.

Everything that can be judged without importing Keras or a reader's own code is judged here, in one clear line each; the
``plan`` stage judges the rest before anything is trained.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from descentlab.optimizers import OPTIMIZERS, OptimizerEntry, suggestion
from descentlab.problems import BUILTIN_PROBLEMS

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
IMPORT_PATTERN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
NAME_RULE = "letters, digits, '_' and '-', starting with a letter or digit, at most 64 characters"



def no_bool(value: Any) -> Any:
    """``true`` is no number, whatever Python says."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


PositiveInt = Annotated[int, Field(gt=0, strict=True)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(no_bool)]
Decay = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_bool)]


class ConfigError(ValueError):
    """The config can't be run; the message says where, what was received and what is valid."""


def check_name(name: str) -> str:
    """Names become parts of paths, run ids and tags: only plain ones are taken."""
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError(f"a name must be plain ({NAME_RULE})")
    return name


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def hyperparameter(key: Any, value: Any, own_keys: list[str]) -> Any:
    """A key of an optimizer that isn't the config's own, so one of the optimizer's; ``1e-7`` in YAML is a text.

    Raises:
        ValueError: it is nearly one of the config's own, or its value is of no type that a hyperparameter can have.
    """
    near = difflib.get_close_matches(str(key), own_keys, n=1, cutoff=0.85)
    if near:
        raise ValueError(f"unknown key '{key}', did you mean '{near[0]}'?")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if value is not None and not isinstance(value, (bool, int, float, list)):
        raise ValueError(f"'{key}' must be a number, a text, true, false, null or a list; received {value!r}")
    return value


class ProblemConfig(_Model):
    """One problem. ``problem`` is a built-in name or an import path ``package.module:OBJECT``."""

    problem: str = Field(description="built-in name, or import path 'package.module:OBJECT' of a Problem")
    name: str = Field(default="", description="its row in the report; by default the problem's own name")
    epochs: PositiveInt | None = Field(default=None, description="budget in passes over the training set")
    batch_size: PositiveInt | None = Field(default=None, description="examples an update, but for full-batch methods")
    train_examples: PositiveInt | None = Field(default=None, description="train on this many only; all by default")
    evaluation_examples: PositiveInt | None = Field(
        default=None,
        description="examples of each split that evaluations during a run take; the last one takes all; all by default",
    )
    data: str | None = Field(default=None, description="path of the data file, for problems that read one")
    mode: Literal["auto", "xla", "graph"] = Field(default="auto", description="how the epoch is compiled")
    gd_equal_updates: bool = Field(
        default=True, description="a second row of gd with as many updates as the others, not only as many examples"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"problem": value}
        if isinstance(value, dict) and isinstance(value.get("problem"), str):
            problem = value["problem"]
            if problem not in BUILTIN_PROBLEMS and not IMPORT_PATTERN.fullmatch(problem):
                raise ValueError(
                    f"unknown problem '{problem}'{suggestion(problem, BUILTIN_PROBLEMS)} "
                    f"Valid: {', '.join(BUILTIN_PROBLEMS)}, or an import path 'package.module:OBJECT'"
                )
            value = {**value, "name": value.get("name") or problem.rpartition(":")[2].lower()}
        return value

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return check_name(name)


class OptimizerConfig(_Model):
    """One optimizer: a name of the table, a class of Keras, or an import path; with what differs from its defaults."""

    model_config = ConfigDict(extra="allow", frozen=True)

    optimizer: str = Field(description="name of the table, Keras class, or import path 'package.module:Factory'")
    name: str = Field(default="", description="its row in the report; by default the optimizer's own name")
    learning_rate: Rate | None = Field(
        default=None, description="rate of the default arm; null on an import path: it has no learning rate"
    )
    centre_learning_rate: Rate | None = Field(default=None, description="middle of its tuning grid")
    full_batch: bool | None = Field(default=None, description="one update uses the whole training set")
    tuned_weight_decay: Decay | None = Field(default=None, description="weight decay in the tuned arm")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"optimizer": value}
        if not isinstance(value, dict):
            return value
        for slide_word in ("lr", "alpha"):
            if slide_word in value:
                raise ValueError(f"unknown key '{slide_word}', did you mean 'learning_rate'?")
        if isinstance(value.get("optimizer"), str):
            optimizer = value["optimizer"]
            if table_entry(optimizer) is None and not IMPORT_PATTERN.fullmatch(optimizer):
                raise ValueError(
                    f"unknown optimizer '{optimizer}'{suggestion(optimizer, OPTIMIZERS)} "
                    f"Valid: {', '.join(OPTIMIZERS)}, or an import path 'package.module:Factory'"
                )
            entry = table_entry(optimizer)
            plain = entry.name if entry else snake_case(optimizer.rpartition(":")[2])
            value = {**value, "name": value.get("name") or plain}
        own = list(cls.model_fields)
        return {key: given if key in own else hyperparameter(key, given, own) for key, given in value.items()}

    @model_serializer(mode="wrap")
    def _keep_absence(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A null learning rate says that there is none, an absent one that it is the default: keep them apart."""
        fields = dump(self)
        if "learning_rate" not in self.model_fields_set:
            del fields["learning_rate"]
        return fields

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return check_name(name)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What is passed on to the factory, learning rate apart."""
        return dict(self.model_extra or {})

    def entry(self) -> OptimizerEntry:
        """The optimizer as an entry of the table, with this config's changes."""
        known = table_entry(self.optimizer)
        if known is None:
            no_rate = "learning_rate" in self.model_fields_set and self.learning_rate is None
            centre = None if no_rate else (self.centre_learning_rate or self.learning_rate or 0.01)
            return OptimizerEntry(
                self.name, self.optimizer, centre, None, "given by import path", self.hyperparameters,
                self.tuned_weight_decay, bool(self.full_batch), False, self.learning_rate,
            )  # fmt: skip
        return OptimizerEntry(
            name=self.name,
            factory=known.factory,
            centre_learning_rate=self.centre_learning_rate or self.learning_rate or known.centre_learning_rate,
            state_slots=known.state_slots,
            paper=known.paper,
            hyperparameters={**known.hyperparameters, **self.hyperparameters},
            tuned_weight_decay=(
                known.tuned_weight_decay if self.tuned_weight_decay is None else self.tuned_weight_decay
            ),
            full_batch=known.full_batch if self.full_batch is None else self.full_batch,
            default_learning_rate=self.learning_rate,
        )


class SeedsConfig(_Model):
    """How many seeds; final seeds count from 0, tuning seeds from 1000, so that they never meet."""

    final: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(default=10, description="final runs' seeds")
    tuning: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(default=3, description="tuning runs' seeds")

    @property
    def final_seeds(self) -> list[int]:
        """Seeds of the runs that count."""
        return list(range(self.final))

    @property
    def tuning_seeds(self) -> list[int]:
        """Seeds of the runs that choose the learning rate."""
        return list(range(1000, 1000 + self.tuning))


class TuningConfig(_Model):
    """The learning-rate grid, the same number of points for every optimizer."""

    points: Annotated[int, Field(ge=1, le=31, strict=True)] = Field(
        default=7, description="points of the half-decade grid; odd, so that the usual rate is one of them"
    )
    neighbours: bool = Field(
        default=True, description="train the final seeds at the two neighbours of the chosen rate too"
    )

    @field_validator("points")
    @classmethod
    def _odd(cls, points: int) -> int:
        if points % 2 == 0:
            raise ValueError("the number of grid points must be odd, so that the centre is one of them")
        return points


class ExecutionConfig(_Model):
    """How runs are cut into jobs; never changes a result."""

    optimizers_per_job: PositiveInt | Literal["auto"] = Field(
        default="auto", description="optimizers trained by one process; auto keeps start-up below a tenth of a job"
    )

    @field_validator("optimizers_per_job", mode="before")
    @classmethod
    def _auto_or_count(cls, value: Any) -> Any:
        if value != "auto" and not (type(value) is int and value > 0):
            raise ValueError("must be 'auto' or a positive whole number")
        return value


class TrackingConfig(_Model):
    """Where MLflow keeps its runs."""

    uri: str | None = Field(
        default=None, description="tracking server or database; MLFLOW_TRACKING_URI or results/mlflow.db otherwise"
    )
    tuning_curves: bool = Field(default=False, description="log the curves of tuning runs too, not only final values")


class ReportConfig(_Model):
    """What the report is called, and what it measures from."""

    title: str | None = Field(default=None, description="headline; made from the experiment's name otherwise")
    reference: str = Field(default="momentum", description="optimizer that the others' paired differences are from")


class Config(_Model):
    """A whole experiment."""

    experiment: str = Field(description=f"its name and that of its folders: {NAME_RULE}")
    problems: Annotated[tuple[ProblemConfig, ...], Field(min_length=1)] = Field(description="problems to train")
    optimizers: Annotated[tuple[OptimizerConfig, ...], Field(min_length=1)] = Field(
        description="'all', or a list of names, Keras classes, import paths or mappings"
    )
    arms: Annotated[tuple[Literal["default", "tuned"], ...], Field(min_length=1)] = Field(
        default=("default", "tuned"), description="protocol arms, reported apart"
    )
    seeds: SeedsConfig = SeedsConfig()
    tuning: TuningConfig = TuningConfig()
    execution: ExecutionConfig = ExecutionConfig()
    tracking: TrackingConfig = TrackingConfig()
    report: ReportConfig = ReportConfig()

    @field_validator("experiment")
    @classmethod
    def _plain(cls, name: str) -> str:
        if name in {"cache", "mlflow-artifacts"}:
            raise ValueError("an experiment can't be called 'cache' or 'mlflow-artifacts': results keeps its own there")
        return check_name(name)

    @field_validator("optimizers", mode="before")
    @classmethod
    def _all(cls, value: Any) -> Any:
        if value == "all":
            return list(OPTIMIZERS)
        if isinstance(value, str):
            raise ValueError("must be 'all' or a list")
        return value

    @model_validator(mode="after")
    def _no_duplicates(self) -> Config:
        for key, names in (
            ("problems", [p.name for p in self.problems]),
            ("optimizers", [o.name for o in self.optimizers]),
            ("arms", list(self.arms)),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key}: names must differ; more than once: {', '.join(twice)}")
        reserved = {f"{o.name}_equal_updates" for o in self.optimizers if o.entry().full_batch}
        clash = reserved & {o.name for o in self.optimizers}
        if clash:
            raise ValueError(f"optimizers: the name is taken by a full-batch optimizer's second row: {clash.pop()}")
        reference, rows = self.report.reference, [*(o.name for o in self.optimizers), *sorted(reserved)]
        if reference != ReportConfig().reference and reference not in rows:
            known = ", ".join(rows)
            raise ValueError(f"report.reference: must be one of the optimizers ({known}); received '{reference}'")
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


def equal_updates_row(entry: OptimizerEntry) -> OptimizerEntry:
    """The second row of a full-batch optimizer: as many updates as the others have, not as many examples."""
    return OptimizerEntry(
        f"{entry.name}_equal_updates", entry.factory, entry.centre_learning_rate, entry.state_slots, entry.paper,
        entry.hyperparameters, entry.tuned_weight_decay, True, True, entry.default_learning_rate,
    )  # fmt: skip


def snake_case(name: str) -> str:
    """``SlidesAdaGrad`` → ``slides_ada_grad``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def table_entry(name: str) -> OptimizerEntry | None:
    """The entry of the table by its own name or by Keras' name of its class, in any case."""
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    wanted = name.lower()
    # The first entry of a class without hyperparameters of its own is the class as Keras makes it.
    for entry in OPTIMIZERS.values():
        if entry.factory.lower() == wanted and not entry.hyperparameters and not entry.full_batch:
            return entry
    return None


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
        raise ConfigError(f"{where}: {_first_line(error)}") from None


def check_folders(experiment: str) -> None:
    """Refuse folders of results and reports that can't be written to, before anything is trained.

    Raises:
        ConfigError: naming the folder and what stands in the way.
    """
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
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the config can't be read; {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: the config is no valid YAML; {' '.join(str(error).split())}") from error
    return parse_config(raw, str(path))


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    """Names of the valid keys where pydantic met an unknown one."""
    model: Any = Config
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


def _first_line(error: ValidationError) -> str:
    """The first problem of a validation in one line, and how many more there are."""
    # A list of which an item is invalid counts as empty too: that is no problem of its own.
    errors = [e for e in error.errors() if not (e["type"] == "too_short" and e["input"])]
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        valid = _fields_at(first["loc"])
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
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
