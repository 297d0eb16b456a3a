"""Slots of fake devices: never two jobs on one, all of them used, a killed holder's freed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from descentlab.training.execution import gpu_slots
from descentlab.training.execution.gpu_slots import ASSIGNED, VISIBLE, SlotError, gpu_slot, lock_folder, visible_devices

# Takes a slot, says which device it sees, and holds it until its standard input ends.
HOLDER = """
import os, sys
from pathlib import Path
from descentlab.training.execution.gpu_slots import gpu_slot
with gpu_slot(int(sys.argv[1]), Path(sys.argv[2])) as device:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == device
    print(device, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def no_batch_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ASSIGNED:
        monkeypatch.delenv(name, raising=False)


class Holder:
    """A process that holds a slot, or waits for one."""

    def __init__(self, folder: Path, jobs_per_gpu: int, devices: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(jobs_per_gpu), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, VISIBLE: devices},
        )

    def device(self) -> str:
        """The device that it was given, waited for."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def first_line(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline().strip()

    def release(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def holders() -> Iterator[list[Holder]]:
    started: list[Holder] = []
    yield started
    for holder in started:
        holder.process.kill()
        holder.process.communicate()


@pytest.mark.parametrize("jobs_per_gpu", [1, 2])
def test_every_slot_is_used_and_none_twice(tmp_path: Path, holders: list[Holder], jobs_per_gpu: int) -> None:
    devices = "GPU-a,GPU-b,GPU-c"
    holders += [Holder(tmp_path, jobs_per_gpu, devices) for _ in range(3 * jobs_per_gpu)]
    assert Counter(holder.device() for holder in holders) == dict.fromkeys(devices.split(","), jobs_per_gpu)
    late = Holder(tmp_path, jobs_per_gpu, devices)
    holders.append(late)
    assert late.first_line() == f"waiting for a slot of GPU GPU-a, GPU-b, GPU-c ({jobs_per_gpu} per device, all taken)"
    time.sleep(1.5)
    assert late.process.poll() is None
    holders[1].release()
    assert late.device() in devices.split(",")


def test_every_device_has_its_first_job_before_any_has_a_second(tmp_path: Path, holders: list[Holder]) -> None:
    for _ in range(2):
        holders.append(Holder(tmp_path, 4, "0,1"))
        holders[-1].device()
    third = Holder(tmp_path, 4, "0,1")
    holders.append(third)
    assert third.first_line() == "GPU 0, slot 2 of 4"


def test_a_killed_holder_frees_its_slot(tmp_path: Path, holders: list[Holder]) -> None:
    first = Holder(tmp_path, 1, "7")
    holders.append(first)
    assert first.device() == "7"
    second = Holder(tmp_path, 1, "7")
    holders.append(second)
    assert second.first_line().startswith("waiting for a slot of GPU 7 ")
    first.process.kill()
    assert second.device() == "7"


def test_the_environment_is_as_it_was_afterward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "1,2")
    with gpu_slot(1, tmp_path) as device:
        assert device == os.environ[VISIBLE] == "1"
    assert os.environ[VISIBLE] == "1,2"
    monkeypatch.delenv(VISIBLE)
    monkeypatch.setattr(gpu_slots, "visible_devices", lambda: ["0"])
    with gpu_slot(1, tmp_path):
        assert os.environ[VISIBLE] == "0"
    assert VISIBLE not in os.environ


@pytest.mark.parametrize("variable", ASSIGNED)
def test_a_batch_system_assigns_devices_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(VISIBLE, "0,1")
    monkeypatch.setenv(variable, "1")
    with gpu_slot(1, tmp_path) as device:
        assert device is None
        assert os.environ[VISIBLE] == "0,1"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "devices"),
    [("", []), ("-1", []), ("0", ["0"]), ("2, 3", ["2", "3"]), ("0,-1,1", ["0"]), ("MIG-x/y", ["MIG-x/y"])],
)
def test_devices_are_those_that_cuda_would_see(monkeypatch: pytest.MonkeyPatch, value: str, devices: list[str]) -> None:
    monkeypatch.setenv(VISIBLE, value)
    assert visible_devices() == devices


def test_without_gpus_nothing_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([Path("/dev/nvidiactl")]))
    monkeypatch.setattr(gpu_slots, "has_cuda_libraries", lambda: True)
    with gpu_slot(1, tmp_path) as device:
        assert device is None
    assert VISIBLE not in os.environ


def test_gpus_count_only_where_tensorflow_can_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    found = [Path("/dev/nvidia0"), Path("/dev/nvidia1"), Path("/dev/nvidia-uvm")]
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(found))
    for has, devices in ((True, ["0", "1"]), (False, [])):
        monkeypatch.setattr(gpu_slots, "has_cuda_libraries", lambda has=has: has)
        assert visible_devices() == devices


def test_a_device_name_stays_inside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "../../escaped")
    folder = tmp_path / "locks"
    folder.mkdir()
    with gpu_slot(1, folder):
        assert [path.name for path in folder.iterdir()] == ["______escaped.0.lock"]


def test_the_folder_of_the_locks_is_this_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = lock_folder()
    assert folder == lock_folder() == tmp_path / f"descentlab-gpus-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(SlotError) as refused:
        lock_folder()
    assert str(refused.value) == (
        f"{folder}: the folder of the GPUs' locks must be this user's alone (user {os.getuid()}, no other may write); "
        f"received user {os.getuid()}, mode 777. Delete it, or set TMPDIR to another folder"
    )
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(SlotError, match=r"^.*: the folder of the GPUs' locks must be this user's alone"):
        lock_folder()
