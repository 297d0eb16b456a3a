"""The files of a reader's own modules: those that a config names by import path, and those that they import.

Modules are found where Python would find them, and their files are read as text: none is run.
"""

from __future__ import annotations

import ast
import importlib.util
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path


def imported_files(names: Iterable[str]) -> dict[str, Path]:
    """The files of modules and of everything that they import, directly or indirectly, including inside functions.

    Modules of descentlab are not followed further, nor are installed ones, which are left out unless they are in ``names``.
    An import whose name is computed can't be seen.

    Args:
        names: dotted names of modules; those that can't be found are left out (``plan`` reports them).
    """
    requested = set(names)
    pending, seen, files = set(requested), set[str](), dict[str, Path]()
    while pending:
        name = pending.pop()
        seen.add(name)
        path = find_file(name)
        if path is None:
            continue
        followed = not _is_installed(path) and not belongs_to_package(name)
        if followed or name in requested or belongs_to_package(name):
            files[name] = path
        if followed:
            pending |= {*_imports(path, name), name.rpartition(".")[0]} - {""} - seen
    return files


def belongs_to_package(name: str) -> bool:
    """Whether a module is descentlab's."""
    return name.partition(".")[0] == "descentlab"


def find_file(name: str) -> Path | None:
    """The file of the module of that dotted name; None if there is none."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        # The last part alone: for a dotted name, importlib would import the package first.
        spec = PathFinder.find_spec(part, spec.submodule_search_locations)
    path = Path(spec.origin) if spec is not None and spec.origin is not None else None
    return path if path is not None and path.is_file() else None


def _is_installed(path: Path) -> bool:
    path = path.resolve()
    library = Path(sysconfig.get_path("stdlib")).resolve()
    return path.is_relative_to(library) or not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _imports(path: Path, module: str) -> Iterator[str]:
    """Dotted names that may be modules imported by ``module``; some of them are the names of functions and classes."""
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # plan reports it, as it can't be imported
        return
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
