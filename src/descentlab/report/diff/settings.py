"""Settings of a plan by their paths, so that two plans can be compared leaf by leaf."""

from __future__ import annotations

from typing import Any

from descentlab.i18n.wording import message

Key = tuple[str, ...]

MEMBERS = {"problems": message("problem"), "optimizers": message("optimizer")}


def flatten(value: Any, path: Key = ()) -> dict[Key, Any]:
    """The leaves of nested mappings and of lists of mappings by path; an item of a list by its name, or else its place."""
    items: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
        names = [str(item.get("name") or item.get("optimizer") or item.get("problem") or "") for item in value]
        named = all(names) and len(set(names)) == len(names)
        items = list(zip(names if named else map(str, range(len(value))), value, strict=True))
    if not items:
        return {path: value}
    return {key: leaf for name, item in items for key, leaf in flatten(item, (*path, name)).items()}


def member_of(path: Key) -> Key | None:
    """The problem or optimizer that a setting of plan.json belongs to, as (kind, name); None where to neither."""
    kind, *rest = path[1:] if path[0] == "config" else path
    kind = "problems" if kind == "runs" else kind
    return (kind, rest[0]) if kind in MEMBERS and rest else None
