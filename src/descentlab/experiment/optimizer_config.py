"""An entry of the list ``optimizers``: what a reader may write there, validated, and the rows of the report that it gives."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from descentlab.experiment.config_values import IMPORT_PATTERN, Decay, Rate, StrictModel, check_line, check_name
from descentlab.optimizers.import_path import suggestion
from descentlab.optimizers.schedules import check_schedule
from descentlab.optimizers.table import ASSUMED, CONFIG, LITERATURE, OPTIMIZERS, OptimizerEntry

CONSTANT = [entry.name for entry in (*OPTIMIZERS.values(), *LITERATURE.values()) if entry.tuned_schedule == "constant"]
KERAS_PATH = re.compile(r"(tensorflow\.|tf\.)?keras\.optimizers[.:]")
Schedule = Annotated[str, AfterValidator(check_schedule)]


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
