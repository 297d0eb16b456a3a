"""Digests by which the workflow knows what to run again: of the code of a stage, and of the config of a job.

Light: it reads files as text and imports none of them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path

from descentlab.config import Config

PACKAGE = Path(__file__).parent

ENGINE = (
    "engine.py", "compiled_model.py", "device.py", "convolution.py", "member_step.py", "packing.py",
    "stateless_optimizer.py", "trainable.py",
)  # fmt: skip

# Files of the package that a stage runs; a folder stands for all files in it.
STAGES = {
    "plan": (
        "plan.py", "extended.py", "power.py", "paired.py", "config.py", "config_entries.py", "config_sections.py",
        "optimizers.py", "problems", *ENGINE,
    ),
    "train": (
        "train.py", "optimizer_job.py", "failed_runs.py", "time_limit.py", "gpu_slots.py", "progress.py",
        "problem_data.py", "run_record.py", "selection.py", "sweep.py", *ENGINE,
        "schedules.py", "streams.py", "cache.py", "optimizers.py", "problems", "records.py", "planned_runs.py",
    ),
    "measure": (
        "measure.py", "measurements.py", "mechanisms", "step_cost.py", "step_loops.py", *ENGINE,
        "optimizers.py", "problems", "problem_data.py", "schedules.py", "streams.py",
    ),
    "track": (
        "track.py", "sqlite_runs.py", "mlflow_store.py", "mlflow_entry.py", "mlflow_links.py", "parent_runs.py",
        "logged_models.py",
        "experiment_page.py", "curve_picture.py", "saved_views.py", "plotting.py", "speed.py", "records.py", "stats.py",
    ),
    "collect": ("collect.py", "records.py", "planned_runs.py"),
    "compare": (
        "compare.py", "contrasts.py", "speed.py", "survival.py", "paired.py", "coverage.py", "comparison_tables.py",
        "answers.py", "stats.py", "claims.py", "claims.yaml", "claim_evidence.py", "ledger.py", "run_estimands.py",
        "measured_estimands.py", "robustness.py", "flips.py", "best_of_k.py", "break_even.py", "ranks.py",
        "shortfall.py", "unknowns.py", "wording.py", "catalogues",
    ),
    "report": (
        "report.py", "sections", "explorer_data.py", "plotting.py", "templates", "unknowns.py", "answers.py",
        "comparison_tables.py", "flips.py", "stats.py",
        "survival.py", "speed.py", "break_even.py", "ranks.py", "step_cost.py", "measurements.py", "shortfall.py",
        "wording.py",
        "catalogues",
    ),
}  # fmt: skip


def code_digest(stage: str) -> str:
    """Short sha256 of the source of a stage: an edit reruns the stages that it touches, and no other."""
    return digest_files(STAGES[stage])


def digest_files(names: Iterable[str]) -> str:
    """Short sha256 of files of the package; a folder stands for all files in it."""
    digest = hashlib.sha256()
    for name in names:
        path = PACKAGE / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(file.relative_to(PACKAGE).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


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
        found = importlib.util.find_spec(import_path.partition(":")[0])
    except (ImportError, ValueError):
        return ""
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return ""
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()
