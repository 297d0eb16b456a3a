"""A copy of the package whose files can be edited, and what a program prints that imports it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from descentlab.experiment.provenance import PACKAGE


def copy_package(folder: Path) -> Path:
    """The package, copied into ``folder``."""
    copy = folder / "descentlab"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def output_of(package: Path, program: str) -> str:
    """What a program prints that imports the copy."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def edited(package: Path, texts: Mapping[str, str]) -> Iterator[None]:
    """Files of the package have these texts for a while."""
    paths = {package / name: text for name, text in texts.items()}
    originals = {path: path.read_bytes() if path.exists() else None for path in paths}
    try:
        for path, text in paths.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        yield
    finally:
        for path, original in originals.items():
            path.unlink() if original is None else path.write_bytes(original)
