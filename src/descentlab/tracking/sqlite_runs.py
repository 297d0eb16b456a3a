"""Whole new runs into a local SQLite store: their rows in one transaction, the same rows that MLflow's client writes.

The client reads and commits some forty times a run: thirty milliseconds. A run that the store doesn't hold yet needs
none of it. Only for a schema whose rows are known: ``tests/test_sqlite_runs.py`` compares every row of every table with
the client's. Any other store, and whatever MLflow must check or complete, goes through the client (:func:`put_runs`).
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from descentlab.tracking.entry import CONTEXT, DataSet, Entry
from descentlab.tracking.store import MlflowClient, Run, database_file, put_run, store_uri

# MLflow's alembic versions (3.17.2 has this one) whose rows are known.
KNOWN_SCHEMAS = frozenset({"dc11669786a5"})
LOCK_SECONDS = 60.0
# What MLflow takes without a change: a longer name or value is the client's to refuse or to cut.
PLAIN_NAME = re.compile(r"\w[\w.\- :]*(/\w[\w.\- :]*)*")
MOST_NAME, MOST_PARAM, MOST_TAG = 240, 6000, 8000  # a curve's name has six characters more
COLUMNS = {
    "runs": "run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, "
    "source_version, lifecycle_stage, artifact_uri, experiment_id",
    "tags": "key, value, run_uuid",
    "params": "key, value, run_uuid",
    "metrics": "key, value, timestamp, step, is_nan, run_uuid",
    "latest_metrics": "key, value, timestamp, step, is_nan, run_uuid",
    "inputs": "input_uuid, source_type, source_id, destination_type, destination_id, step",
    "input_tags": "input_uuid, name, value",
}


def put_runs(
    client: MlflowClient,
    uri: str | None,
    experiment: str,
    entries: Sequence[tuple[Entry, Run | None]],
    parent: str | None = None,
) -> list[tuple[str, str]]:
    """Make the store hold ``entries``; MLflow's id of each, and one of known, logged and replaced.

    Args:
        entries: each with what the store has of it.
        parent: MLflow's id of their parent, where they have one.

    Raises:
        MlflowException, sqlite3.Error: the store is away.
    """
    inserted: dict[str, str] = {}
    with known_database(uri) as database:
        if database is not None:
            folder = artifact_folder(database, experiment)
            new = [entry for entry, found in entries if found is None and is_plain(entry, folder)]
            with database:  # one transaction
                inserted = insert_runs(database, int(experiment), new, parent)
    return [
        (inserted[entry.key], "logged") if entry.key in inserted else put_run(client, experiment, entry, found, parent)
        for entry, found in entries
    ]


@contextlib.contextmanager
def known_database(uri: str | None) -> Iterator[sqlite3.Connection | None]:
    """A connection to the store's database, where it is a file with a known schema; None otherwise."""
    path = database_file(store_uri(uri))
    if path is None:
        yield None
        return
    with contextlib.closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as database:
        versions = {version for (version,) in database.execute("SELECT version_num FROM alembic_version")}
        database.execute("PRAGMA synchronous = NORMAL")  # as the client's connections (mlflow_store)
        yield database if versions and versions <= KNOWN_SCHEMAS else None


def artifact_folder(database: sqlite3.Connection, experiment: str) -> str:
    """Where the experiment's artifacts are, as MLflow has it."""
    query = "SELECT artifact_location FROM experiments WHERE experiment_id = ?"
    return str(database.execute(query, (int(experiment),)).fetchone()[0])


def is_plain(entry: Entry, folder: str) -> bool:
    """Whether MLflow would store the entry's names, values and files just as they are, the files in a local folder."""
    names = {*entry.tags, *entry.params, *entry.metrics, *(entry.curve or ())}
    return (
        (entry.write_artifacts is None or urlsplit(folder).scheme in ("", "file"))
        and all(len(name) <= MOST_NAME and PLAIN_NAME.fullmatch(name) for name in names)
        and all(len(value) <= MOST_PARAM for value in entry.params.values())
        and all(len(value) <= MOST_TAG for value in (*entry.tags.values(), entry.note))
        and len(entry.name) <= MOST_NAME
    )


def insert_runs(
    database: sqlite3.Connection, experiment: int, entries: Sequence[Entry], parent: str | None
) -> dict[str, str]:
    """The files and rows of runs that the store doesn't hold, as the client leaves them when a run has been terminated.

    Returns:
        MLflow's ids by ours.
    """
    folder = artifact_folder(database, str(experiment))
    ids: dict[str, str] = {}
    rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in COLUMNS}
    for entry in entries:
        run = ids[entry.key] = uuid.uuid4().hex
        if entry.write_artifacts is not None:
            files = Path(unquote(urlsplit(folder).path), run, "artifacts")
            files.mkdir(parents=True)
            entry.write_artifacts(files)
        status = "FINISHED" if entry.finished else "FAILED"
        about = (entry.name, "UNKNOWN", "", "", "unknown", status, entry.began, entry.ended, "", "active")
        rows["runs"].append((run, *about, f"{folder}/{run}/artifacts", experiment))
        tags = {**entry.tags, "mlflow.runName": entry.name, **entry.late_tags(run, parent)}
        rows["tags"] += [(name, value, run) for name, value in tags.items()]
        rows["params"] += [(name, value, run) for name, value in entry.params.items()]
        latest: dict[str, tuple[int, int, float]] = {}
        for name, value, stamp, step in entry.values():
            rows["metrics"].append((name, value, stamp, step, 0, run))
            latest[name] = max(latest.get(name, (step, stamp, value)), (step, stamp, value))
        rows["latest_metrics"] += [(name, value, stamp, step, 0, run) for name, (step, stamp, value) in latest.items()]
        if entry.dataset is not None:
            link = uuid.uuid4().hex
            rows["inputs"].append((link, "DATASET", find_dataset(database, experiment, entry.dataset), "RUN", run, 0))
            rows["input_tags"].append((link, CONTEXT, entry.dataset.splits))
    for table, columns in COLUMNS.items():
        marks = ", ".join("?" for _ in columns.split(","))
        # The same value twice at a step is one row to MLflow too.
        database.executemany(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", rows[table])
    return ids


def find_dataset(database: sqlite3.Connection, experiment: int, dataset: DataSet) -> str:
    """MLflow's id of a data set, made where there is none."""
    about = dataset.described()
    found = database.execute(
        "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?",
        (experiment, *about[:2]),
    ).fetchone()
    if found is not None:
        return str(found[0])
    made = uuid.uuid4().hex
    database.execute(
        "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source, "
        "dataset_profile) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (made, experiment, *about),
    )
    return made
