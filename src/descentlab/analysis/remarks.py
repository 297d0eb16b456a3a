"""What a reader must know about a number, as a code with the values that its sentence is filled with.

Tables and documents hold codes, so that results can be compared whatever language their pages are in;
:mod:`descentlab.report.phrases` has the sentence of each code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Remark = Mapping[str, Any]


def remark(code: str, **values: Any) -> Remark:
    """A code with its values, converted to plain JSON types.

    Example:
        >>> remark("problem", problem="mlp")
        {'code': 'problem', 'problem': 'mlp'}
    """
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
    return {"code": code, **plain}


def pack_remarks(remarks: Iterable[Remark]) -> str:
    """Remarks as one JSON text, for a column of a table; empty if there are none."""
    remark_list = list(remarks)
    return json.dumps(remark_list, sort_keys=True, ensure_ascii=False) if remark_list else ""


def unpack_remarks(text: str) -> list[Remark]:
    """The remarks in a text from :func:`pack_remarks`."""
    return list(json.loads(text)) if text else []


def name_place(place: Remark) -> str:
    """A place as plain text, the same in every language; it identifies a piece of evidence.

    Example:
        >>> name_place({"code": "share", "problem": "mlp", "share": 0.1})
        'share: problem=mlp, share=0.1'
    """
    values = ", ".join(f"{name}={value}" for name, value in sorted(place.items()) if name != "code")
    return f"{place['code']}: {values}" if values else str(place["code"])
