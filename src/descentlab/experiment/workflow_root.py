"""Where the workflow lies: the Snakefile, its rules and the configs that come with it."""

from __future__ import annotations

from pathlib import Path

import descentlab

PACKAGE = Path(descentlab.__file__).parent
BUNDLED = PACKAGE / "bundled"  # only in an installed package: setup.py copies it there


def workflow_root() -> Path:
    """The folder of ``Snakefile`` and ``workflow/``: inside an installed package, or the checkout that the package is in."""
    return BUNDLED if BUNDLED.is_dir() else PACKAGE.parents[1]


def default_config() -> Path:
    """The config that runs where none is named."""
    return workflow_root() / "workflow/config/default.yaml"
