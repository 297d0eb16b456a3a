"""Running the workflow in a folder of its own, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST_CONFIG = ROOT / "workflow/config/test.yaml"


def snakemake_command(folder: Path, *arguments: str, config: Path = TEST_CONFIG, source: Path = ROOT) -> list[str]:
    """``snakemake`` with the Snakefile of ``source`` in ``folder``; how many cores is for the caller to say."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(source / "Snakefile"), "--directory", str(folder)]
    return [*command, "--configfile", str(config), *arguments]


def workflow_environment(source: Path = ROOT, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """``base`` for a workflow whose code is that of ``source``, with the store that its config names."""
    path = os.pathsep.join(filter(None, [str(source / "src"), base.get("PYTHONPATH")]))
    return {name: value for name, value in base.items() if name != "MLFLOW_TRACKING_URI"} | {"PYTHONPATH": path}


def run_snakemake(
    folder: Path, *arguments: str, config: Path = TEST_CONFIG, source: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """``snakemake --cores 2``; its stderr is part of stdout."""
    command = snakemake_command(folder, "--cores", "2", *arguments, config=config, source=source)
    environment = workflow_environment(source)
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False, timeout=900
    )


def run_verb(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m descentlab`` in ``folder``; its stderr is part of stdout."""
    command = [sys.executable, "-m", "descentlab", *arguments]
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=900
    )
