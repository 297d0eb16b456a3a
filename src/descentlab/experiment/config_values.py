"""The types of values that a config has, and what every part of it refuses."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
IMPORT_PATTERN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
NAME_RULE = "letters, digits, '_' and '-', starting with a letter or digit, at most 64 characters"


def no_bool(value: Any) -> Any:
    """Reject a bool, which Python would take for a number."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def check_odd(points: int) -> int:
    """Reject a grid without a center."""
    if points % 2 == 0:
        raise ValueError("the number of grid points must be odd, so that the center is one of them")
    return points


# More than any number of epochs or examples, and products of two still fit into int64.
PositiveInt = Annotated[int, Field(gt=0, le=10**9, strict=True)]
Seeds = Annotated[int, Field(ge=1, le=1000, strict=True)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(no_bool)]
Decay = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_bool)]
GridPoints = Annotated[int, Field(ge=1, le=31, strict=True), AfterValidator(check_odd)]


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


class StrictModel(BaseModel):
    """A frozen model that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
