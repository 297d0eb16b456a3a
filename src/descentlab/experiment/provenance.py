"""Digests that tell the workflow what to rerun: of a stage's code, and of a job's part of the config.

The package's files are read as text and none is imported, so that the Snakefile can use this.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from descentlab.experiment.config import Config
from descentlab.experiment.reader_code import belongs_to_package, imported_files
from descentlab.experiment.workflow_root import PACKAGE

# The roots of each stage's code; a package stands for all its modules. Problems are imported by name, so they are listed.
STAGES = {
    "plan": ("descentlab.training.make_plan", "descentlab.problems"),
    "train": ("descentlab.training.job", "descentlab.problems"),
    "train_later": ("descentlab.analysis.fastest_rates", "descentlab.training.later_runs", "descentlab.problems"),
    "measure": ("descentlab.measurements", "descentlab.problems"),
    "look": ("descentlab.training.collect", "descentlab.analysis.next_look"),
    "collect": ("descentlab.training.collect",),
    "track": ("descentlab.tracking",),
    "compare": ("descentlab.analysis.compare",),
    "report": ("descentlab.report.page",),
}


def code_digest(stage: str) -> str:
    """Short sha256 of a stage's code: an edit reruns the stages that it touches, and no others."""
    return source_digest(*STAGES[stage])[:16]


@functools.cache
def source_digest(*roots: str) -> str:
    """sha256 of the code of modules and everything they import from the package, without comments and docstrings.

    Data files count too (templates, claims) if a module in the same folder names them in a string.

    Args:
        roots: dotted names; a package stands for all of its modules.
    """
    digest = hashlib.sha256()
    for module in sorted(imported_modules(roots)):
        digest.update(f"{module}\0".encode() + _code_bytes(module))
    return digest.hexdigest()


def imported_modules(roots: Iterable[str]) -> set[str]:
    """The package's modules that ``roots`` consist of and import, directly or indirectly, including inside functions.

    With each module come the packages that it lies in.
    """
    graph = _import_graph()
    pending = {module for root in roots for module in (root, *graph.find_descendants(root)) if module in graph.modules}
    reached: set[str] = set()
    while pending:
        module = pending.pop()
        reached.add(module)
        package = {module.rpartition(".")[0]} & graph.modules  # importing a module runs its package's __init__ first
        pending |= (graph.find_modules_directly_imported_by(module) | package) - reached
    return reached


@functools.cache
def _import_graph() -> Any:
    import grimp

    return grimp.build_graph("descentlab", exclude_type_checking_imports=True, cache_dir=None)


@functools.cache
def _code_bytes(module: str) -> bytes:
    """A module's code as the interpreter sees it, and the contents of the data files that it names."""
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    path = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    named = [entry for entry in sorted(path.parent.iterdir()) if entry.name in texts and entry.suffix != ".py"]
    data = [file for entry in named for file in ([entry] if entry.is_file() else sorted(entry.rglob("*")))]
    contents = [
        file.name.encode() + file.read_bytes() for file in data if file.is_file() and file.suffix not in {".py", ".pyc"}
    ]
    # Not ast.dump, whose text differs between versions of Python.
    return b"\0".join([ast.unparse(tree).encode(), *contents])


def job_digest(config: Config, problem: str, optimizers: list[str]) -> str:
    """Short sha256 of what the config says about one job, and of the modules of its problem and optimizers."""
    problem_config = config.problem(problem)
    own = [o for o in config.optimizers if {o.name, f"{o.name}_equal_updates"} & set(optimizers)]
    paths = [problem_config.problem, *(o.entry().factory for o in own)]
    decisive = {
        "problem": problem_config.model_dump(mode="json"),
        "optimizers": [o.model_dump(mode="json") for o in own],
        "names": optimizers,
        "arms": config.arms,
        "seeds": config.seeds.model_dump(),
        "tuning": config.tuning.model_dump(),
        "sweep": config.sweep.model_dump(),
        "modules": modules_digest(path.partition(":")[0] for path in paths if ":" in path),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def data_files(config: Config) -> list[str]:
    """The data files that problems may read, as far as they exist (``plan`` reports a missing one)."""
    named = {problem.data or os.environ.get("DESCENTLAB_DATA") for problem in config.problems}
    return sorted(path for path in named if path is not None and Path(path).is_file())


def reader_modules_digest(config: Config) -> str:
    """sha256 of the modules of all problems and optimizers that come by import path, the literature's optimizers among them."""
    paths = [*(p.problem for p in config.problems), *(o.entry().factory for o in config.optimizers)]
    return modules_digest(path.partition(":")[0] for path in paths if ":" in path)


def modules_digest(names: Iterable[str]) -> str:
    """sha256 of modules and what they import: the package's by their code, a reader's own by their files.

    Args:
        names: dotted names, in any order; those that can't be found are left out (``plan`` reports them).
    """
    files = imported_files(names)
    ours = sorted(name for name, path in files.items() if belongs_to_package(name) and path.name != "__init__.py")
    parts = [source_digest(*ours)] if ours else []
    for name, path in sorted(files.items()):
        if not belongs_to_package(name):
            parts += [name, hashlib.sha256(path.read_bytes()).hexdigest()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
