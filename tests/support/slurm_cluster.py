"""Slurm on this machine: a controller and nodes that share its processors, all state in one temporary folder."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.local_daemons import free_ports, start_daemon, wait_until

NODES = ("one", "two")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol")
PATHS = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"  # where Debian has the daemons
MEGABYTES = 8000  # of a node
SECONDS_UNTIL_DOWN = 10  # a node that says nothing
CLUSTER, DAEMON = "DESCENTLAB_CLUSTER", "DESCENTLAB_DAEMON"  # variables by which its processes are known

# A node has one processor, so two jobs at once are on two nodes.
CONFIGURATION = """\
ClusterName=descentlab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/completed
SlurmdTimeout={timeout}
SlurmdParameters=config_overrides
{nodes}
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def missing_programs() -> list[str]:
    """What this machine lacks of Slurm; Debian has it in slurm-wlm and munge."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATHS) is None]


@dataclass(frozen=True)
class Attempt:
    """A job, or one try of it, that Slurm has ended."""

    job: str
    state: str
    node: str


@dataclass
class SlurmCluster:
    """A running cluster.

    Attributes:
        folder: its configuration, keys, state and logs.
        environment: what its commands and its jobs need, over this process's environment.
    """

    folder: Path
    environment: Mapping[str, str]
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        """Start a daemon, known by its name."""
        log = self.folder / f"{name}.log"
        self._daemons[name] = start_daemon(list(command), log, {**self.environment, DAEMON: name})

    def ask(self, *command: str) -> str:
        """What a command of Slurm's prints; empty where it fails, as while the controller starts."""
        asked = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        return asked.stdout.strip()

    def nodes(self) -> dict[str, str]:
        """The state of each node."""
        return dict(line.split() for line in self.ask("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines())

    def running(self) -> list[tuple[str, str]]:
        """Node and rule (``rule_train_wildcards_mlp_0``) of each job that runs."""
        lines = self.ask("squeue", "--noheader", "--states=RUNNING", "--format=%N %k").splitlines()
        return [(node, rule) for node, rule in map(str.split, lines)]

    def attempts(self) -> list[Attempt]:
        """Every job, or try of one, that has ended, in the order in which they ended."""
        completed = self.folder / "completed"
        lines = completed.read_text().splitlines() if completed.exists() else []
        fields = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return [Attempt(each["JobId"], each["JobState"], each["NodeList"]) for each in fields]

    def kill_node(self, node: str) -> int:
        """Kill a node's slurmd and everything that it started, as a power cut does; returns how many processes."""
        return self._kill({DAEMON: f"slurmd.{node}"}) + self._kill({"SLURMD_NODENAME": node})

    def stop(self) -> None:
        """End every process of the cluster, those of its jobs too."""
        self._kill({})
        for daemon in self._daemons.values():
            daemon.wait(30)

    def _kill(self, variables: Mapping[str, str]) -> int:
        """SIGKILL to the processes of this cluster that have ``variables`` in their environment."""
        wanted = {f"{name}={value}".encode() for name, value in {CLUSTER: str(self.folder), **variables}.items()}
        killed: set[int] = set()
        while found := {process for process in _processes_with(wanted)} - killed:
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            killed |= found
        return len(killed)


def _processes_with(variables: set[bytes]) -> Iterator[int]:
    """Processes other than this one that were started with all of ``variables``."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended, or another user's
            if int(folder.name) != os.getpid() and variables <= set((folder / "environ").read_bytes().split(b"\0")):
                yield int(folder.name)


def _write_configuration(folder: Path) -> Path:
    """slurm.conf with ports that are free now, the key, and the folders that it names."""
    port, *ports = free_ports(1 + len(NODES))
    host = socket.gethostname().split(".")[0]
    nodes = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={own} CPUs=1 RealMemory={MEGABYTES}"
        for node, own in zip(NODES, ports, strict=True)
    ]
    values = {"host": host, "port": port, "user": getpass.getuser(), "folder": folder, "timeout": SECONDS_UNTIL_DOWN}
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(nodes="\n".join(nodes), **values))
    for name in ("state", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    # The executor starts srun without the variables of Slurm, so also without the place of its configuration.
    srun = folder / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    return configuration


@contextlib.contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster whose nodes are up; nothing of it is left at the end, neither process nor file.

    Raises:
        TimeoutError: a daemon did not start; what they wrote is part of the message.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: the name of a socket has at most 107 characters
    folder.chmod(0o711)  # munged refuses a socket that others can't reach
    configuration = str(_write_configuration(folder))
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{PATHS}",
        "SLURM_CONF": configuration,
        CLUSTER: str(folder),
    }
    cluster = SlurmCluster(folder, environment)
    try:
        files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
        cluster.start("munged", "munged", "--foreground", f"--socket={folder}/munge.socket", *files)
        cluster.start("slurmctld", "slurmctld", "-D", "-c", "-f", configuration)
        for node in NODES:
            cluster.start(f"slurmd.{node}", "slurmd", "-D", "-N", node, "-f", configuration)
        wait_until(lambda: cluster.nodes() == dict.fromkeys(NODES, "idle"), folder)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)
