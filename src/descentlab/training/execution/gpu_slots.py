"""Which GPU a job uses: each job holds a slot of one device, by a lock that the kernel releases when the job ends.

A batch system that assigns devices itself (Slurm, Kubernetes) is left alone, and so is a machine without GPUs.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import fcntl
import importlib.util
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from descentlab.training.execution.progress import say

ASSIGNED = ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST")
VISIBLE = "CUDA_VISIBLE_DEVICES"
WAIT_SECONDS = 1.0


class SlotError(RuntimeError):
    """The lock folder can't be trusted; the message says why."""


@contextlib.contextmanager
def gpu_slot(jobs_per_gpu: int, folder: Path | None = None) -> Iterator[str | None]:
    """Hold a slot of one of the machine's GPUs and make only that device visible; wait while all slots are taken.

    Enter it before TensorFlow starts, which enumerates its devices only once.

    Args:
        jobs_per_gpu: slots per device.
        folder: folder of the locks; by default one for all jobs of this user on this machine.

    Yields:
        The device as CUDA_VISIBLE_DEVICES names it; None if there is nothing to share.

    Raises:
        SlotError: another user owns the folder.
    """
    devices = visible_devices()
    if not devices:
        yield None
        return
    with contextlib.ExitStack() as held:
        device = _wait_for_slot(held, devices, jobs_per_gpu, folder or lock_folder())
        before = os.environ.get(VISIBLE)
        os.environ[VISIBLE] = device
        try:
            yield device
        finally:
            if before is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = before


def visible_devices() -> list[str]:
    """The GPUs that jobs of this machine share among themselves, as CUDA_VISIBLE_DEVICES names them."""
    if any(name in os.environ for name in ASSIGNED):
        return []
    if VISIBLE in os.environ:
        named = [name.strip() for name in os.environ[VISIBLE].split(",")]
        # CUDA itself reads the list up to the first invalid name.
        end = next((i for i, name in enumerate(named) if name in {"", "-1"}), len(named))
        return named[:end]
    devices = [path for path in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    return [str(number) for number in range(len(devices))] if devices and has_cuda_libraries() else []


def has_cuda_libraries() -> bool:
    """Whether TensorFlow can find CUDA's libraries; without them it uses the CPU, where there is nothing to share."""
    try:
        packaged = importlib.util.find_spec("nvidia.cudnn") is not None
    except ModuleNotFoundError:
        packaged = False
    return packaged or ctypes.util.find_library("cudnn") is not None


def lock_folder() -> Path:
    """The folder of this user's locks on this machine.

    Raises:
        SlotError: another user owns it or may write to it.
    """
    folder = Path(tempfile.gettempdir(), f"descentlab-gpus-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if folder.is_symlink() or not folder.is_dir() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise SlotError(
            f"{folder}: the folder of the GPUs' locks must be this user's alone (user {os.getuid()}, no other may write); "
            f"received user {status.st_uid}, mode {status.st_mode & 0o7777:o}. Delete it, or set TMPDIR to another folder"
        )
    return folder


def _wait_for_slot(held: contextlib.ExitStack, devices: list[str], jobs_per_gpu: int, folder: Path) -> str:
    """The device of the first free slot, its lock held by ``held``: every device's first slot before any second."""
    waited = False
    while True:
        for slot in range(jobs_per_gpu):
            for device in devices:
                # in place: a lock, empty
                lock = (folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', device)}.{slot}.lock").open("a")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    lock.close()
                    continue
                held.callback(lock.close)
                say(f"GPU {device}, slot {slot + 1} of {jobs_per_gpu}")
                return device
        if not waited:
            say(f"waiting for a slot of GPU {', '.join(devices)} ({jobs_per_gpu} per device, all taken)")
            waited = True
        time.sleep(WAIT_SECONDS)
