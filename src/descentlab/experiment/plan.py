"""The plan: what an experiment compares, written once to plan.json and read by every later stage.

The workflow's own plan is a :class:`TrainingPlan`: the config, and what training needs to know about its problems and
optimizers. Externally logged runs have an :class:`ImportedPlan`, in which much is unknown. Comparison and report take a
:class:`Plan`, which is either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from descentlab.experiment.config import Config, parse_config, printable
from descentlab.experiment.plan_parts import (
    STRICT,
    ComparedOptimizer,
    ComparedProblem,
    Imported,
    LoggedConfig,
    LoggedOptimizer,
    LoggedProblem,
    PlannedOptimizer,
    PlannedProblem,
)
from descentlab.optimizers.arms import Arm
from descentlab.storage.atomic import write_text

PLAN_FILE = "plan.json"


class PlanError(ValueError):
    """plan.json is not a plan of this version, or not of the required kind; the message says where."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Plan:
    """What is compared.

    Attributes:
        config: what was requested.
        problems: by name, in the order of the report.
        optimizers: by name, in the order of the report.
        jobs: optimizers of each job, by problem.
        runs: number of runs by problem, without those of the sweep.
        versions: versions that a result may depend on.
    """

    config: Config | LoggedConfig
    problems: Mapping[str, ComparedProblem]
    optimizers: Mapping[str, ComparedOptimizer]
    jobs: Mapping[str, tuple[tuple[str, ...], ...]]
    runs: Mapping[str, int]
    versions: Mapping[str, str]

    @property
    def main_arm(self) -> str:
        """The arm that answers, curves and models come from: the tuned one, else the first."""
        return Arm.TUNED if Arm.TUNED in self.config.arms else self.config.arms[0]

    @property
    def fewest_seeds(self) -> int:
        """Final seeds of the problem that has the fewest."""
        return min(self.config.seeds_of(problem).final for problem in self.problems)

    @property
    def reference(self) -> str:
        """The optimizer that the others are compared with in pairs."""
        return self.config.report.reference

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check plan.json.

        Args:
            path: of the file, or of the results folder that holds it.

        Raises:
            PlanError: the file can't be read, is not a plan, or not of this class. ConfigError: its config is not valid.
        """
        path = path / PLAN_FILE if path.is_dir() or not path.suffix else path
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise PlanError(f"{path}: the plan is not valid JSON: {error}. {_PLAN_AGAIN}") from error
        return cls.from_json(content, str(path))

    @classmethod
    def from_json(cls, content: Any, where: str) -> Self:
        """Check the contents of plan.json.

        Raises:
            PlanError: they are not a plan, or not of this class. ConfigError: their config is not valid.
        """
        if not isinstance(content, dict):
            raise PlanError(f"{where}: a plan must be a mapping; received {type(content).__name__}. {_PLAN_AGAIN}")
        kind: type[Plan] = ImportedPlan if "imported" in content else TrainingPlan
        if not issubclass(kind, cls):
            raise PlanError(f"{where}: {_OF_ANOTHER_KIND[kind.__name__]}")
        if kind is TrainingPlan and "config" in content:
            content = {**content, "config": parse_config(content["config"], where)}
        try:
            plan = TypeAdapter(kind).validate_python(content)
        except ValidationError as error:
            again = _IMPORT_AGAIN if kind is ImportedPlan else _PLAN_AGAIN
            raise PlanError(f"{where}: {_first_line(error)}. {again}") from None
        assert isinstance(plan, cls)
        return plan

    def as_json(self) -> dict[str, Any]:
        """The contents of plan.json."""
        return dict(TypeAdapter(type(self)).dump_python(self, mode="json"))

    def write(self, path: Path) -> None:
        """Write plan.json.

        Args:
            path: of the file.

        Raises:
            WriteError: the file can't be written.
        """
        write_text(path, json.dumps(self.as_json(), indent=1))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingPlan(Plan):
    """The plan of runs that are trained here."""

    config: Config
    problems: Mapping[str, PlannedProblem]
    optimizers: Mapping[str, PlannedOptimizer]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImportedPlan(Plan):
    """The plan of externally logged runs.

    Attributes:
        imported: where they come from.
        unknown: what isn't known about them, entries of ``analysis.alarms.unknown``.
    """

    config: LoggedConfig
    problems: Mapping[str, LoggedProblem]
    optimizers: Mapping[str, LoggedOptimizer]
    imported: Imported
    unknown: tuple[Mapping[str, Any], ...]


_PLAN_AGAIN = "Plan again with this version: descentlab plan CONFIG"
_IMPORT_AGAIN = "Import again with this version: descentlab report --mlflow-experiment NAME"
_OF_ANOTHER_KIND = {
    "ImportedPlan": "these runs were logged externally; only runs that 'descentlab plan' planned can be trained, measured or "
    "tracked. Their report: descentlab report RESULTS",
    "TrainingPlan": "these runs were planned here, not imported",
}


def _first_line(error: ValidationError) -> str:
    """The first error of a plan in one line, and how many more there are."""
    errors = error.errors()
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"])
    reasons = {"missing": "this key is required", "unexpected_keyword_argument": "unknown key"}
    message = reasons.get(first["type"], f"{first['msg']}; received {first['input']!r:.80}")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return printable(f"{place}: {message}{more}")
