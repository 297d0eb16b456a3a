"""A program's own use of time and memory, whatever the process that starts it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.child_process import run_module

GIB = 2**30


def test_the_peak_is_the_programs_own(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text("")
    (tmp_path / "large.py").write_text(f"bytearray({GIB // 4})")
    held = b"x" * (GIB // 2)  # this process, which starts them, holds more than either
    small, large = run_module(tmp_path, "small"), run_module(tmp_path, "large")
    assert len(held) / GIB > large.peak_gib
    assert small.peak_gib < 0.1
    assert large.peak_gib == pytest.approx(small.peak_gib + 0.25, abs=0.02)


def test_seconds_are_the_programs_own(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text("import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(0.3)")
    used = run_module(tmp_path, "busy")
    assert 0.3 <= used.cpu_seconds < used.seconds
    assert used.seconds >= 0.6


def test_a_program_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("raise SystemExit('no such thing')")
    with pytest.raises(RuntimeError, match="no such thing"):
        run_module(tmp_path, "fails")
