"""A workflow whose processes are killed (``kill -9``), and what its user does next, as docs/reliability.md says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.workflow_fixture import ROOT, TEST_CONFIG, snakemake_command, workflow_environment


@dataclass(frozen=True)
class Job:
    """A process of descentlab that works for a workflow.

    Attributes:
        pid: of the process.
        name: its verb, and its problem where it has one.
    """

    pid: int
    name: str

    def kill(self) -> bool:
        """Whether there was something to kill."""
        with contextlib.suppress(OSError):
            alive = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
            os.kill(self.pid, signal.SIGKILL)
            return alive
        return False


class KilledWorkflow:
    """Snakemake in a folder of its own, in a session of its own by which its jobs are known from orphans of another.

    Attributes:
        snakemake: the process that was started last.
        unlocks: how often the folder had to be unlocked.
    """

    def __init__(self, folder: Path, *targets: str, config: Path = TEST_CONFIG, source: Path = ROOT) -> None:
        self.folder = folder
        self.unlocks = 0
        self._command = snakemake_command(folder, "--cores", "2", *targets, config=config, source=source)
        self._environment = workflow_environment(source)
        self._sessions: list[int] = []
        self.snakemake = self._start()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as out:
            started = subprocess.Popen(
                [*self._command, *arguments],
                cwd=self.folder,
                env=self._environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._sessions.append(started.pid)
        return started

    @property
    def output(self) -> Path:
        """What the snakemake that was started last says."""
        return self.folder / "snakemake.out"

    def jobs(self) -> list[Job]:
        """The jobs of the snakemake that was started last."""
        return list(jobs_of_session(self.snakemake.pid))

    def kill_snakemake(self, with_jobs: bool) -> bool:
        """Kill snakemake, and at the same time its jobs or none of them; whether it was alive."""
        alive = self.snakemake.poll() is None
        if with_jobs:
            os.killpg(self.snakemake.pid, signal.SIGKILL)
        else:
            self.snakemake.kill()
        self.snakemake.wait()
        return alive

    def go_on(self) -> None:
        """Start snakemake again as docs/reliability.md says, the folder unlocked where it is locked."""
        locks = self.folder / ".snakemake/locks"
        if locks.is_dir() and any(locks.iterdir()):
            self._start("--unlock").wait()
            self.unlocks += 1
        self.snakemake = self._start("--rerun-incomplete")

    def end(self) -> None:
        """Leave no process behind."""
        for session in self._sessions:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
        self.snakemake.wait()


def jobs_of_session(session: int) -> Iterator[Job]:
    """The processes of descentlab in a session."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) != session:
                continue
            arguments = (process / "cmdline").read_bytes().decode().split("\0")[1:-1]
        except OSError:  # it has ended meanwhile
            continue
        if arguments[:3] == ["-m", "descentlab", "--job-of"]:
            verb = arguments[4]
            about = arguments[arguments.index("--problem") + 1] if "--problem" in arguments else ""
            yield Job(int(process.name), f"{verb} {about}".strip())


def leftovers(folder: Path) -> list[Path]:
    """Files that were written aside and never renamed."""
    return [path for path in folder.rglob(".*") if path.is_file() and not path.name.endswith(".lock")]
