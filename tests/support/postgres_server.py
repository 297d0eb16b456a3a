"""MLflow's server on PostgreSQL, on this machine: both listen on 127.0.0.1 only, all state is in one temporary folder."""

from __future__ import annotations

import base64
import contextlib
import getpass
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.local_daemons import free_ports, running_daemon, wait_until

ADMIN = "admin"

# What docs/clusters.md shows: whoever has an account may read everything, and may change what is theirs.
AUTH_CONFIG = """\
[mlflow]
default_permission = READ
database_uri = postgresql://mlflow@127.0.0.1:{port}/mlflow_auth
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def postgres_programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs, which Debian keeps off the PATH; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL with the databases ``mlflow`` and ``mlflow_auth``, of a user ``mlflow``.

    Attributes:
        folder: its state.
        port: of 127.0.0.1.
        environment: of a client, with the password.
    """

    folder: Path
    port: int
    environment: Mapping[str, str]

    def run(self, program: str, *arguments: str) -> str:
        """What one of PostgreSQL's programs prints; one that fails fails the test."""
        command = [str(_programs() / program), *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=dict(self.environment),
            cwd=self.folder,
            user=_user(),
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout.strip()

    def query(self, sql: str) -> str:
        """The one value that a query of the database ``mlflow`` gives."""
        return self.run("psql", "--dbname=mlflow", "--no-align", "--tuples-only", f"--command={sql}")


def _programs() -> Path:
    folder = postgres_programs()
    assert folder is not None, "PostgreSQL is not installed"
    return folder


def _user() -> str | None:
    return "postgres" if getpass.getuser() == "root" else None  # PostgreSQL refuses to run as root


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """PostgreSQL with a password of its own; neither process nor file of it is left at the end.

    Raises:
        TimeoutError: it did not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # short: the name of a socket has at most 107 characters
    try:
        if _user() is not None:
            shutil.chown(folder, _user(), _user())
        (port,) = free_ports(1)
        password = secrets.token_urlsafe(16)
        client = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "mlflow", "PGPASSWORD": password}
        postgres = Postgres(folder, port, {**os.environ, **client})
        data = str(folder / "data")
        secret = folder / "password"
        secret.write_text(password)
        postgres.run("initdb", "--auth=scram-sha-256", "--username=mlflow", f"--pwfile={secret}", data)
        secret.unlink()
        command = [str(_programs() / "postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        with running_daemon(command, folder / "postgres.log", os.environ, _user()):
            ready = [str(_programs() / "pg_isready"), "--quiet"]
            wait_until(lambda: subprocess.run(ready, env=postgres.environment, check=False).returncode == 0, folder)
            for name in ("mlflow", "mlflow_auth"):
                postgres.run("createdb", name)
            yield postgres
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class TrackingServer:
    """A running ``mlflow server`` that asks for a name and a password.

    Attributes:
        uri: ``http://127.0.0.1:PORT``.
        password: of the administrator ``admin``.
    """

    uri: str
    password: str

    def status(self, host: str | None = None, password: str | None = None) -> int:
        """The HTTP status of a request for an experiment, as for ``host`` and with a password or without one."""
        asked = urllib.request.Request(f"{self.uri}/api/2.0/mlflow/experiments/get?experiment_id=0")
        if host is not None:
            asked.add_header("Host", host)
        if password is not None:
            asked.add_header("Authorization", f"Basic {base64.b64encode(f'{ADMIN}:{password}'.encode()).decode()}")
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0  # nothing listens


@contextlib.contextmanager
def running_tracking_server(postgres: Postgres) -> Iterator[TrackingServer]:
    """``mlflow server`` on PostgreSQL, with accounts and for requests to 127.0.0.1 only, as docs/clusters.md has it.

    Raises:
        TimeoutError: it did not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="mlflow-"))
    try:
        (port,) = free_ports(1)
        config = folder / "basic_auth.ini"
        config.write_text(AUTH_CONFIG.format(port=postgres.port))
        password = secrets.token_urlsafe(16)
        environment = {
            **postgres.environment,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(16),
        }
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--app-name",
            "basic-auth",
            "--backend-store-uri",
            f"postgresql://mlflow@127.0.0.1:{postgres.port}/mlflow",
            "--artifacts-destination",
            str(folder / "artifacts"),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--allowed-hosts",
            f"127.0.0.1:{port}",
            "--workers",
            "1",
        ]
        server = TrackingServer(f"http://127.0.0.1:{port}", password)
        with running_daemon(command, folder / "mlflow.log", environment):
            wait_until(lambda: server.status(password=password) == 200, folder)
            yield server
    finally:
        shutil.rmtree(folder)
