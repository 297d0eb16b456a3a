"""What raises is left out and said in one line; what must end the program does."""

from __future__ import annotations

import pytest

from descentlab.measurements.attempt import NotMeasurableError, attempt


def raising(error: BaseException) -> int:
    raise error


def test_what_raises_is_nothing_and_one_line() -> None:
    said: list[str] = []
    assert attempt("a", lambda: 3, said.append) == 3
    assert attempt("b", lambda: raising(KeyError("x\ny")), said.append) is None
    assert attempt("c", lambda: raising(NotMeasurableError("it has no gradient")), said.append) is None
    assert [line[:3] for line in said] == ["b: ", "c: "] and not any("\n" in line for line in said)
    assert "KeyError" in said[0] and said[1] == "c: it has no gradient"


def test_an_interrupt_is_no_fault_of_a_readers() -> None:
    with pytest.raises(KeyboardInterrupt):
        attempt("a", lambda: raising(KeyboardInterrupt()), print)
