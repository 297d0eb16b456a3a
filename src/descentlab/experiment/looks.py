"""What each look at a sequential experiment decided: which contrasts get more seeds, and so which runs are added.

``seeds.most`` declares the looks before any run. ``descentlab look`` writes a :class:`Look` after each but the last
(docs/protocol.md, "Looks").
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from descentlab.experiment.plan import Plan, TrainingPlan
from descentlab.experiment.plan_parts import STRICT
from descentlab.storage.atomic import write_text

ADDED = "added"  # the phase of final runs on seeds beyond the first look's
FINAL_PHASES = ("final", ADDED)


class LookError(ValueError):
    """What a look decided can't be read; the message says where."""


class Contrast(NamedTuple):
    """The final runs of two optimizers on one problem in one arm."""

    problem: str
    arm: str
    first: str
    second: str


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Look:
    """What a look decided.

    Attributes:
        number: from 1, the look at the final seeds.
        contrasts: those that are extended to the seeds of the next look, in the order in which they are expected to settle.
        left: those that stay open: neither the test examples nor the tuning seeds that they have let any number of seeds
            settle them.
        unpaid: those that stay open because the budget is spent.
        seconds: processor time that the added runs are expected to take.
    """

    number: int
    contrasts: tuple[Contrast, ...] = ()
    left: tuple[Contrast, ...] = ()
    unpaid: tuple[Contrast, ...] = ()
    seconds: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote.

        Raises:
            LookError: the file is damaged.
        """
        try:
            look = TypeAdapter(cls).validate_python(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, ValidationError) as error:
            raise LookError(
                f"{path}: damaged ({str(error).splitlines()[0]}); delete it and run snakemake again"
            ) from None
        assert isinstance(look, cls)
        return look

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            WriteError: the file can't be written.
        """
        write_text(path, json.dumps(TypeAdapter(type(self)).dump_python(self, mode="json"), indent=1))

    def rows(self, problem: str) -> list[tuple[str, str]]:
        """The arms and optimizers of a problem that get more seeds, each once."""
        ours = [contrast for contrast in self.contrasts if contrast.problem == problem]
        return list(dict.fromkeys((one.arm, name) for one in ours for name in (one.first, one.second)))


def look_file(results: Path, number: int) -> Path:
    """Where a look's decision is kept."""
    return results / "looks" / f"{number}.json"


def added_tables(results: Path, problem: str, number: int) -> Path:
    """Where the tables of the runs that a look added are kept, without their suffixes."""
    return results / "train" / problem / f"look{number}"


def read_looks(results: Path, numbers: Iterable[int]) -> list[Look]:
    """What some looks decided.

    Raises:
        LookError: a file is damaged. FileNotFoundError: one is missing.
    """
    return [Look.read(look_file(results, number)) for number in numbers]


def extended_problems(look: Look) -> list[str]:
    """The problems with runs that a look added, each once."""
    return list(dict.fromkeys(contrast.problem for contrast in look.contrasts))


def seeds_of_contrasts(plan: Plan, looks: Sequence[Look]) -> dict[Contrast, int]:
    """The seeds of each contrast that was extended."""
    return {one: plan.config.seeds_of(one.problem).looks[look.number] for look in looks for one in look.contrasts}


def added_seeds(plan: TrainingPlan, problem: str, look: Look) -> list[int]:
    """The seeds of the runs that a look added to a problem."""
    looks = plan.config.seeds_of(problem).looks
    return list(range(looks[look.number - 1], looks[look.number]))
