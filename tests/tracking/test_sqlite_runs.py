"""New runs inserted into a known SQLite store, beside what MLflow's client writes."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from descentlab.tracking import sqlite_runs
from descentlab.tracking.entry import RUN_ID, Entry
from descentlab.tracking.sqlite_runs import is_plain
from descentlab.tracking.track import TrackError, create_store, track_problem
from support.tracked_jobs import PROBLEM, RESULTS, some_runs, write_jobs

pytestmark = pytest.mark.usefixtures("own_folder")


def stored_rows(database: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, sorted; drawn ids by what they stand for, and no clock of the store's own."""
    with sqlite3.connect(database) as connection:
        names = dict(connection.execute("SELECT run_uuid, value FROM tags WHERE key = ?", (RUN_ID,)))
        names |= dict(connection.execute("SELECT dataset_uuid, name || digest FROM datasets"))
        names |= dict(connection.execute("SELECT input_uuid, source_id || destination_id FROM inputs"))
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {}
        for table in tables:
            cursor = connection.execute(f"SELECT * FROM {table}")
            clocks = [
                i for i, (column, *_) in enumerate(cursor.description) if table == "experiments" and "time" in column
            ]
            said = [tuple("" if i in clocks else cell for i, cell in enumerate(row)) for row in cursor]
            rows[table] = [tuple(in_words(cell, names) for cell in row) for row in said]
    return {table: sorted(values, key=repr) for table, values in rows.items()}


def store_in(folder: str) -> str:
    """The URI of a new store."""
    uri = f"sqlite:///{Path(folder, 'mlflow.db').resolve()}"
    create_store(uri)
    return uri


def stored_files(folder: str) -> dict[str, bytes]:
    """The artifacts of the runs by our id and their name."""
    with sqlite3.connect(f"{folder}/mlflow.db") as connection:
        names = dict(connection.execute("SELECT run_uuid, value FROM tags WHERE key = ?", (RUN_ID,)))
    files = [path for path in Path(folder, "mlflow-artifacts").rglob("*") if path.is_file()]
    return {in_words(str(path.relative_to(folder)), names): path.read_bytes() for path in files}


def in_words(cell: Any, names: dict[str, str]) -> Any:
    """A cell with the ids in it replaced, those of runs within those of inputs too."""
    for _ in range(2):
        for part in set(re.findall("[0-9a-f]{32}", cell)) & set(names) if isinstance(cell, str) else ():
            cell = cell.replace(part, names[part])
    return re.sub("/(inserted|by_client)/", "/folder/", cell) if isinstance(cell, str) else cell


@pytest.mark.parametrize("curves", [False, True])
def test_new_runs_have_the_very_rows_that_mlflows_client_writes(monkeypatch: pytest.MonkeyPatch, curves: bool) -> None:
    runs = some_runs()
    write_jobs(runs)
    track_problem(RESULTS, PROBLEM, store_in("inserted"), curves)
    inserted = stored_rows("inserted/mlflow.db")
    assert len(inserted["runs"]) == len(runs) + 2
    assert len(inserted["inputs"]) == len(inserted["runs"])  # each has its data set
    monkeypatch.setattr(sqlite_runs, "KNOWN_SCHEMAS", frozenset())
    monkeypatch.setattr(sqlite_runs, "insert_runs", None)  # an unknown schema is the client's
    track_problem(RESULTS, PROBLEM, store_in("by_client"), curves)
    by_client = stored_rows("by_client/mlflow.db")
    assert set(by_client) == set(inserted)
    for table, rows in by_client.items():
        assert inserted[table] == rows, table
    files = stored_files("by_client")
    assert len(files) == 2  # a picture for each parent
    assert stored_files("inserted") == files


def test_files_go_through_the_client_where_they_are_not_in_a_local_folder() -> None:
    def entry(written: bool) -> Entry:
        draw = (lambda folder: None) if written else None
        return Entry("a", "a", 0, 1, True, {}, {}, {}, write_artifacts=draw)

    assert [is_plain(entry(True), folder) for folder in ("/data", "file:///data", "s3://data")] == [True, True, False]
    assert is_plain(entry(False), "s3://data")


def test_a_name_that_mlflow_would_refuse_is_refused() -> None:
    runs = some_runs()
    runs["metric"] = "mean/../accuracy"
    write_jobs(runs)
    with pytest.raises(TrackError, match="Invalid value"):
        track_problem(RESULTS, PROBLEM, None)
