"""Read externally logged runs from an MLflow experiment; the store is never written to."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException

from descentlab.analysis.alarms import unknown
from descentlab.optimizers.import_path import suggestion
from descentlab.tracking.imported.mapping import LoggedMetric, MetricsMapping, RunMapping, choose_metric, first_of
from descentlab.tracking.store import MlflowClient, Run, database_file, store_uri

COMMIT = "mlflow.source.git.commit"
STORED_INFINITY = 1.7e308  # MLflow stores infinity as the largest float
OPEN = ("RUNNING", "SCHEDULED")
PASSWORD = re.compile("//[^/@]*@")  # never printed


class LoggedRunsError(ValueError):
    """The experiment doesn't exist, or its runs lack what a comparison needs; the message lists what was logged."""


@dataclass(frozen=True)
class LoggedRun:
    """One run of the store.

    Attributes:
        run_id: MLflow's.
        status: MLflow's: FINISHED, FAILED or KILLED.
        began: milliseconds since 1970 (UTC).
        params: as text.
        values: parameters, and tags where no parameter has the same name.
        ends: last value of ``train_loss``, ``val_metric`` and so on, as far as logged.
        curves: under the same names, except those of the test split: value by step.
        commit: of the code that trained; empty if MLflow didn't record it.
    """

    run_id: str
    status: str
    began: int
    params: dict[str, str]
    values: dict[str, str]
    ends: dict[str, float]
    curves: dict[str, dict[int, float]]
    commit: str


@dataclass(frozen=True)
class LoggedExperiment:
    """An experiment's runs that name an optimizer and have ended, in the order in which they began.

    Attributes:
        name, identity: MLflow's.
        metric: the one that is compared.
        runs: those that can be compared.
        left_out: entries of :func:`~descentlab.analysis.alarms.unknown` for the others.
    """

    name: str
    identity: str
    metric: LoggedMetric
    runs: list[LoggedRun]
    left_out: list[dict[str, Any]]


@contextlib.contextmanager
def reading(uri: str | None) -> Iterator[MlflowClient]:
    """A client of an existing store; MLflow itself would create an empty one.

    Raises:
        LoggedRunsError: there is no such file, or MLflow raised something; in one line.
    """
    where = store_uri(uri)
    place = PASSWORD.sub("//…@", where)
    path = database_file(where)
    if path is not None and not path.exists():
        raise LoggedRunsError(
            f"No MLflow store at '{place}': the file doesn't exist. Set its address by --tracking-uri or MLFLOW_TRACKING_URI"
        )
    for name, level in (("urllib3.connectionpool", logging.ERROR), ("alembic", logging.WARNING)):
        logging.getLogger(name).setLevel(level)  # each retry and each check of the schema would print a line
    try:
        yield MlflowClient(where)
    except (MlflowException, sqlite3.Error, OSError, ImportError) as error:  # a driver may not be installed
        reason = PASSWORD.sub("//…@", " ".join(str(error).split()))
        raise LoggedRunsError(
            f"Reading from MLflow at {place} failed with {type(error).__name__}: {reason[:300]}"
        ) from error


def read_experiment(name: str, mapping: RunMapping, uri: str | None) -> LoggedExperiment:
    """The experiment's runs with the curves that the mapping names.

    Raises:
        LoggedRunsError: no such experiment, no run with an optimizer, none that has ended, or none with a metric.
    """
    with reading(uri) as client:
        identity = find_experiment(client, name)
        logged_runs = search_all(client, identity, mapping.filter)
        where = f"experiment '{name}'"
        if not logged_runs:
            matching = f' that match the filter "{mapping.filter}"' if mapping.filter else ""
            raise LoggedRunsError(f"{where} has no runs{matching}")
        named = [run for run in logged_runs if first_of(mapping.params.optimizer, values_of(run)) is not None]
        if not named:
            raise LoggedRunsError(
                f"{where}: no run names its optimizer in a parameter or tag called {' or '.join(mapping.params.optimizer)} "
                f"(runs: {len(logged_runs)}; logged: {listed({key for run in logged_runs for key in values_of(run)})}). Name the "
                "right one in a mapping (params: {optimizer: …})"
            )
        logged = {key for run in named for key in run.data.metrics}
        metric = choose_metric(mapping.metrics, logged)
        names = names_by_column(metric, mapping.metrics)
        ended = [run for run in named if run.info.status not in OPEN]
        if not ended:
            raise LoggedRunsError(f"{where}: no run has ended yet (runs: {len(named)}). Try again when one has")
        wanted = {key for keys in names.values() for key in keys}
        if not wanted & logged:
            raise LoggedRunsError(
                f"{where}: no run logged any of {', '.join(sorted(wanted))} (runs: {len(named)}; logged: {listed(logged)}). "
                "Name the right ones in a mapping (metrics: {name: …, validation_loss: …})"
            )
        # A run that failed before its first epoch counts as failed; one that finished without a metric can't be compared.
        measured = [run for run in ended if run.info.status != "FINISHED" or wanted & set(run.data.metrics)]
        runs = [logged_run(client, run, names) for run in measured]
    counts = {
        "unattributed": (len(logged_runs) - len(named), {"names": " or ".join(mapping.params.optimizer)}),
        "running": (len(named) - len(ended), {}),
        "empty": (len(ended) - len(measured), {}),
    }
    left_out = [unknown(code, count, **values) for code, (count, values) in counts.items() if count]
    return LoggedExperiment(name, identity, metric, runs, left_out)


