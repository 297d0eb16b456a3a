"""How a job starts."""

from __future__ import annotations

import subprocess
import sys

START = """
import sys
from descentlab.training.engine.device import configure_device
configure_device()
print(*sorted({"keras", "matplotlib", "sklearn", "tensorflow"} & set(sys.modules)))
import matplotlib.pyplot
from sklearn.datasets import load_digits
print(load_digits().data.shape, callable(matplotlib.pyplot.plot))
"""


def test_a_job_starts_without_what_it_does_not_need_and_can_still_import_it() -> None:
    finished = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines() == ["keras tensorflow", "(1797, 64) True"]
