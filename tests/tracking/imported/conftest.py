"""The store that the tests of externally logged runs fill."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.logged_experiment import new_store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store of an experiment that the test logs, in the folder that it runs in."""
    uri = new_store(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri
