"""The reader's language: English sentences in the code, their translations in one catalog per language.

A sentence is written where it is used, in English, as ``words("{n} problems", n=4)``; ``catalogs/<language>.po`` holds its
translation, with the same fields in the order that the language needs. ``tests/i18n/test_wording.py`` finds every sentence
in the code and checks that the catalog has it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from descentlab.i18n.language import Language
from descentlab.i18n.message import message as message  # exported with the functions that translate it

CATALOGS = Path(__file__).parent / "catalogs"
_current: ContextVar[Language] = ContextVar("language", default="en")


@contextlib.contextmanager
def spoken(language: Language) -> Iterator[None]:
    """Make :func:`words` translate into ``language`` inside the block."""
    token = _current.set(language)
    try:
        yield
    finally:
        _current.reset(token)


def current_language() -> Language:
    """The language that :func:`words` translates into now; ``en`` outside :func:`spoken`."""
    return _current.get()


@functools.cache
def read_catalog(language: str) -> Mapping[str, str]:
    """The translations into ``language``, keyed by the English sentence."""
    from babel.messages.pofile import read_po

    with (CATALOGS / f"{language}.po").open("rb") as file:
        return {str(entry.id): str(entry.string) for entry in read_po(file) if entry.id and entry.string}


def words(text: str, /, **values: Any) -> str:
    """``text`` in the current language, its fields filled as by ``str.format``.

    Text without a translation stays as it is, such as names from a config or the title of a reader's own problem. Without
    ``values``, braces are ordinary characters.

    Example:
        >>> words("{n} problems", n=4)
        '4 problems'
    """
    language = _current.get()
    translation = text if language == "en" else read_catalog(language).get(text, text)
    return translation.format(**values) if values else translation


def joined(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else words("{first} and {last}", first=", ".join(parts[:-1]), last=parts[-1])


def counted(count: int, singular: str, plural: str, **values: Any) -> str:
    """``singular`` or ``plural``, translated, with the count for ``{n}``.

    Example:
        >>> counted(4, "{n} problem", "{n} problems")
        '4 problems'
    """
    return words(singular if count == 1 else plural, n=f"{count:,}", **values)
