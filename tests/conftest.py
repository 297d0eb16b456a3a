"""What the tests share: TensorFlow started once, as a job starts it."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from pathlib import Path

import pytest

from support.workflow_fixture import run_snakemake

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # read when TensorFlow is first imported, which a test module may do
# One thread of BLAS, as Snakemake gives a job. Two wait for each other on matrices as small as these: the optimum of
# logistic regression takes ten times as long. Read when NumPy is first imported, and by the processes that tests start.
os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}

SLOWEST_FILES = 15
FAST_TO_COMPILE = (
    "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The files that took longest: fixtures count for the file that first asks for them."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if len(seconds) > 1:
        terminalreporter.section(f"slowest files of {len(seconds)}")
        for name, taken in seconds.most_common(SLOWEST_FILES):
            terminalreporter.write_line(f"{taken:7.1f}s {name}")


@pytest.fixture(scope="session")
def device() -> str:
    """Threads and memory set before TensorFlow starts; the device's name.

    A module whose tests compute with TensorFlow asks for it: ``pytestmark = pytest.mark.usefixtures("device")``. XLA compiles
    with little optimizing, in less time, as most of what it compiles here runs for milliseconds, unless XLA_FLAGS says otherwise
    (``make zoo``). The processes that tests start, workflows among them, compile as they do for a user.
    """
    from descentlab.training.engine.device import configure_device

    os.environ.setdefault("XLA_FLAGS", FAST_TO_COMPILE)
    configured = configure_device()
    import tensorflow as tf

    tf.function(tf.identity, jit_compile=True)(1.0)  # XLA reads its flags now
    del os.environ["XLA_FLAGS"]
    return configured


@pytest.fixture(scope="session")
def finished_workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole workflow of test.yaml has run once. Read it; what changes it works on a copy.

    All processes of a parallel run share it: the first makes it, the others wait.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "finished_workflow"
    folder.mkdir(exist_ok=True)
    said = folder / "snakemake.out"
    with (shared / "finished_workflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            finished = run_snakemake(folder)
            assert finished.returncode == 0, finished.stdout
            said.write_text(finished.stdout)
    return folder


@pytest.fixture(scope="session", autouse=True)
def started_device(request: pytest.FixtureRequest) -> None:
    """In a parallel run any file may come first, also one that starts TensorFlow without asking for ``device``."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        request.getfixturevalue("device")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own for the test, with the default store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
