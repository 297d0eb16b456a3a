"""The MLflow store: created once, written by one process at a time, each run in it exactly once.

MLflow assigns run ids itself and can neither change a parameter nor delete a metric. So a run is identified by the tag
``descentlab.run_id``; a partly logged run is completed where it agrees with the files, and replaced where it doesn't.
Time stamps come from the files, so logging a value again adds no row.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

# MLflow reads these when it is imported, or at the first request.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a request a run, and two lines

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as Run
from mlflow.exceptions import MlflowException as MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient as MlflowClient
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError

from descentlab.tracking.entry import CONTEXT, DIGEST, PARENT, RUN_ID, Entry

DATABASE = Path("results/mlflow.db")
ARTIFACTS = "mlflow-artifacts"  # next to the database
MOST_VALUES = 1000  # MLflow's limit for one batch
EMPTY_EXPERIMENT = "0"  # MLflow makes it with every store
LOCK_SECONDS = 600.0  # what dozens of writers of thousands of runs take, one after the other
RETRY_SECONDS = 0.1


class TrackError(RuntimeError):
    """MLflow could not be reached or refused what was logged; the result files are untouched."""


def store_uri(uri: str | None) -> str:
    """The address of the tracking store: ``uri``, else MLFLOW_TRACKING_URI, else the database in results."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE.resolve()}"


def database_file(where: str) -> Path | None:
    """The file of an SQLite store; None for a server."""
    return Path(urlsplit(where).path[1:]) if where.startswith("sqlite:///") else None


@contextlib.contextmanager
def open_store(uri: str | None) -> Iterator[MlflowClient]:
    """A client of the store; a database file is created where there is none, and locked against this machine's other writers.

    Raises:
        TrackError: in one line, whatever MLflow raised.
    """
    where = store_uri(uri)
    path = database_file(where)
    for name, level in (
        ("urllib3.connectionpool", logging.ERROR),
        ("alembic", logging.WARNING),
        ("mlflow.store.db.utils", logging.CRITICAL),
    ):
        logging.getLogger(name).setLevel(level)  # each retry and each table of a new store would be a line
    try:
        with contextlib.ExitStack() as stack:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = path.with_name(f".{path.name}.lock")
                _wait_for_lock(stack.enter_context(lock.open("w")), lock)  # in place: a lock, empty
                stack.enter_context(_without_fsync(path))
                if not path.exists():
                    _make_database(path)
                with contextlib.closing(sqlite3.connect(path)) as database:
                    database.execute("PRAGMA journal_mode=WAL")  # it can be read while it is written to
            yield MlflowClient(where)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:  # a driver may be missing
        root: BaseException = error
        # What has a number is the system's word; it can have come up while something else was handled.
        while getattr(root, "errno", None) is None and (root.__cause__ or root.__context__):
            root = root.__cause__ or root.__context__ or root
        place = re.sub("//[^/@]*@", "//…@", where)  # no password in a log
        reason = " ".join(str(root).split())[:300]
        if path is not None and re.search("disk|space", reason):  # SQLite calls a full disk an I/O error too
            reason += f", with {shutil.disk_usage(path.parent).free:,} bytes free"
        raise TrackError(
            f"Logging to MLflow at {place} failed with {type(root).__name__}: {reason}. The results are safe in their "
            "files; track again when MLflow works (tracking.uri or MLFLOW_TRACKING_URI sets its address)"
        ) from error


@contextlib.contextmanager
def _without_fsync(path: Path) -> Iterator[None]:
    """SQLAlchemy's new connections to this database don't wait for the disk; those to any other stay as they are.

    With a write-ahead log this can't corrupt the database; what a power cut takes, the next ``track`` logs again.
    """

    def relax(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            _, _, file = connection.execute("PRAGMA database_list").fetchone()
            if file and Path(file).resolve() == path.resolve():
                connection.execute("PRAGMA synchronous = NORMAL")

    event.listen(Engine, "connect", relax)  # MLflow makes its engine itself
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)


