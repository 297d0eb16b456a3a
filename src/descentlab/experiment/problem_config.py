"""An entry of the list ``problems``: what a reader may write there, validated."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from descentlab.experiment.config_values import (
    IMPORT_PATTERN,
    GridPoints,
    Line,
    PositiveInt,
    Seeds,
    StrictModel,
    check_name,
)
from descentlab.optimizers.import_path import suggestion
from descentlab.problems.table import BUILTIN_PROBLEMS


class ProblemSeeds(StrictModel):
    """One problem's own numbers of seeds."""

    final: Seeds | None = Field(default=None, description="final runs' seeds of this problem")
    most: Seeds | None = Field(
        default=None,
        description="seeds that its primary contrasts may have; where it has its own final seeds, no look adds any by default",
    )
    tuning: Seeds | None = Field(default=None, description="tuning runs' seeds of this problem")


class ProblemTuning(StrictModel):
    """One problem's own grid of learning rates, for runs that take long."""

    points: GridPoints | None = Field(
        default=None, description="points of its grids, in the middle of the experiment's, which have as many or more"
    )
    neighbors: bool | None = Field(default=None, description="whether it has runs at the neighbors of the chosen rate")


class ProblemConfig(StrictModel):
    """One problem. ``problem`` is a built-in name or an import path ``package.module:OBJECT``."""

    problem: str = Field(description="built-in name, or import path 'package.module:OBJECT' of a Problem")
    name: str = Field(default="", description="its row in the report; by default the problem's own name")
    epochs: PositiveInt | None = Field(default=None, description="budget in passes over the training set")
    batch_size: PositiveInt | None = Field(
        default=None, description="examples per update, except for full-batch methods"
    )
    train_examples: PositiveInt | None = Field(default=None, description="train on this many only; all by default")
    evaluation_examples: PositiveInt | None = Field(
        default=None,
        description="examples of each split that evaluations during a run take; the last one takes all; all by default",
    )
    data: Line | None = Field(
        default=None, description="path of a data file, or a set of keras.datasets, for problems that take one"
    )
    mode: Literal["auto", "xla", "graph", "patches", "keras", "eager"] = Field(
        default="auto",
        description="how a run is trained; auto: the fastest that does what Keras does. patches: XLA with convolutions as "
        "patches × matrix. keras: by Keras' own step, as fit; eager: that step in Python",
    )
    optimizers: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None, description="names of those that train this problem; all of the experiment's by default"
    )
    seeds: ProblemSeeds = ProblemSeeds()
    tuning: ProblemTuning = ProblemTuning()
    sweep: bool = Field(default=True, description="whether the robustness sweep has runs on this problem")
    gd_equal_updates: bool = Field(
        default=True, description="a second row of gd with as many updates as the others, not only as many examples"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"problem": value}
        if isinstance(value, dict) and isinstance(value.get("problem"), str):
            problem = value["problem"]
            if problem not in BUILTIN_PROBLEMS and not IMPORT_PATTERN.fullmatch(problem):
                raise ValueError(
                    f"unknown problem '{problem}'{suggestion(problem, BUILTIN_PROBLEMS)} "
                    f"Valid: {', '.join(BUILTIN_PROBLEMS)}, or an import path 'package.module:OBJECT'"
                )
            value = {**value, "name": value.get("name") or problem.rpartition(":")[2].lower()}
        return value

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return check_name(name)
