"""Digests by which the workflow knows what to run again: of the code of a stage, and of the config of a job.

Light: it reads the package's files as text and imports none of them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import descentlab
from descentlab.experiment.config import Config

PACKAGE = Path(descentlab.__file__).parent

# Where the code of each stage begins; a package stands for all of its modules. Problems are imported by name.
STAGES = {
    "plan": ("descentlab.training.plan", "descentlab.problems"),
    "train": ("descentlab.training.job", "descentlab.problems"),
    "measure": ("descentlab.measurements", "descentlab.problems"),
    "collect": ("descentlab.training.collect",),
    "track": ("descentlab.tracking",),
    "compare": ("descentlab.analysis.compare",),
    "report": ("descentlab.report.page",),
}


def code_digest(stage: str) -> str:
    """Short sha256 of the code of a stage: an edit reruns the stages that it touches, and no other."""
    return source_digest(*STAGES[stage])[:16]


def source_digest(*roots: str) -> str:
    """sha256 of the code of modules and of all that they import from the package, comments and docstrings apart.

    Data files count too (templates, claims), where a module beside them names them in a string.

    Args:
        roots: dotted names; a package stands for all of its modules.
    """
    digest = hashlib.sha256()
    for module in sorted(imported_modules(roots)):
        digest.update(f"{module}\0".encode() + _code_bytes(module))
    return digest.hexdigest()


def imported_modules(roots: Iterable[str]) -> set[str]:
    """The modules of the package that ``roots`` are made of and import, directly or not, inside functions too."""
    graph = _import_graph()
    begin = {module for root in roots for module in (root, *graph.find_descendants(root)) if module in graph.modules}
    return begin.union(*(graph.find_upstream_modules(module) for module in begin))


@functools.cache
def _import_graph() -> Any:
    import grimp

    return grimp.build_graph("descentlab", exclude_type_checking_imports=True, cache_dir=None)


@functools.cache
def _code_bytes(module: str) -> bytes:
    """What an interpreter reads of a module, and the contents of the data files that it names."""
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
    beside = [entry for entry in sorted(path.parent.iterdir()) if entry.name in texts and entry.suffix != ".py"]
    data = [file for entry in beside for file in ([entry] if entry.is_file() else sorted(entry.rglob("*")))]
    contents = [
        file.name.encode() + file.read_bytes() for file in data if file.is_file() and file.suffix not in {".py", ".pyc"}
    ]
    return b"\0".join([ast.dump(tree).encode(), *contents])


def job_digest(config: Config, problem: str, optimizers: list[str]) -> str:
    """Short sha256 of what the config says about one job, and of the reader's own modules that it names."""
    wanted = config.problem(problem)
    own = [o for o in config.optimizers if {o.name, f"{o.name}_equal_updates"} & set(optimizers)]
    paths = [wanted.problem, *(o.optimizer for o in own)]
    said = {
        "problem": wanted.model_dump(mode="json"),
        "optimizers": [o.model_dump(mode="json") for o in own],
        "names": optimizers,
        "arms": config.arms,
        "seeds": config.seeds.model_dump(),
        "tuning": config.tuning.model_dump(),
        "sweep": config.sweep.model_dump(),
        "modules": [module_digest(path) for path in paths if ":" in path],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def module_digest(import_path: str) -> str:
    """sha256 of the file of ``package.module:name``; empty where there is none (``plan`` says what is wrong)."""
    try:
        module = importlib.util.find_spec(import_path.partition(":")[0])
    except (ImportError, ValueError):
        return ""
    if module is None or module.origin is None or not Path(module.origin).is_file():
        return ""
    return hashlib.sha256(Path(module.origin).read_bytes()).hexdigest()
