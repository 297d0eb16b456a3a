"""Tables and runs: checked when written and when read, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from descentlab.experiment.records import EXAMPLES, HISTORY, RUNS
from descentlab.storage.tables import (
    Column,
    TableError,
    check_table,
    content_digest,
    empty_table,
    read_table,
    write_table,
)


def table() -> pd.DataFrame:
    return pd.DataFrame({"run_id": ["a", "b"], "example": [1, 2], "score": [0.5, np.nan]})


@pytest.mark.parametrize("columns", [HISTORY, RUNS, EXAMPLES], ids=["history", "runs", "examples"])
def test_every_column_is_described(columns: dict[str, Column]) -> None:
    assert all(column.meaning for column in columns.values())
    assert {column.better for column in columns.values()} <= {"", "lower", "higher", "problem"}
    empty = empty_table(columns)
    assert (list(empty), len(empty)) == (list(columns), 0)
    assert [str(dtype) for dtype in empty.dtypes] == [column.dtype for column in columns.values()]
    pd.testing.assert_frame_equal(check_table(empty, columns, "here"), empty)


def test_losses_and_metrics_of_every_split_and_moment_are_columns() -> None:
    measured = {f"{split}_{what}" for split in ("train", "val", "test") for what in ("loss", "metric")}
    assert measured <= set(HISTORY)
    assert measured | {f"best_{name}" for name in measured} <= set(RUNS)
    assert all(RUNS[name].meaning.endswith("empty for tuning runs") for name in RUNS if "test_" in name)


def test_check_table_orders_and_converts() -> None:
    shuffled = table()[["score", "run_id", "example"]].astype({"example": "float64", "score": "float32"})
    checked = check_table(shuffled, EXAMPLES, "here")
    assert list(checked) == ["run_id", "example", "score"]
    assert [str(dtype) for dtype in checked.dtypes] == ["str", "int64", "float64"]
    assert str(shuffled["example"].dtype) == "float64"


def test_check_table_refuses_other_columns() -> None:
    wrong = table().drop(columns="score").assign(scores=1)
    with pytest.raises(TableError) as caught:
        check_table(wrong, EXAMPLES, "here")
    assert str(caught.value) == (
        "here: not the declared columns; missing: ['score'], unknown: ['scores']; declared: ['run_id', "
        "'example', 'score']"
    )
    with pytest.raises(TableError) as caught:
        check_table(table().drop(columns="run_id"), EXAMPLES, "here")
    assert str(caught.value) == (
        "here: not the declared columns; missing: ['run_id'], unknown: none; declared: ['run_id', 'example', 'score']"
    )


def test_check_table_refuses_other_types() -> None:
    with pytest.raises(TableError) as caught:
        check_table(table().assign(example=["x", "y"]), EXAMPLES, "here")
    assert str(caught.value) == (
        "here: column 'example' can't be read as int64: invalid literal for int() with base 10: 'x'"
    )
    with pytest.raises(TableError) as caught:
        check_table(table().assign(example=[1.0, np.nan]), EXAMPLES, "here")
    assert str(caught.value).startswith("here: column 'example' can't be read as int64: ")


def test_write_and_read_give_the_same_table(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "examples.parquet"
    write_table(table(), EXAMPLES, path)
    pd.testing.assert_frame_equal(read_table(path, EXAMPLES), check_table(table(), EXAMPLES, "here"))
    assert [p.name for p in path.parent.iterdir()] == ["examples.parquet"]


def test_reading_checks_too(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    table().drop(columns="score").to_parquet(path)
    with pytest.raises(TableError) as caught:
        read_table(path, EXAMPLES)
    assert str(caught.value) == (
        f"{path}: not the declared columns; missing: ['score'], unknown: none; declared: ['run_id', 'example', 'score']"
    )


def test_a_wrong_table_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "examples.parquet"
    write_table(table(), EXAMPLES, path)
    before = path.read_bytes()
    with pytest.raises(TableError):
        write_table(table().drop(columns="score"), EXAMPLES, path)
    assert path.read_bytes() == before


def test_the_digest_of_texts_is_the_same_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [pd.DataFrame({"run_id": [f"run {k}" for k in range(rows)]}) for rows in range(6)]
    whole = [content_digest(table) for table in tables]
    monkeypatch.setattr("descentlab.storage.tables.DIGESTED_ROWS", 2)
    assert [content_digest(table) for table in tables] == whole
    assert len(set(whole)) == 6
