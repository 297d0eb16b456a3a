"""What ``make test`` takes of many cases of one kind; ``make zoo`` takes the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def one_of_a_kind(cases: Iterable[Any], kept: Collection[Any]) -> list[Any]:
    """The cases for ``parametrize``, those not ``kept`` marked ``zoo``; a tuple is the values of several arguments.

    Raises:
        ValueError: a case to keep is none of them.
    """
    cases = list(cases)
    if unknown := [case for case in kept if case not in cases]:
        raise ValueError(f"to be kept, but no case: {unknown}")
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    marks = [() if case in kept else pytest.mark.zoo for case in cases]
    return [pytest.param(*of_case, marks=mark) for of_case, mark in zip(values, marks, strict=True)]