def find_experiment(client: MlflowClient, name: str) -> str:
    """The id of the experiment.

    Raises:
        LoggedRunsError: there is none, or it was deleted.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and experiment.lifecycle_stage == "active":
        return str(experiment.experiment_id)
    names = sorted(experiment.name for experiment in client.search_experiments())
    raise LoggedRunsError(
        f"--mlflow-experiment: the store has no experiment '{name}'{suggestion(name, names)} Its experiments: "
        f"{', '.join(names) or 'none'}"
    )


def search_all(client: MlflowClient, identity: str, condition: str) -> list[Run]:
    """All runs of an experiment, in the order in which they began."""
    runs: list[Run] = []
    token = None
    while True:
        order = ["attributes.start_time ASC", "attributes.run_id ASC"]
        page = client.search_runs([identity], condition, max_results=1000, page_token=token, order_by=order)
        runs += page
        token = page.token
        if not token:
            return runs


def values_of(run: Run) -> dict[str, str]:
    """Parameters, and tags where no parameter has the same name; MLflow's own tags are left out."""
    own = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    return {**own, **run.data.params}


def listed(names: set[str]) -> str:
    """Sorted names, for an error message."""
    return ", ".join(sorted(names)) or "none"


def names_by_column(metric: LoggedMetric, mapping: MetricsMapping) -> dict[str, tuple[str, ...]]:
    """The names under which each column of the table of runs may have been logged."""
    return {
        "train_loss": mapping.train_loss,
        "val_loss": mapping.validation_loss,
        "test_loss": mapping.test_loss,
        "train_metric": metric.train,
        "val_metric": metric.val,
        "test_metric": metric.test,
    }


def logged_run(client: MlflowClient, run: Run, names: Mapping[str, tuple[str, ...]]) -> LoggedRun:
    """A run with the last value of each column, and the curves of those that have one."""
    metrics = {key: as_logged(value) for key, value in run.data.metrics.items()}
    keys = {column: key for column, wanted in names.items() if (key := next((k for k in wanted if k in metrics), None))}
    histories: dict[str, dict[int, float]] = defaultdict(dict)
    for key in {key for column, key in keys.items() if not column.startswith("test_")}:
        for point in sorted(client.get_metric_history(run.info.run_id, key), key=lambda point: int(point.timestamp)):
            histories[key][int(point.step)] = as_logged(point.value)
    last = max((step for history in histories.values() for step in history), default=0)
    curves = {}
    for column, key in keys.items():
        if key in histories and not column.startswith("test_"):
            history = histories[key]
            # Logged once and without a step: the result of the training, not of its first epoch.
            curves[column] = {last: history[0]} if list(history) == [0] else dict(sorted(history.items()))
    return LoggedRun(
        run_id=str(run.info.run_id),
        status=str(run.info.status),
        began=int(run.info.start_time or 0),
        params=dict(run.data.params),
        values=values_of(run),
        ends={column: metrics[key] for column, key in keys.items()},
        curves=curves,
        commit=run.data.tags.get(COMMIT, ""),
    )


def as_logged(value: float) -> float:
    """A metric's value, with infinity restored: MLflow stores it as the largest float."""
    return math.copysign(math.inf, value) if abs(value) >= STORED_INFINITY else float(value)