def _wait_for_lock(lock: IO[str], path: Path) -> None:
    """Take the lock, which the kernel releases when its holder dies; a process that hangs must not block the others forever.

    Raises:
        TrackError: it was held for LOCK_SECONDS.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TrackError(
                    f"Timed out after {LOCK_SECONDS:g} s waiting for the store lock at {path}, which another process "
                    f"holds. The results are safe in their files; end that process if it hangs ('fuser {path}' shows "
                    "its id) and track again"
                ) from None
            time.sleep(RETRY_SECONDS)


def _make_database(path: Path) -> None:
    """A database with MLflow's schema, moved into place when it is complete: MLflow can't repair half of one.

    Its empty experiment ``Default`` is deleted, as it would only clutter the list of experiments.
    """
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        aside = Path(folder, path.name)
        with _without_fsync(aside):
            MlflowClient(f"sqlite:///{aside}").delete_experiment(EMPTY_EXPERIMENT)
        aside.replace(path)


def create_store(uri: str | None) -> None:
    """Create the database where there is none, and check that the store answers.

    Raises:
        TrackError: it doesn't, or the database can't be created.
    """
    with open_store(uri) as client:
        client.search_experiments(max_results=1)


def find_experiment(client: MlflowClient, uri: str | None, name: str) -> str:
    """The id of the experiment ``name``, which is created or restored if necessary."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        where = store_uri(uri)
        folder = (database_file(where) or DATABASE).parent / ARTIFACTS / name
        location = None if where.startswith("http") else folder.resolve().as_uri()  # a server decides itself
        try:
            return str(client.create_experiment(name, location))
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
        experiment = client.get_experiment_by_name(name)  # another machine made it meanwhile, or a request sent twice
        assert experiment is not None
    if experiment.lifecycle_stage != "active":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def set_experiment_tags(client: MlflowClient, experiment: str, tags: Mapping[str, str], owned: str) -> None:
    """Give an experiment ``tags``, and delete all others whose name starts with ``owned``."""
    stored = client.get_experiment(experiment).tags
    for name, value in tags.items():
        if stored.get(name) != value:
            client.set_experiment_tag(experiment, name, value)
    for name in stored:
        if name.startswith(owned) and name not in tags:
            client.delete_experiment_tag(experiment, name)


def find_runs(client: MlflowClient, experiment: str, condition: str) -> tuple[dict[str, Run], int]:
    """Our runs in the store by our id, and how many duplicates were deleted.

    Two machines that log the same run at once both create it. The one that began first is kept; the time stamps of
    duplicates are mostly equal, so MLflow's id decides, and whoever cleans up keeps the same one.
    """
    runs: dict[str, Run] = {}
    duplicates, token = 0, None
    while True:
        order = ["attributes.start_time ASC", "attributes.run_id ASC"]
        page = client.search_runs([experiment], condition, max_results=1000, page_token=token, order_by=order)
        for run in page:
            key = run.data.tags.get(RUN_ID)
            if key in runs:
                client.delete_run(run.info.run_id)
                duplicates += 1
            elif key is not None:
                runs[key] = run
        token = page.token
        if not token:
            return runs, duplicates


def put_run(
    client: MlflowClient, experiment: str, entry: Entry, existing: Run | None, parent: str | None = None
) -> tuple[str, str]:
    """Make the store hold ``entry``.

    The digest is written after all values and the status after it: a run with both is complete.

    Args:
        client: of the store.
        experiment: MLflow's id.
        entry: what is logged.
        existing: the run as the store has it, or None.
        parent: MLflow's id of the parent run, or None.

    Returns:
        MLflow's id of the run, and one of known, logged and replaced.

    Raises:
        MlflowException: the store can't be reached or refuses the run.
    """
    digest = entry.digest()
    if existing is not None:
        mlflow_id = str(existing.info.run_id)
        if existing.data.tags.get(DIGEST) == digest and existing.info.status in ("FINISHED", "FAILED"):
            if parent is not None and existing.data.tags.get(PARENT) != parent:
                client.set_tag(mlflow_id, PARENT, parent)
            return mlflow_id, "known"
        if not entry.agrees_with(existing):
            client.delete_run(mlflow_id)
            return put_run(client, experiment, entry, None, parent)[0], "replaced"
    else:
        mlflow_id = str(client.create_run(experiment, entry.began, entry.tags, entry.name).info.run_id)
    if entry.write_artifacts is not None:
        with tempfile.TemporaryDirectory() as folder:
            entry.write_artifacts(Path(folder))
            client.log_artifacts(mlflow_id, folder)
    if entry.dataset is not None:
        name, data_digest, kind, source, profile = entry.dataset.mlflow_fields()
        dataset = Dataset(name, data_digest, kind, source, profile=profile)
        client.log_inputs(mlflow_id, [DatasetInput(dataset, [InputTag(CONTEXT, entry.dataset.splits)])])
    tags = [RunTag(name, value) for name, value in entry.late_tags(mlflow_id, parent).items()]
    params = [Param(name, value) for name, value in entry.params.items()]
    metrics = [Metric(*value) for value in entry.values()]
    last = MOST_VALUES - len(params) - len(tags)
    for begin in range(last, len(metrics), MOST_VALUES):
        client.log_batch(mlflow_id, metrics[begin : begin + MOST_VALUES])
    client.log_batch(mlflow_id, metrics[:last], params, tags)
    client.set_terminated(mlflow_id, "FINISHED" if entry.finished else "FAILED", entry.ended)
    return mlflow_id, "logged"


def clear_artifacts(client: MlflowClient, uri: str | None, mlflow_id: str) -> None:
    """Delete a run's artifacts, so that no outdated one stays among the new ones."""
    location = client.get_run(mlflow_id).info.artifact_uri
    assert location is not None  # every store assigns one
    get_artifact_repository(location, store_uri(uri)).delete_artifacts()
