"""MLflow on PostgreSQL behind its server, with accounts: `make test-postgres`. The store holds what the files hold."""

from __future__ import annotations

import importlib.util
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import RUNS
from descentlab.storage.tables import read_table
from descentlab.tracking.track import TrackError, track_problem
from support.postgres_server import (
    Postgres,
    TrackingServer,
    postgres_programs,
    running_postgres,
    running_tracking_server,
)
from support.stored_experiment import assert_store_holds
from support.workflow_fixture import snakemake_command, workflow_environment

USER = "somebody"  # runs the experiment, and is no administrator
NAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"  # where MLflow's client looks

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(postgres_programs() is None, reason="PostgreSQL is not installed (Debian: postgresql)"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("psycopg2", "flask_wtf")),
        reason="psycopg2 and Flask-WTF are not installed: make test-postgres does it",
    ),
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def server(postgres: Postgres) -> Iterator[TrackingServer]:
    with running_tracking_server(postgres) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def as_user(server: TrackingServer) -> Iterator[None]:
    """Everything here is done as USER, whose account the administrator has made."""
    from mlflow.server.auth.client import AuthServiceClient

    password = secrets.token_urlsafe(16)
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv(NAME, "admin")
        variables.setenv(PASSWORD, server.password)
        AuthServiceClient(server.uri).create_user(USER, password)
        variables.setenv(NAME, USER)
        variables.setenv(PASSWORD, password)
        yield


@pytest.fixture(scope="module")
def tracked(server: TrackingServer, as_user: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which test.yaml has run, tracked by the server."""
    folder = tmp_path_factory.mktemp("tracked")
    command = snakemake_command(folder, "--cores", "2", "--resources", "mlflow_writer=1")
    environment = {**workflow_environment(), "MLFLOW_TRACKING_URI": server.uri}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_store_holds_what_the_files_hold(server: TrackingServer, postgres: Postgres, tracked: Path) -> None:
    results = tracked / "results/test"
    values = assert_store_holds(server.uri, results)
    runs = read_table(results / "runs.parquet", RUNS)
    parents = len(runs.groupby(["problem", "optimizer"]))
    assert int(postgres.query("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'")) == len(runs) + parents + 1
    assert int(postgres.query("SELECT count(*) FROM metrics")) > values > 0
    assert not (tracked / "results/mlflow.db").exists()
    print(f"{len(runs)} runs and {values} values of metrics compared")


def test_tracking_again_adds_nothing(server: TrackingServer, postgres: Postgres, tracked: Path) -> None:
    tables = ("runs", "metrics", "params", "tags")
    before = [postgres.query(f"SELECT count(*) FROM {table}") for table in tables]
    again = track_problem(TrainingPlan.read(tracked / "results/test"), tracked / "results/test", "mlp", server.uri)
    assert (again.logged, again.removed) == (0, 0)
    assert again.known > 0
    assert [postgres.query(f"SELECT count(*) FROM {table}") for table in tables] == before


def test_an_account_is_asked_for(server: TrackingServer, tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (server.status(), server.status(password="wrong"), server.status(password=server.password)) == (
        401,
        401,
        200,
    )
    monkeypatch.delenv(NAME)
    monkeypatch.delenv(PASSWORD)
    with pytest.raises(TrackError, match=r"Logging to MLflow at .* failed with .*[Nn]ot authenticated"):
        track_problem(TrainingPlan.read(tracked / "results/test"), tracked / "results/test", "mlp", server.uri)


def test_only_the_allowed_host_is_answered(server: TrackingServer) -> None:
    assert server.status(host="elsewhere.example", password=server.password) == 403
