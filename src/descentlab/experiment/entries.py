"""Entries of the lists ``problems`` and ``optimizers``: what a reader may write there, validated."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from descentlab.optimizers.import_path import suggestion
from descentlab.optimizers.schedules import check_schedule
from descentlab.optimizers.table import ASSUMED, CONFIG, LITERATURE, OPTIMIZERS, OptimizerEntry
from descentlab.problems.table import BUILTIN_PROBLEMS

CONSTANT = [entry.name for entry in (*OPTIMIZERS.values(), *LITERATURE.values()) if entry.tuned_schedule == "constant"]
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
KERAS_PATH = re.compile(r"(tensorflow\.|tf\.)?keras\.optimizers[.:]")
IMPORT_PATTERN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
NAME_RULE = "letters, digits, '_' and '-', starting with a letter or digit, at most 64 characters"


def no_bool(value: Any) -> Any:
    """Reject a bool, which Python would take for a number."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


# More than any number of epochs or examples, and products of two still fit into int64.
PositiveInt = Annotated[int, Field(gt=0, le=10**9, strict=True)]
Seeds = Annotated[int, Field(ge=1, le=1000, strict=True)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(no_bool)]
Decay = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_bool)]


def check_name(name: str) -> str:
    """Reject a name that can't be part of paths, run ids and tags."""
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError(f"a name must be plain ({NAME_RULE})")
    return name


def check_line(text: str) -> str:
    """Reject text that a terminal, command line or page can't show: control characters and lone surrogates."""
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text):
        raise ValueError("must be one line of text without control characters")
    return text


Line = Annotated[str, AfterValidator(check_line)]
Schedule = Annotated[str, AfterValidator(check_schedule)]


class StrictModel(BaseModel):
    """A frozen model that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def hyperparameter(key: Any, value: Any, own_keys: list[str]) -> Any:
    """The value of a key that isn't the config's own, and so a hyperparameter; YAML reads ``1e-7`` as text.

    Raises:
        ValueError: the key resembles one of the config's own, or a hyperparameter can't have a value of this type.
    """
    near = difflib.get_close_matches(str(key), own_keys, n=1, cutoff=0.85)
    if near:
        raise ValueError(f"unknown key '{key}', did you mean '{near[0]}'?")
    if not str(key).isidentifier():
        raise ValueError(f"a hyperparameter's name must be a Python identifier; received {key!r}")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return check_line(value)
    if value is not None and not isinstance(value, (bool, int, float, list)):
        raise ValueError(f"'{key}' must be a number, text, true, false, null or a list; received {value!r}")
    return value


class ProblemSeeds(StrictModel):
    """One problem's own numbers of seeds."""

    final: Seeds | None = Field(default=None, description="final runs' seeds of this problem; no look adds any")
    tuning: Seeds | None = Field(default=None, description="tuning runs' seeds of this problem")


class ProblemConfig(StrictModel):
    """One problem. ``problem`` is a built-in name or an import path ``package.module:OBJECT``."""

    problem: str = Field(description="built-in name, or import path 'package.module:OBJECT' of a Problem")
    name: str = Field(default="", description="its row in the report; by default the problem's own name")
    epochs: PositiveInt | None = Field(default=None, description="budget in passes over the training set")
    batch_size: PositiveInt | None = Field(
        default=None, description="examples per update, except for full-batch methods"
    )
    train_examples: PositiveInt | None = Field(default=None, description="train on this many only; all by default")
    evaluation_examples: PositiveInt | None = Field(
        default=None,
        description="examples of each split that evaluations during a run take; the last one takes all; all by default",
    )
    data: Line | None = Field(
        default=None, description="path of a data file, or a set of keras.datasets, for problems that take one"
    )
    mode: Literal["auto", "xla", "graph", "patches", "keras", "eager"] = Field(
        default="auto",
        description="how a run is trained; auto: the fastest that does what Keras does. patches: XLA with convolutions as "
        "patches × matrix. keras: by Keras' own step, as fit; eager: that step in Python",
    )
    optimizers: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None, description="names of those that train this problem; all of the experiment's by default"
    )
    seeds: ProblemSeeds = ProblemSeeds()
    sweep: bool = Field(default=True, description="whether the robustness sweep has runs on this problem")
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


