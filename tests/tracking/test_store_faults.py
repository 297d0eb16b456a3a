"""A database of MLflow that is killed, locked, full or shared: said in one line; a later track completes it, each run once."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from descentlab.tracking import sqlite_runs, store
from descentlab.tracking.track import TrackError
from support.forked_trackers import (
    killed_at_commit,
    renamed,
    run_in_child,
    run_in_children,
    stored,
    write_copy,
)
from support.small_disk import small_disk
from support.tracked_jobs import DATABASE, EMPTY, RESULTS, track

# Both wait for as long as their stdin is open.
LOCK_DATABASE = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], isolation_level=None).execute("BEGIN EXCLUSIVE")
"""
LOCK_FILE = """
import fcntl, sys
fcntl.flock(file := open(sys.argv[1], "w"), fcntl.LOCK_EX)
"""

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def whole(tracked_folder: Path) -> Counter[tuple[Any, ...]]:
    """What a store of these jobs must hold in the end."""
    contents = stored(tracked_folder / DATABASE)
    assert set(contents.values()) == {1}
    return contents


def refusal() -> str:
    """The one line that a tracker in a process of its own is refused with."""

    def refused() -> None:
        with pytest.raises(TrackError) as raised:
            track()
        Path("refusal.txt").write_text(str(raised.value))

    assert run_in_child(refused) == 0
    line = Path("refusal.txt").read_text()
    assert "\n" not in line
    return line


def check_completed(whole: Counter[tuple[Any, ...]]) -> None:
    """A later track leaves the store as if nothing had happened."""
    assert run_in_child(track) == 0
    assert stored(DATABASE) == whole


@contextlib.contextmanager
def holder(program: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program that holds a lock until it is killed, at the latest as the block ends."""
    program += 'print("held", flush=True)\nsys.stdin.read()\n'
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_store_whose_creation_was_killed_is_created_by_the_next(
    tracked_folder: Path, whole: Counter[tuple[Any, ...]]
) -> None:
    shutil.copytree(tracked_folder / RESULTS, RESULTS)
    assert run_in_child(killed_at_commit(40, track)) == -9
    assert not DATABASE.exists()
    check_completed(whole)


@pytest.mark.parametrize("moment", [1, 2, 3, 4, 6, 9, 12, 16])
def test_a_tracker_that_was_killed_is_completed(
    tracked_folder: Path, whole: Counter[tuple[Any, ...]], moment: int
) -> None:
    shutil.copytree(tracked_folder / RESULTS, RESULTS)
    shutil.copy(tracked_folder / EMPTY, DATABASE)
    assert run_in_child(killed_at_commit(moment, track)) == -9
    assert stored(DATABASE) != whole
    check_completed(whole)


def test_a_database_that_another_program_locks_is_one_line(
    tracked_folder: Path, whole: Counter[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tracked_folder / RESULTS, RESULTS)
    shutil.copy(tracked_folder / EMPTY, DATABASE)
    # The experiment is there, the runs aren't: their insertion is what waits.
    assert run_in_child(killed_at_commit(2, track)) == -9
    monkeypatch.setattr(sqlite_runs, "LOCK_SECONDS", 0.2)
    with holder(LOCK_DATABASE, DATABASE):
        line = refusal()
    assert line.startswith(f"Logging to MLflow at sqlite:///{DATABASE.resolve()} failed with OperationalError: ")
    assert "database is locked. The results are safe in their files; track again" in line
    check_completed(whole)


def test_a_tracker_that_hangs_does_not_keep_others_for_ever_and_a_dead_one_not_at_all(
    tracked_folder: Path, whole: Counter[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tracked_folder / RESULTS, RESULTS)
    lock = DATABASE.resolve().with_name(".mlflow.db.lock")
    with holder(LOCK_FILE, lock):
        monkeypatch.setattr(store, "LOCK_SECONDS", 0.2)
        assert refusal() == (
            f"Timed out after 0.2 s waiting for the store lock at {lock}, which another process holds. The results are safe in "
            f"their files; end that process if it hangs ('fuser {lock}' shows its id) and track again"
        )
    check_completed(whole)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_a_full_disk_leaves_a_database_that_can_be_read_and_completed(
    tracked_folder: Path, whole: Counter[tuple[Any, ...]], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, 8), contextlib.chdir(disk):
        shutil.copytree(tracked_folder / RESULTS, RESULTS)
        filler = Path("filler")
        # Room for some of the schema; then, with all of it, for nothing; then for a picture and none of the rows.
        for kibibytes in (256, 16, 96):
            filler.write_bytes(bytes(shutil.disk_usage(disk).free - 1024 * kibibytes))
            line = refusal()
            assert re.search(
                r"(disk is full|disk I/O error|No space left on device), with [\d,]+ bytes free\. The", line
            ), line
            filler.unlink()
            if not DATABASE.exists():
                shutil.copy(tracked_folder / EMPTY, DATABASE)
            with contextlib.closing(sqlite3.connect(DATABASE)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check_completed(whole)


def test_sixteen_trackers_of_two_experiments_share_a_store_that_none_has_made(
    tracked_folder: Path, whole: Counter[tuple[Any, ...]]
) -> None:
    experiments = [write_copy(tracked_folder, name) for name in ("generated", "second")]
    assert run_in_children([partial(track, None, results) for results in experiments * 8]) == [0] * 16
    assert stored(DATABASE) == whole + renamed(whole, "second")
