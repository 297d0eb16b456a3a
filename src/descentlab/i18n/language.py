"""The languages that a report can be written in."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "es"]
