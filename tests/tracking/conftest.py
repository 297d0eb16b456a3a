"""Tracked jobs that tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.tracked_jobs import DATABASE, copy_empty_store, copy_tracked, write_tracked


@pytest.fixture(scope="session")
def tracked_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the jobs and models of momentum and adam, an empty store, and one that holds them. Only read it."""
    return write_tracked(tmp_path_factory.mktemp("tracked"), ("momentum", "adam"))


@pytest.fixture
def tracked(tracked_folder: Path, tmp_path: Path, own_folder: None) -> None:
    """The test runs in a copy of that folder, which it may change."""
    copy_tracked(tracked_folder, tmp_path)


@pytest.fixture
def empty_store(own_folder: None) -> None:
    """The test runs in a folder of its own with an empty store."""
    DATABASE.parent.mkdir()
    copy_empty_store(DATABASE)
