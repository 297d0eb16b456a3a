"""Whole new runs into a local SQLite store: their rows in one transaction, the same rows that MLflow's client writes.

The client reads and commits some forty times a run: thirty milliseconds. A run that the store doesn't hold yet needs
none of it. Only for a schema whose rows are known: ``tests/test_track.py`` compares every row of every table with the
client's. Any other store, and whatever MLflow must check or complete, goes through the client (:func:`put_runs`).
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence

from descentlab.mlflow_store import (
    DATASET_TAG,
    DIGEST,
    PARENT,
    Entry,
    MlflowClient,
    Run,
    database_file,
    describe_dataset,
    put_run,
    store_uri,
)

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
    parent: str,
) -> Counter[str]:
    """Make the store hold the children of a parent; how many were known, logged and replaced.

    Args:
        entries: each with what the store has of it.
        parent: MLflow's id of their parent.

    Raises:
        MlflowException, sqlite3.Error: the store is away.
    """
    done: Counter[str] = Counter()
    with known_database(uri) as database:
        new = [entry for entry, found in entries if found is None and database is not None and is_plain(entry)]
        if database is not None and new:
            with database:  # one transaction
                insert_runs(database, int(experiment), new, parent)
            done["logged"] += len(new)
    inserted = {entry.key for entry in new}
    for entry, found in entries:
        if entry.key not in inserted:
            done[put_run(client, experiment, entry, found, parent)[1]] += 1
    return done


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


def is_plain(entry: Entry) -> bool:
    """Whether MLflow would store the entry's names and values just as they are."""
    names = {*entry.tags, *entry.params, *entry.metrics, *(entry.curve or ())}
    return (
        not entry.texts
        and all(len(name) <= MOST_NAME and PLAIN_NAME.fullmatch(name) for name in names)
        and all(len(value) <= MOST_PARAM for value in entry.params.values())
        and all(len(value) <= MOST_TAG for value in entry.tags.values())
        and len(entry.name) <= MOST_NAME
    )


def insert_runs(database: sqlite3.Connection, experiment: int, entries: Sequence[Entry], parent: str) -> None:
    """The rows of runs that the store doesn't hold, as the client leaves them when a run has been terminated."""
    (folder,) = database.execute(
        "SELECT artifact_location FROM experiments WHERE experiment_id = ?", (experiment,)
    ).fetchone()
    rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in COLUMNS}
    for entry in entries:
        run = uuid.uuid4().hex
        status = "FINISHED" if entry.finished else "FAILED"
        about = (entry.name, "UNKNOWN", "", "", "unknown", status, entry.began, entry.ended, "", "active")
        rows["runs"].append((run, *about, f"{folder}/{run}/artifacts", experiment))
        tags = {**entry.tags, "mlflow.runName": entry.name, DIGEST: entry.digest(), PARENT: parent}
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
            rows["input_tags"].append((link, *DATASET_TAG))
    for table, columns in COLUMNS.items():
        marks = ", ".join("?" for _ in columns.split(","))
        # The same value twice at a step is one row to MLflow too.
        database.executemany(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", rows[table])


def find_dataset(database: sqlite3.Connection, experiment: int, dataset: tuple[str, str]) -> str:
    """MLflow's id of a data set, made where there is none."""
    about = describe_dataset(dataset)
    found = database.execute(
        "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?",
        (experiment, *about[:2]),
    ).fetchone()
    if found is not None:
        return str(found[0])
    made = uuid.uuid4().hex
    database.execute(
        "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (made, experiment, *about),
    )
    return made
