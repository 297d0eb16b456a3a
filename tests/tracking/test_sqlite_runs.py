"""New runs inserted into a known SQLite store against what MLflow's client writes, and what such a store refuses."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from descentlab.tracking import sqlite_runs
from descentlab.tracking.entry import DIGEST, RUN_ID, Entry
from descentlab.tracking.sqlite_runs import is_plain
from descentlab.tracking.store import open_store
from descentlab.tracking.track import TrackError
from support.tracked_jobs import copy_empty_store, some_runs, track, write_jobs

pytestmark = pytest.mark.usefixtures("own_folder")


def stored_rows(database: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, sorted; drawn ids by what they stand for, no folder and no clock of the store's own."""
    folder = Path(database).resolve().parent.as_uri()
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
            timeless = [tuple("" if i in clocks else cell for i, cell in enumerate(row)) for row in cursor]
            rows[table] = [tuple(in_words(cell, {**names, folder: ""}) for cell in row) for row in timeless]
    return {table: sorted(values, key=repr) for table, values in rows.items()}


def store_in(folder: str) -> str:
    """The URI of a new store."""
    Path(folder).mkdir()
    return copy_empty_store(Path(folder, "mlflow.db"))


def stored_files(folder: str) -> dict[str, bytes]:
    """The artifacts of the runs by our id and their name."""
    with sqlite3.connect(f"{folder}/mlflow.db") as connection:
        names = dict(connection.execute("SELECT run_uuid, value FROM tags WHERE key = ?", (RUN_ID,)))
    files = [path for path in Path(folder, "mlflow-artifacts").rglob("*") if path.is_file()]
    return {in_words(str(path.relative_to(folder)), names): path.read_bytes() for path in files}


def in_words(cell: Any, names: dict[str, str]) -> Any:
    """A cell with the ids in it replaced, those of runs within those of inputs too."""
    if not isinstance(cell, str):
        return cell
    for _ in range(2):
        for name in names:
            cell = cell.replace(name, names[name])
    return cell


def test_new_runs_have_the_very_rows_that_mlflows_client_writes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = some_runs()
    write_jobs(runs)
    track(store_in("inserted"), tuning_curves=True)
    inserted = stored_rows("inserted/mlflow.db")
    assert len(inserted["runs"]) == len(runs) + 2
    assert len(inserted["inputs"]) == len(inserted["runs"])  # each has its data set
    assert capfd.readouterr().err == ""
    (schema,) = sqlite_runs.KNOWN_SCHEMAS
    monkeypatch.setattr(sqlite_runs, "KNOWN_SCHEMAS", frozenset({"older"}))
    uri = store_in("by_client")
    for logged in (len(runs), 0):
        assert track(uri, tuning_curves=True).logged == logged
    by_client = stored_rows("by_client/mlflow.db")
    assert set(by_client) == set(inserted)
    for table, rows in by_client.items():
        assert inserted[table] == rows, table
    files = stored_files("by_client")
    assert len(files) == 2  # a picture for each parent
    assert stored_files("inserted") == files
    assert capfd.readouterr().err == (  # once, not at each call
        f"descentlab: the MLflow database {Path('by_client/mlflow.db').resolve()} has schema {schema}; rows are inserted "
        "directly only for older. MLflow's client writes the runs instead, which is slower\n"
    )


def test_files_go_through_the_client_where_they_are_not_in_a_local_folder() -> None:
    def entry(written: bool) -> Entry:
        draw = (lambda folder: None) if written else None
        return Entry("a", "a", 0, 1, True, {}, {}, {}, write_artifacts=draw)

    assert [is_plain(entry(True), folder) for folder in ("/data", "file:///data", "s3://data")] == [True, True, False]
    assert is_plain(entry(False), "s3://data")


def test_a_metrics_name_that_mlflow_would_refuse_is_made_fit() -> None:
    runs = some_runs()
    runs["metric"] = "mean/../accuracy (%)"
    write_jobs(runs)
    assert track(store_in("new")).logged == len(runs)
    with contextlib.closing(sqlite3.connect("new/mlflow.db")) as store:
        names = {name for (name,) in store.execute("select distinct key from latest_metrics")}
    assert "test_mean_.._accuracy" in names and not any("/.." in name or "(" in name for name in names)


def add_constraint(database: str, statement: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement)


def test_runs_that_break_a_constraint_together_are_written_by_the_client() -> None:
    runs = some_runs(("adam",))
    write_jobs(runs)
    uri = store_in("strict")
    add_constraint(
        "strict/mlflow.db",
        "CREATE TRIGGER unfinished BEFORE INSERT ON runs WHEN NEW.end_time IS NOT NULL "
        "BEGIN SELECT RAISE(ABORT, 'a run begins without an end'); END",
    )
    assert track(uri).logged == len(runs)
    strict = stored_rows("strict/mlflow.db")
    track(store_in("plain"))
    assert strict == stored_rows("plain/mlflow.db")
    assert len(list(Path("strict").rglob("curve.png"))) == 1  # none stays of the transaction that was undone


def test_a_run_that_breaks_a_constraint_whoever_writes_it_is_named_and_no_row_is_dropped() -> None:
    runs = some_runs(("adam",))
    write_jobs(runs)
    uri = store_in("strict")
    add_constraint("strict/mlflow.db", "CREATE UNIQUE INDEX once ON tags (value) WHERE key = 'mode'")
    with pytest.raises(TrackError) as refused:
        track(uri)
    assert re.fullmatch(
        r"MLflow's database refuses the run 'up / adam / [^']*' \(UNIQUE constraint failed: [^)]*\)\. The results are safe in "
        "their files; remove the constraint from the database, or set tracking.uri or MLFLOW_TRACKING_URI to another store, "
        "and track again",
        str(refused.value),
    )
    with sqlite3.connect("strict/mlflow.db") as connection:
        tags = dict(connection.execute("SELECT key, count(*) FROM tags GROUP BY key"))
    assert (tags["mode"], tags["phase"]) == (1, 1)  # one run whole, by the client
    assert tags[DIGEST] == 2  # and the parent


def test_another_engine_of_the_process_keeps_its_pragma() -> None:
    ours, other = store_in("ours"), store_in("other")
    with open_store(ours):
        modes = []
        for uri in (ours, other):
            with create_engine(uri).connect() as connection:
                modes.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
    assert modes == [1, 2]  # NORMAL for ours; SQLite's default, FULL, for the other
