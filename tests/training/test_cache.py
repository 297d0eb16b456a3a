"""The run cache keeps what it was given, and never takes a damaged file for a run."""

from __future__ import annotations

import errno
import hashlib
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from descentlab.experiment.records import HISTORY
from descentlab.storage.atomic import WriteError
from descentlab.training.cache import cache_path, load_result, store_result
from descentlab.training.run_result import RunResult


@pytest.fixture
def result() -> RunResult:
    generator = np.random.default_rng(0)
    columns = {name: generator.normal(size=4) for name in HISTORY if name != "run_id"}
    history = pd.DataFrame({**columns, "updates": [0, 1, 2, 4], "examples": [0, 8, 16, 32]})
    weights = [generator.normal(size=(3, 2)).astype(np.float32) for _ in range(12)]
    return RunResult({"status": "finished", "optimum": float("nan")}, history, np.ones(5, np.float32), weights)


def test_a_result_comes_back_to_the_bit(tmp_path: Path, result: RunResult) -> None:
    store_result(tmp_path, "ab12", result)
    loaded = load_result(tmp_path, "ab12", pytest.fail)
    assert loaded is not None
    assert loaded.record["status"] == "finished"
    assert np.isnan(loaded.record["optimum"])
    assert_frame_equal(loaded.history, result.history[loaded.history.columns], check_exact=True)
    np.testing.assert_array_equal(loaded.scores, result.scores)
    assert len(loaded.weights) == 12
    for kept, given in zip(loaded.weights, result.weights, strict=True):
        np.testing.assert_array_equal(kept, given)


def test_an_absent_result_is_none(tmp_path: Path) -> None:
    assert load_result(tmp_path, "ab12", pytest.fail) is None


def damaged(content: bytes, damage: str) -> bytes:
    """What is left of a file; ``another version``: whole, of its own time, and without a column that is needed now."""
    if damage == "another version":
        archive = io.BytesIO()
        np.savez(archive, record=np.array("{}"), scores=np.ones(5), **{"history.steps": np.arange(4)})
        return archive.getvalue() + hashlib.sha256(b"ab12" + archive.getvalue()).digest()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]
    return {"cut": content[:middle], "zeroed": bytes(len(content)), "flipped": flipped, "empty": b""}[damage]


@pytest.mark.parametrize("damage", ["cut", "zeroed", "flipped", "empty", "another version"])
def test_a_damaged_file_is_named_and_passed_over(tmp_path: Path, result: RunResult, damage: str) -> None:
    store_result(tmp_path, "ab12", result)
    path = cache_path(tmp_path, "ab12")
    path.write_bytes(damaged(path.read_bytes(), damage))
    said: list[str] = []
    assert load_result(tmp_path, "ab12", said.append) is None
    reason = "KeyError: " if damage == "another version" else "ValueError: its content does not match its sha256)"
    assert len(said) == 1
    assert said[0].startswith(f"cache: {path} is damaged; the run will be trained again ({reason}")
    store_result(tmp_path, "ab12", result)
    assert load_result(tmp_path, "ab12", pytest.fail) is not None


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path, result: RunResult) -> None:
    short = replace(result, history=result.history.iloc[:1], weights=[np.ones(1, np.float32), np.ones(1, np.float32)])
    store_result(tmp_path, "ab12", short)
    path = cache_path(tmp_path, "ab12")
    whole = path.read_bytes()
    bits = np.random.default_rng(0).integers(0, 8, len(whole))
    said: list[str] = []
    for at, bit in enumerate(bits):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << int(bit))]) + whole[at + 1 :])
        assert load_result(tmp_path, "ab12", said.append) is None, f"bit {bit} of byte {at}"
    assert len(said) == len(whole) > 4000


def test_a_file_under_another_runs_name_is_noticed(tmp_path: Path, result: RunResult) -> None:
    store_result(tmp_path, "ab12", result)
    cache_path(tmp_path, "ab12").rename(cache_path(tmp_path, "ab34"))
    said: list[str] = []
    assert load_result(tmp_path, "ab34", said.append) is None
    assert "its content does not match its sha256" in said[0]


def test_a_cached_run_is_an_archive_for_anyone(tmp_path: Path, result: RunResult) -> None:
    store_result(tmp_path, "ab12", result)
    with np.load(cache_path(tmp_path, "ab12"), allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["scores"], result.scores)


def test_no_half_file_is_left_by_a_failed_write(
    tmp_path: Path, result: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(WriteError) as refused:
        store_result(tmp_path, "ab12", result)
    path = cache_path(tmp_path, "ab12")
    assert re.fullmatch(
        rf"{re.escape(str(path))}: could not be written: No space left on device, after 100 bytes, with [\d,]+ bytes free\. "
        r"No part of it was kept; fix the cause and run the same command again",
        str(refused.value),
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
