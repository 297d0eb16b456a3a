"""The runs of an MLflow experiment as other code logged them; the store is read and never written to."""

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
from descentlab.imported.mapping import LoggedMetric, MetricsMapping, RunMapping, choose_metric, first_of
from descentlab.optimizers.import_path import suggestion
from descentlab.tracking.store import MlflowClient, Run, database_file, store_uri

COMMIT = "mlflow.source.git.commit"
STORED_INFINITY = 1.7e308  # MLflow stores infinity as the largest float
OPEN = ("RUNNING", "SCHEDULED")
PASSWORD = re.compile("//[^/@]*@")  # in a log it would stay


class LoggedRunsError(ValueError):
    """The experiment isn't there, or its runs don't tell enough; the message says what they do tell."""


@dataclass(frozen=True)
class LoggedRun:
    """One run of the store.

    Attributes:
        run_id: MLflow's.
        status: MLflow's: FINISHED, FAILED or KILLED.
        began: milliseconds since 1970 (UTC).
        params: as text.
        values: parameters, and tags where no parameter has the name.
        ends: last value of ``train_loss``, ``val_metric`` and so on, of those that were logged.
        curves: by the same names without the test split, value by step.
        commit: of the code that trained; empty where MLflow didn't know.
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
    """An experiment's runs that say of an optimizer and have ended, in the order in which they began.

    Attributes:
        name, identity: MLflow's.
        metric: what is compared.
        runs: those that count.
        left_out: what :func:`~descentlab.analysis.alarms.unknown` says of the others.
    """

    name: str
    identity: str
    metric: LoggedMetric
    runs: list[LoggedRun]
    left_out: list[dict[str, Any]]


@contextlib.contextmanager
def reading(uri: str | None) -> Iterator[MlflowClient]:
    """A client of a store that must be there: MLflow would make an empty one.

    Raises:
        LoggedRunsError: in one line, whatever MLflow raised.
    """
    where = store_uri(uri)
    place = PASSWORD.sub("//…@", where)
    path = database_file(where)
    if path is not None and not path.exists():
        raise LoggedRunsError(
            f"MLflow's store must be there; received '{place}', which is no file (--tracking-uri or MLFLOW_TRACKING_URI say "
            "where it is)"
        )
    for name, level in (("urllib3.connectionpool", logging.ERROR), ("alembic", logging.WARNING)):
        logging.getLogger(name).setLevel(level)  # each retry and each look at the schema would be a line
    try:
        yield MlflowClient(where)
    except (MlflowException, sqlite3.Error, OSError, ImportError) as error:  # a driver may not be installed
        reason = PASSWORD.sub("//…@", " ".join(str(error).split()))
        raise LoggedRunsError(
            f"MLflow at {place} must answer; received {type(error).__name__}: {reason[:300]}"
        ) from error


def read_experiment(name: str, mapping: RunMapping, uri: str | None) -> LoggedExperiment:
    """The experiment's runs with the curves that the mapping names.

    Raises:
        LoggedRunsError: no such experiment, no run with an optimizer, none that has ended, or none with a metric.
    """
    with reading(uri) as client:
        identity = find_experiment(client, name)
        found = search_all(client, identity, mapping.filter)
        where = f"experiment '{name}'"
        if not found:
            asked = f" that '{mapping.filter}' finds" if mapping.filter else ""
            raise LoggedRunsError(f"{where}: must have runs; it has none{asked}")
        named = [run for run in found if first_of(mapping.params.optimizer, values_of(run)) is not None]
        if not named:
            raise LoggedRunsError(
                f"{where}: a run must say its optimizer in a parameter or tag called {' or '.join(mapping.params.optimizer)}; "
                f"none of {len(found)} does. They have: {listed({key for run in found for key in values_of(run)})}. A mapping "
                "says which it is (params: {optimizer: …})"
            )
        logged = {key for run in named for key in run.data.metrics}
        metric = choose_metric(mapping.metrics, logged)
        names = names_by_column(metric, mapping.metrics)
        ended = [run for run in named if run.info.status not in OPEN]
        if not ended:
            raise LoggedRunsError(f"{where}: a run must have ended; none of {len(named)} has")
        wanted = {key for keys in names.values() for key in keys}
        if not wanted & logged:
            raise LoggedRunsError(
                f"{where}: a run must have logged one of {', '.join(sorted(wanted))}; none of {len(named)} has. They have: "
                f"{listed(logged)}. A mapping says which is which (metrics: {{name: …, validation_loss: …}})"
            )
        # A run that failed before its first epoch is a failure; one that finished and says nothing is something else.
        telling = [run for run in ended if run.info.status != "FINISHED" or wanted & set(run.data.metrics)]
        runs = [logged_run(client, run, names) for run in telling]
    counts = {
        "unattributed": (len(found) - len(named), {"names": " or ".join(mapping.params.optimizer)}),
        "running": (len(named) - len(ended), {}),
        "empty": (len(ended) - len(telling), {}),
    }
    left_out = [unknown(code, count, **values) for code, (count, values) in counts.items() if count]
    return LoggedExperiment(name, identity, metric, runs, left_out)


def find_experiment(client: MlflowClient, name: str) -> str:
    """The id of the experiment.

    Raises:
        LoggedRunsError: there is none, or it was deleted.
    """
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "active":
        return str(found.experiment_id)
    names = sorted(experiment.name for experiment in client.search_experiments())
    raise LoggedRunsError(
        f"--mlflow-experiment: must be an experiment of the store; received '{name}'{suggestion(name, names)} It has: "
        f"{', '.join(names) or 'none'}"
    )


def search_all(client: MlflowClient, identity: str, condition: str) -> list[Run]:
    """All runs of an experiment, in the order in which they began."""
    found: list[Run] = []
    token = None
    while True:
        order = ["attributes.start_time ASC", "attributes.run_id ASC"]
        page = client.search_runs([identity], condition, max_results=1000, page_token=token, order_by=order)
        found += page
        token = page.token
        if not token:
            return found


def values_of(run: Run) -> dict[str, str]:
    """Parameters, and the reader's own tags where no parameter has the name."""
    own = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    return {**own, **run.data.params}


def listed(names: set[str]) -> str:
    """Names in order, for an error."""
    return ", ".join(sorted(names)) or "none"


def names_by_column(metric: LoggedMetric, mapping: MetricsMapping) -> dict[str, tuple[str, ...]]:
    """Under which names each column of the table of runs may have been logged."""
    return {
        "train_loss": mapping.train_loss,
        "val_loss": mapping.validation_loss,
        "test_loss": mapping.test_loss,
        "train_metric": metric.train,
        "val_metric": metric.val,
        "test_metric": metric.test,
    }


def logged_run(client: MlflowClient, run: Run, names: Mapping[str, tuple[str, ...]]) -> LoggedRun:
    """A run with the last value of each column, and the curve of those that have one."""
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
            # Logged once and without a step: what came of the training, not of its first epoch.
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
    """A metric's value, infinity as it was before MLflow stored it."""
    return math.copysign(math.inf, value) if abs(value) >= STORED_INFINITY else float(value)
