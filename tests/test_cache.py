"""The run cache keeps what it was given, and never takes a damaged file for a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from descentlab.cache import RunResult, cache_path, load_result, run_digest, source_digest, store_result
from descentlab.records import HISTORY


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


@pytest.mark.parametrize("damage", ["cut", "zeroed", "flipped", "empty"])
def test_a_damaged_file_is_named_and_passed_over(tmp_path: Path, result: RunResult, damage: str) -> None:
    store_result(tmp_path, "ab12", result)
    path = cache_path(tmp_path, "ab12")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "zeroed":
        content = bytearray(len(content))
    elif damage == "empty":
        content = bytearray()
    else:
        at = content.find(result.weights[0].tobytes())
        content[at] ^= 0xFF
    path.write_bytes(content)
    said: list[str] = []
    assert load_result(tmp_path, "ab12", said.append) is None
    assert len(said) == 1
    assert said[0].startswith(f"cache: {path} is damaged and will be trained anew (")


def test_no_half_file_is_left_by_a_failed_write(tmp_path: Path, result: RunResult, monkeypatch) -> None:
    def savez(path: Path, **arrays: np.ndarray) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(OSError, match="No space left on device"):
        store_result(tmp_path, "ab12", result)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_digests_depend_on_every_part_and_on_nothing_else() -> None:
    assert run_digest({"a": 1, "b": [1.5, None]}) == run_digest({"b": [1.5, None], "a": 1})
    assert run_digest({"a": 1}) != run_digest({"a": 2})
    modules = ["descentlab.cache", "descentlab.records"]
    assert source_digest(modules) == source_digest(reversed(modules))
    assert source_digest(modules) != source_digest(modules[:1])
