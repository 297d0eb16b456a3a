"""Whole or not at all. What else can go wrong with a disk is in test_faults.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from descentlab.storage.atomic import write_text, written_aside


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text(path, "whole ñ")
    with pytest.raises(RuntimeError), written_aside(path) as aside:
        aside.write_text("half")
        assert path.read_text(encoding="utf-8") == "whole ñ"
        raise RuntimeError
    assert path.read_bytes() == "whole ñ".encode()
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert path.stat().st_mode & 0o777 == 0o644