class OptimizerConfig(StrictModel):
    """One optimizer: a name of the tables, a class of Keras, or an import path; with what differs from its defaults."""

    model_config = ConfigDict(extra="allow", frozen=True)

    optimizer: str = Field(description="name of the tables, Keras class, or import path 'package.module:Factory'")
    name: str = Field(default="", description="its row in the report; by default the optimizer's own name")
    learning_rate: Rate | None = Field(
        default=None, description="rate of the default arm; null on an import path: it has no learning rate"
    )
    center_learning_rate: Rate | None = Field(default=None, description="middle of its tuning grid")
    full_batch: bool | None = Field(default=None, description="one update uses the whole training set")
    tuned_weight_decay: Decay | None = Field(
        default=None, description="weight decay in the tuned and the extended arm; default: the class's own"
    )
    schedule: Schedule | None = Field(
        default=None,
        description=f"learning-rate schedule in the tuned arm; default: linear, and constant for {', '.join(CONSTANT)}",
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"optimizer": value}
        if not isinstance(value, dict):
            return value
        optimizer = value.get("optimizer")
        entry = known_entry(optimizer) if isinstance(optimizer, str) else None
        # Some of the literature's have an alpha of their own, which is no learning rate.
        slide_words = ("lr",) if entry in LITERATURE.values() else ("lr", "alpha")
        for slide_word in slide_words:
            if slide_word in value:
                raise ValueError(f"unknown key '{slide_word}', did you mean 'learning_rate'?")
        if isinstance(optimizer, str):
            if entry is None and not IMPORT_PATTERN.fullmatch(optimizer):
                names = [*OPTIMIZERS, *LITERATURE]
                raise ValueError(
                    f"unknown optimizer '{optimizer}'{suggestion(optimizer, names)} "
                    f"Valid: {', '.join(names)}, or an import path 'package.module:Factory'"
                )
            plain = entry.name if entry else snake_case(optimizer.rpartition(":")[2])
            value = {**value, "name": value.get("name") or plain}
        own = list(cls.model_fields)
        return {key: given if key in own else hyperparameter(key, given, own) for key, given in value.items()}

    @model_serializer(mode="wrap")
    def _keep_absence(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A null learning rate means that there is none, an absent one the default: keep the two apart."""
        fields = dump(self)
        fields.pop("learning_rate", None)
        return fields | ({"learning_rate": self.learning_rate} if "learning_rate" in self.model_fields_set else {})

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return check_name(name)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What is passed to the factory, except the learning rate."""
        return dict(self.model_extra or {})

    def entry(self) -> OptimizerEntry:
        """The optimizer as an entry of the table, with this config's changes."""
        known = known_entry(self.optimizer)
        own = self.center_learning_rate or self.learning_rate
        if known is None:
            no_rate = "learning_rate" in self.model_fields_set and self.learning_rate is None
            center = None if no_rate else (own or 0.01)
            return OptimizerEntry(
                self.name,
                self.optimizer,
                center,
                CONFIG if own else ASSUMED,
                None,
                "given by import path",
                self.hyperparameters,
                self.tuned_weight_decay,
                bool(self.full_batch),
                False,
                self.learning_rate,
                self.schedule or "linear",
            )
        return replace(
            known,
            name=self.name,
            center_learning_rate=own or known.center_learning_rate,
            center_source=CONFIG if own else known.center_source,
            hyperparameters={**known.hyperparameters, **self.hyperparameters},
            tuned_weight_decay=(
                known.tuned_weight_decay if self.tuned_weight_decay is None else self.tuned_weight_decay
            ),
            full_batch=known.full_batch if self.full_batch is None else self.full_batch,
            default_learning_rate=self.learning_rate,
            tuned_schedule=self.schedule or known.tuned_schedule,
        )


def equal_updates_row(entry: OptimizerEntry) -> OptimizerEntry:
    """The second row of a full-batch optimizer: as many updates as the others, rather than as many examples."""
    return replace(entry, name=f"{entry.name}_equal_updates", equal_updates=True)


def tuned_rows(entry: OptimizerEntry, schedules: Sequence[str], weight_decays: Sequence[float]) -> list[OptimizerEntry]:
    """An optimizer with each schedule and each weight decay: the first of both under its own name, each other as a row.

    The default arm has neither, and the extended arm chooses a schedule, so the other rows have no runs there. An optimizer
    without a learning rate has no such rows: a decoupled decay is in units of it.

    Args:
        entry: the optimizer.
        schedules: those of its tuned arm; empty for its own.
        weight_decays: likewise.
    """
    if entry.center_learning_rate is None:
        return [entry]
    rows = [
        replace(
            entry,
            name=entry.name
            + (f"_{schedule.rpartition(':')[2]}" if i else "")
            + (f"_decay_{plain_name(decay)}" if j else ""),
            tuned_schedule=schedule,
            tuned_weight_decay=decay,
            tuned_only=True,
        )
        for i, schedule in enumerate(schedules or [entry.tuned_schedule])
        for j, decay in enumerate(weight_decays or [entry.tuned_weight_decay])
    ]
    return [replace(rows[0], tuned_only=entry.tuned_only), *rows[1:]]


def plain_name(number: float | None) -> str:
    """A number as it may stand in a name, all its digits kept.

    Example:
        >>> plain_name(0.0045), plain_name(0.1), plain_name(0)
        ('45e-4', '1e-1', '0')
    """
    sign, digits, exponent = Decimal(str(number)).normalize().as_tuple()
    text = "".join(map(str, digits))
    return f"{text}e{exponent}" if exponent else text


def snake_case(name: str) -> str:
    """``SlidesAdaGrad`` → ``slides_ada_grad``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def known_entry(name: str) -> OptimizerEntry | None:
    """The entry of that name in Keras' table, as in :func:`table_entry`, or in the literature's, by class too, ignoring case.

    Example:
        >>> [known_entry(word).name for word in ("Adam", "soap", "ScheduleFreeSGD")]
        ['adam', 'soap', 'schedule_free_sgd']
    """
    for entry in LITERATURE.values():
        if name.lower() in (entry.name, entry.factory.rpartition(":")[2].lower()):
            return entry
    return table_entry(name)


def table_entry(name: str) -> OptimizerEntry | None:
    """The entry of Keras' table by its own name or by that of its class, ignoring case; None if there is none.

    Example:
        >>> [table_entry(word).name for word in ("adamw", "AdamW", "keras.optimizers.AdamW")]
        ['adamw', 'adamw', 'adamw']
    """
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    lowercase = KERAS_PATH.sub("", name).lower()
    # A class's first entry without hyperparameters is the class with Keras' defaults.
    for entry in OPTIMIZERS.values():
        if entry.factory.lower() == lowercase and not entry.hyperparameters and not entry.full_batch:
            return entry
    return None
