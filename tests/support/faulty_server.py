"""MLflow's server on this machine, and in front of it a proxy that delays, refuses or loses what it is asked."""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from support.local_daemons import free_ports, running_daemon, wait_until

GIVEN, REFUSED, LOST = "given", "refused", "lost"  # lost: the server did it, but answers the client that it failed


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """``mlflow server`` with its database and artifacts in ``folder``; its address."""
    (port,) = free_ports(1)
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    with running_daemon(command, folder / "mlflow.log", environment):
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_up(address), folder)
        yield address


def is_up(address: str) -> bool:
    """Whether a server answers that it is well."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=30) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@dataclass
class Faults:
    """What the proxy does to the calls, and which ones it got.

    Attributes:
        fate: of each call, from its number (the first is 1) and its address: GIVEN, REFUSED or LOST.
        delay_seconds: before each answer.
        calls: method and address of each.
    """

    fate: Callable[[int, str], str] = lambda number, address: GIVEN
    delay_seconds: float = 0.0
    calls: list[str] = field(default_factory=list)


@contextlib.contextmanager
def faulty_proxy(server: str, faults: Faults) -> Iterator[str]:
    """The address of a proxy in front of ``server``."""
    target = urlsplit(server).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with counting:
                faults.calls.append(f"{self.command} {self.path}")
                fate = faults.fate(len(faults.calls), self.path)
            status, answer = 500, b"{}"
            if fate != REFUSED:
                headers = {
                    name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
                }
                connection = http.client.HTTPConnection(target, timeout=60)
                connection.request(self.command, self.path, content, headers)
                response = connection.getresponse()
                body = response.read()
                connection.close()
                if fate == GIVEN:
                    status, answer = response.status, body
            time.sleep(faults.delay_seconds)
            with contextlib.suppress(ConnectionError):  # the client may have gone
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

        def log_message(self, *_: object) -> None:
            """Nothing."""

    counting = threading.Lock()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
