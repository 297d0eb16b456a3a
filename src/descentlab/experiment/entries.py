"""One entry of the lists ``problems`` and ``optimizers``: what a reader may write there, checked."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import replace
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
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry
from descentlab.problems import BUILTIN_PROBLEMS

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
IMPORT_PATTERN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
NAME_RULE = "letters, digits, '_' and '-', starting with a letter or digit, at most 64 characters"


def no_bool(value: Any) -> Any:
    """``true`` is no number, whatever Python says."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


# Of epochs or examples nobody has more; products of two are still numbers that a table can hold.
PositiveInt = Annotated[int, Field(gt=0, le=10**9, strict=True)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(no_bool)]
Decay = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_bool)]


def check_name(name: str) -> str:
    """Names become parts of paths, run ids and tags: only plain ones are taken."""
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError(f"a name must be plain ({NAME_RULE})")
    return name


def check_line(text: str) -> str:
    """Text that a terminal, a command line and a page can hold: neither control characters nor halves of a character."""
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text):
        raise ValueError("must be one line of text without control characters")
    return text


Line = Annotated[str, AfterValidator(check_line)]


class StrictModel(BaseModel):
    """A frozen model that refuses keys it doesn't know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def hyperparameter(key: Any, value: Any, own_keys: list[str]) -> Any:
    """A key of an optimizer that isn't the config's own, so one of the optimizer's; ``1e-7`` in YAML is a text.

    Raises:
        ValueError: it is nearly one of the config's own, or its value is of no type that a hyperparameter can have.
    """
    near = difflib.get_close_matches(str(key), own_keys, n=1, cutoff=0.85)
    if near:
        raise ValueError(f"unknown key '{key}', did you mean '{near[0]}'?")
    if not str(key).isidentifier():
        raise ValueError(f"a hyperparameter must have a name as Python writes them; received {key!r}")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return check_line(value)
    if value is not None and not isinstance(value, (bool, int, float, list)):
        raise ValueError(f"'{key}' must be a number, a text, true, false, null or a list; received {value!r}")
    return value


class ProblemConfig(StrictModel):
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
    data: Line | None = Field(default=None, description="path of the data file, for problems that read one")
    mode: Literal["auto", "xla", "graph", "patches"] = Field(
        default="auto", description="how the epoch is compiled; patches: XLA with convolutions as patches × matrix"
    )
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
        fields.pop("learning_rate", None)
        return fields | ({"learning_rate": self.learning_rate} if "learning_rate" in self.model_fields_set else {})

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
                self.name,
                self.optimizer,
                centre,
                None,
                "given by import path",
                self.hyperparameters,
                self.tuned_weight_decay,
                bool(self.full_batch),
                False,
                self.learning_rate,
            )
        return replace(
            known,
            name=self.name,
            centre_learning_rate=self.centre_learning_rate or self.learning_rate or known.centre_learning_rate,
            hyperparameters={**known.hyperparameters, **self.hyperparameters},
            tuned_weight_decay=(
                known.tuned_weight_decay if self.tuned_weight_decay is None else self.tuned_weight_decay
            ),
            full_batch=known.full_batch if self.full_batch is None else self.full_batch,
            default_learning_rate=self.learning_rate,
        )


def equal_updates_row(entry: OptimizerEntry) -> OptimizerEntry:
    """The second row of a full-batch optimizer: as many updates as the others have, not as many examples."""
    return replace(entry, name=f"{entry.name}_equal_updates", equal_updates=True)


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
