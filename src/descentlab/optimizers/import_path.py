"""Importing objects named by a path ``package.module:NAME``, and suggestions for misspelled names."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Collection
from typing import Any

from descentlab.optimizers.error_line import one_line


class ImportPathError(ValueError):
    """The config names an object that can't be imported, or one that is not of the kind it must be."""


def suggestion(received: str, valid: Collection[str]) -> str:
    """The end of a sentence about an unknown word: ``, did you mean 'x'?`` with the nearest valid word, or a period.

    Example:
        >>> suggestion("adma", ["adam", "sgd"])
        ", did you mean 'adam'?"
        >>> suggestion("newton", ["adam", "sgd"])
        '.'
    """
    by_lower = {name.lower(): name for name in valid}
    near = difflib.get_close_matches(received.lower(), list(by_lower), n=1, cutoff=0.6)
    return f", did you mean '{by_lower[near[0]]}'?" if near else "."


def import_object(path: str, where: str) -> Any:
    """The object that ``package.module:name`` names.

    Raises:
        ImportPathError: the module can't be imported, or it has no such name.

    Example:
        >>> import_object("math:floor", where="here")(2.5)
        2
    """
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a reader's module may raise anything during import
        raise ImportPathError(f"{where}: '{path}' can't be imported: {one_line(error)}") from error
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise ImportPathError(
            f"{where}: an import path is 'package.module:name'; module '{module_name}' has no '{attribute}'"
            f"{suggestion(attribute, names)} It has: {', '.join(sorted(names))}"
        )
    return getattr(module, attribute)
