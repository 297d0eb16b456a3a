"""The reader's language: English sentences in the code, their translations in one catalogue a language.

A sentence is written where it is used, in English, as ``words("{n} problems", n=4)``; ``catalogues/<language>.po`` holds what
it is in another language, with the same fields in the order that the language wants. ``tests/test_wording.py`` finds every
sentence in the code and holds the catalogue to it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from descentlab.i18n.language import Language
from descentlab.i18n.message import message as message  # beside the functions that translate it

CATALOGUES = Path(__file__).parent / "catalogues"
_spoken: ContextVar[Language] = ContextVar("language", default="en")


@contextlib.contextmanager
def spoken(language: Language) -> Iterator[None]:
    """Let :func:`words` speak ``language`` inside."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def current_language() -> Language:
    """The language that is spoken now; ``en`` unless :func:`spoken` says otherwise."""
    return _spoken.get()


@functools.cache
def read_catalogue(language: str) -> Mapping[str, str]:
    """Translations by English sentence."""
    from babel.messages.pofile import read_po

    with (CATALOGUES / f"{language}.po").open("rb") as file:
        return {str(entry.id): str(entry.string) for entry in read_po(file) if entry.id and entry.string}


def words(text: str, /, **values: Any) -> str:
    """``text`` in the language that is spoken, its fields filled as by ``str.format``.

    What has no translation stays as it is: names from a config, a problem of the reader's own. Without ``values`` braces
    are letters.
    """
    language = _spoken.get()
    said = text if language == "en" else read_catalogue(language).get(text, text)
    return said.format(**values) if values else said


def joined(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else words("{first} and {last}", first=", ".join(parts[:-1]), last=parts[-1])


def counted(count: int, one: str, other: str, **values: Any) -> str:
    """``one`` or ``other``, translated, with ``{n}`` for the count: ``counted(4, "{n} problem", "{n} problems")``."""
    return words(one if count == 1 else other, n=f"{count:,}", **values)
