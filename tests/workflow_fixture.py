"""Running the workflow in a folder of its own, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEST_CONFIG = ROOT / "workflow/config/test.yaml"


def run_snakemake(
    folder: Path, *arguments: str, config: Path = TEST_CONFIG, source: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """``snakemake`` with the Snakefile of ``source`` in ``folder``; its stderr is part of stdout."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(source / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", "2", "--configfile", str(config), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(source / "src")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False, timeout=900
    )


def run_verb(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m descentlab`` in ``folder``; its stderr is part of stdout."""
    command = [sys.executable, "-m", "descentlab", *arguments]
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=900
    )
