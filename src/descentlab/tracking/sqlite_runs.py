"""Whole new runs into a local SQLite store: their rows in one transaction, the same rows that MLflow's client writes.

The client reads and commits some forty times a run: thirty milliseconds. A run that the store doesn't hold yet needs
none of it. Only for a schema whose rows are known: ``tests/tracking/test_sqlite_runs.py`` compares every row of every
table with the client's. Any other store, and whatever MLflow must check or complete, goes through the client
(:func:`put_runs`).
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import sqlite3
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from descentlab.tracking.entry import CONTEXT, DataSet, Entry
from descentlab.tracking.store import (
    MlflowClient,
    MlflowException,
    Run,
    TrackError,
    database_file,
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
    parent: str | None = None,
) -> list[tuple[str, str]]:
    """Make the store hold ``entries``; MLflow's id of each, and one of known, logged and replaced.

    New runs that break a constraint of the database together leave nothing in it: MLflow's client then writes each.

    Args:
        entries: each with what the store has of it.
        parent: MLflow's id of their parent, where they have one.

    Raises:
        MlflowException, sqlite3.Error: the store can't be reached or written to.
        TrackError: a run breaks a constraint of the database, whoever writes it.
    """
    inserted: dict[str, str] = {}
    violation = None
    with known_database(uri) as database:
        if database is not None:
            folder = artifact_folder(database, experiment)
            new = [entry for entry, existing in entries if existing is None and is_plain(entry, folder)]
            try:
                inserted = insert_runs(database, int(experiment), new, parent)
            except sqlite3.IntegrityError as error:
                violation = error
    outcomes = []
    for entry, existing in entries:
        if entry.key in inserted:
            outcomes.append((inserted[entry.key], "logged"))
            continue
        try:
            outcomes.append(put_run(client, experiment, entry, existing, parent))
        except MlflowException as error:
            if violation is None:
                raise
            raise TrackError(
                f"MLflow's database refuses the run '{entry.name}' ({violation}). The results are safe in their files; remove "
                "the constraint from the database, or set tracking.uri or MLFLOW_TRACKING_URI to another store, and track again"
            ) from error
    return outcomes


@contextlib.contextmanager
def known_database(uri: str | None) -> Iterator[sqlite3.Connection | None]:
    """A connection to the store's database, where it is a file with a known schema; None otherwise."""
    path = database_file(store_uri(uri))
    if path is None:
        yield None
        return
    with contextlib.closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as database:
        database.execute("PRAGMA synchronous = NORMAL")  # as the client's connections (store.py)
        database.execute("PRAGMA foreign_keys = ON")  # likewise
        versions = sorted(version for (version,) in database.execute("SELECT version_num FROM alembic_version"))
        if versions and KNOWN_SCHEMAS.issuperset(versions):
            yield database
        else:
            warn_of_schema(path, ", ".join(versions) or "none")
            yield None


@functools.cache
def warn_of_schema(path: Path, schema: str) -> None:
    """Say once per process that runs are written the slow way."""
    print(
        f"descentlab: the MLflow database {path} has schema {schema}; rows are inserted directly only for "
        f"{', '.join(sorted(KNOWN_SCHEMAS))}. MLflow's client writes the runs instead, which is slower",
        file=sys.stderr,
        flush=True,
    )


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

    Raises:
        sqlite3.Error, OSError: a row or a file can't be written; none of the others stays either.
    """
    place = artifact_folder(database, str(experiment))
    ids = {entry.key: uuid.uuid4().hex for entry in entries}
    folders = {run: Path(unquote(urlsplit(place).path), run) for run in ids.values()}
    rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in COLUMNS}
    try:
        with database:  # one transaction
            for entry in entries:
                run = ids[entry.key]
                if entry.write_artifacts is not None:
                    files = folders[run] / "artifacts"
                    files.mkdir(parents=True)
                    entry.write_artifacts(files)
                dataset = None if entry.dataset is None else find_dataset(database, experiment, entry.dataset)
                add_rows(rows, entry, run, f"{place}/{run}/artifacts", experiment, parent, dataset)
            for table, columns in COLUMNS.items():
                marks = ", ".join("?" for _ in columns.split(","))
                database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows[table])
    except BaseException:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return ids


def add_rows(
    rows: dict[str, list[tuple[object, ...]]],
    entry: Entry,
    run: str,
    artifacts: str,
    experiment: int,
    parent: str | None,
    dataset: str | None,
) -> None:
    """Append the rows of a run to those of each table.

    Args:
        run, parent, dataset: MLflow's ids of the run, of its parent and of the data that it reads.
        artifacts: where the run's files are.
    """
    status = "FINISHED" if entry.finished else "FAILED"
    details = (entry.name, "UNKNOWN", "", "", "unknown", status, entry.began, entry.ended, "", "active")
    rows["runs"].append((run, *details, artifacts, experiment))
    tags = {**entry.tags, "mlflow.runName": entry.name, **entry.late_tags(run, parent)}
    rows["tags"] += [(name, value, run) for name, value in tags.items()]
    rows["params"] += [(name, value, run) for name, value in entry.params.items()]
    latest: dict[str, tuple[int, int, float]] = {}
    for name, value, stamp, step in dict.fromkeys(entry.values()):  # a point logged twice is one row to MLflow too
        rows["metrics"].append((name, value, stamp, step, 0, run))
        latest[name] = max(latest.get(name, (step, stamp, value)), (step, stamp, value))
    rows["latest_metrics"] += [(name, value, stamp, step, 0, run) for name, (step, stamp, value) in latest.items()]
    if entry.dataset is not None:
        link = uuid.uuid4().hex
        rows["inputs"].append((link, "DATASET", dataset, "RUN", run, 0))
        rows["input_tags"].append((link, CONTEXT, entry.dataset.splits))


def find_dataset(database: sqlite3.Connection, experiment: int, dataset: DataSet) -> str:
    """MLflow's id of a data set, made where there is none."""
    description = dataset.mlflow_fields()
    row = database.execute(
        "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?",
        (experiment, *description[:2]),
    ).fetchone()
    if row is not None:
        return str(row[0])
    dataset_id = uuid.uuid4().hex
    database.execute(
        "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source, "
        "dataset_profile) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (dataset_id, experiment, *description),
    )
    return dataset_id
