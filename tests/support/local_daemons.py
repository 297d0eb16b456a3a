"""Servers that a test starts on this machine, none of which outlives it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

SECONDS_UNTIL_UP = 120
SECONDS_UNTIL_DOWN = 30


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def start_daemon(
    command: list[str], log: Path, environment: Mapping[str, str], user: str | None = None
) -> subprocess.Popen[bytes]:
    """Start a program, which is killed at the latest when this process ends.

    Args:
        command: it, in the foreground.
        log: where it writes; it runs in the folder of it.
        environment: all of its variables.
        user: whom it runs as; this process's by default.
    """
    rights = [] if user is None else [f"--reuid={user}", f"--regid={user}", "--init-groups"]
    with log.open("wb") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *rights, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=dict(environment),
            cwd=log.parent,
            start_new_session=True,
        )


def wait_until(answers: Callable[[], bool], logs: Path) -> None:
    """Wait until daemons answer.

    Raises:
        TimeoutError: they don't; the ends of the logs in the folder ``logs`` are part of the message.
    """
    deadline = time.monotonic() + SECONDS_UNTIL_UP
    while not answers():
        if time.monotonic() > deadline:
            ends = [f"{log.name}: {line}" for log in logs.glob("*.log") for line in log.read_text().splitlines()[-8:]]
            raise TimeoutError("\n".join([f"daemons must answer within {SECONDS_UNTIL_UP} s; their logs end:", *ends]))
        time.sleep(0.2)


@contextlib.contextmanager
def running_daemon(
    command: list[str], log: Path, environment: Mapping[str, str], user: str | None = None
) -> Iterator[None]:
    """A daemon for as long as the block; then it and its children are told to end, and killed if they don't."""
    daemon = start_daemon(command, log, environment, user)
    try:
        yield
    finally:
        for order in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(daemon.pid, order)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(SECONDS_UNTIL_DOWN)
