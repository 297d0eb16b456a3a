"""A program in a process of its own, and what that process used, whatever ran before it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# A small process between, which starts the program and waits for it: the kernel counts what the starting process holds in
# memory as the started one's peak. Into a file: seconds, user and system seconds, peak memory in the kernel's unit, status.
STARTER = """
import json, os, sys, time
begun = time.perf_counter()
child = os.spawnv(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, used = os.wait4(child, 0)
seconds = time.perf_counter() - begun
with open(sys.argv[1], "w") as file:
    json.dump([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss, os.waitstatus_to_exitcode(status)], file)
"""


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
    with tempfile.TemporaryFile("w+") as said, tempfile.NamedTemporaryFile("r") as measured:
        starter = [sys.executable, "-I", "-S", "-c", STARTER, measured.name]
        command = [*starter, sys.executable, "-m", module, *arguments]
        subprocess.run(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT, check=True)
        seconds, cpu_seconds, peak, status = json.load(measured)
        if status:
            said.seek(0)
            raise RuntimeError(f"{' '.join(arguments)} must end well; it said {said.read()[-1000:]}")
    kib = peak / (1024 if sys.platform == "darwin" else 1)
    return Used(seconds, cpu_seconds, kib / 1024**2)
