"""A program in a process of its own, and what that process used, whatever ran before it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Used:
    """Wall seconds, user and system seconds, and peak memory in GiB; lower is better."""

    seconds: float
    cpu_seconds: float
    peak_gib: float


def run_verb(folder: Path, *arguments: str) -> Used:
    """Run ``python -m descentlab`` with these arguments in ``folder``."""
    return run_module(folder, "descentlab", *arguments)


def run_module(folder: Path, module: str, *arguments: str) -> Used:
    """Run ``python -m MODULE`` with these arguments in ``folder``, on the CPU and with the folder's own store.

    Raises:
        RuntimeError: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment = {**kept, "CUDA_VISIBLE_DEVICES": "", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile("w+") as said:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(arguments)} must end well; it said {said.read()[-1000:]}")
    kib = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Used(seconds, used.ru_utime + used.ru_stime, kib / 1024**2)
