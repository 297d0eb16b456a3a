"""What lies at the top of a checkout and not in ``src`` goes into the wheel too: the Snakefile, its rules and its configs."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithWorkflow(build_py):
    """Copies them to ``descentlab/bundled``, each with the path that it has in a checkout."""

    def run(self) -> None:
        """Build the package, then copy them."""
        super().run()
        if self.editable_mode:  # a checkout has them in their place
            return
        bundled = Path(self.build_lib, "descentlab/bundled")
        shutil.rmtree(bundled, ignore_errors=True)  # an earlier build's
        shutil.copytree("workflow", bundled / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Snakefile", "environment.yml"):
            shutil.copy2(name, bundled / name)


setup(cmdclass={"build_py": BuildWithWorkflow})
