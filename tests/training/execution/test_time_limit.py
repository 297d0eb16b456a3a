"""The limit ends what nothing inside the process can interrupt."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from descentlab.training.execution.time_limit import OVERRAN, given_up, time_limit

HANGS = """
from descentlab.training.execution.time_limit import given_up, time_limit
print(sorted(given_up()), flush=True)
if len(given_up()) < 2:
    with time_limit(0.3, "too long", give_up=GIVE_UP):
        {hang}
"""


def run_hanging(tmp_path: Path, hang: str, give_up: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "hangs.py"
    script.write_text(HANGS.format(hang=hang).replace("GIVE_UP", give_up))
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("hang", ["import time; time.sleep(1000)", "while True: pass"])
def test_what_hangs_ends_with_its_message(tmp_path: Path, hang: str) -> None:
    ended = run_hanging(tmp_path, hang, "None")
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "[]\n", "too long\n")


def test_what_hangs_begins_again_and_knows_what_it_gave_up(tmp_path: Path) -> None:
    ended = run_hanging(tmp_path, "import time; time.sleep(1000)", '["a"] if not given_up() else ["b"]')
    assert (ended.returncode, ended.stderr) == (0, "too long\ntoo long\n")
    assert ended.stdout == "[]\n['a']\n['a', 'b']\n"


def test_what_ends_in_time_is_left_alone() -> None:
    with time_limit(0.2, "too long", None):
        pass
    with pytest.raises(KeyError), time_limit(0.2, "too long", None):
        raise KeyError
    time.sleep(0.4)  # the process is still here


@pytest.mark.parametrize(("seconds", "threads"), [(None, 0), (60.0, 1)])
def test_only_a_limit_needs_a_thread(seconds: float | None, threads: int) -> None:
    before = threading.active_count()
    with time_limit(seconds, "too long", None):
        assert threading.active_count() - before == threads


def test_nothing_was_given_up_in_a_first_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERRAN, raising=False)
    assert given_up() == set()
