"""The sections of a config that are not lists: seeds, tuning, sweep, execution, tracking, report."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from descentlab.experiment.config_values import GridPoints, Line, PositiveInt, Seeds, StrictModel, no_bool
from descentlab.i18n.language import Language
from descentlab.optimizers.roles import MINI_BATCH, REFERENCE

FIRST_TUNING_SEED = 1000
MOST_RUN_MINUTES = 100_000  # ten weeks


class SeedsConfig(StrictModel):
    """How many seeds; final seeds count from 0, tuning seeds from 1000, so that they never meet."""

    final: Seeds = Field(default=10, description="final runs' seeds")
    most: Seeds | None = Field(
        default=None,
        description="seeds that a primary contrast may have in all: an open one is judged again whenever its seeds have doubled, "
        "at a level that accounts for all looks; by default there is one look, at the final seeds",
    )
    tuning: Seeds = Field(default=5, description="tuning runs' seeds")

    @property
    def final_seeds(self) -> list[int]:
        """Seeds of the runs that count."""
        return list(range(self.final))

    @property
    def looks(self) -> list[int]:
        """The numbers of seeds at which primary contrasts are judged, declared before the runs.

        Example:
            >>> SeedsConfig(final=10, most=80).looks
            [10, 20, 40, 80]
        """
        looks = [self.final]
        while self.most is not None and looks[-1] < self.most:
            looks.append(min(2 * looks[-1], self.most))
        return looks

    @model_validator(mode="after")
    def _at_least_final(self) -> SeedsConfig:
        if self.most is not None and self.most > 1 == self.final:
            raise ValueError(
                f"most: looks need at least 2 final seeds, one has no spread; received final = {self.final}"
            )
        if self.most is not None and self.most < self.final:
            raise ValueError(f"most: must be at least final ({self.final}); received {self.most}")
        return self

    @property
    def tuning_seeds(self) -> list[int]:
        """Seeds of the runs that choose the learning rate."""
        return list(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.tuning))


class BudgetConfig(StrictModel):
    """What the seeds that primary contrasts get beyond the final ones may cost."""

    minutes: Annotated[float, BeforeValidator(no_bool), Field(gt=0, le=MOST_RUN_MINUTES)] | None = Field(
        default=None, description="processor time of training for them, all together; no limit by default"
    )


class TuningConfig(StrictModel):
    """The learning-rate grid, the same rule for every optimizer."""

    points: GridPoints = Field(
        default=7, description="points of the half-decade grid; odd, so that the usual rate is one of them"
    )
    growth: Annotated[int, Field(ge=0, le=31, strict=True)] = Field(
        default=8,
        description="points by which a grid of several may grow, while the good rates reach its end",
    )
    neighbors: bool = Field(
        default=True,
        description="also train the final seeds at the two neighbors of the chosen rate, and at the fastest one in tuning",
    )
    extended_trials: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(
        default=30,
        description="combinations of learning rate, momentum, epsilon and schedule that the extended arm tries",
    )

    @property
    def most_points(self) -> int:
        """Points of a grid that has grown as far as it may."""
        return self.points + self.growth if self.points > 1 else 1


class SweepConfig(StrictModel):
    """The robustness sweep: learning rates outward from the chosen one in both directions, until the score leaves the margin."""

    optimizers: tuple[str, ...] = Field(
        default=MINI_BATCH,
        description="names of those to sweep (the slides' by default, as far as they are in the experiment); [] for none",
    )
    seeds: Annotated[int, Field(ge=2, le=1000, strict=True)] = Field(
        default=5, description="seeds, from the first tuning seed on: what tuning trained is not trained again"
    )

    @property
    def sweep_seeds(self) -> list[int]:
        """Seeds of the sweep."""
        return list(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.seeds))


class ExecutionConfig(StrictModel):
    """How runs are cut into jobs, and what a job may take; never changes a result."""

    optimizers_per_job: PositiveInt | Literal["auto"] = Field(
        default="auto", description="optimizers trained by one process; auto keeps start-up below a tenth of a job"
    )

    jobs_per_gpu: PositiveInt = Field(default=1, description="jobs that share one GPU; without GPUs it means nothing")
    run_minutes: Annotated[float, Field(gt=0, le=MOST_RUN_MINUTES), BeforeValidator(no_bool)] | None = Field(
        default=None,
        description="the most minutes that a training may take, compilation and the runs trained beside it included; "
        "one that takes longer has failed; any time by default",
    )

    @field_validator("optimizers_per_job", mode="before")
    @classmethod
    def _auto_or_count(cls, value: Any) -> Any:
        if value != "auto" and not (type(value) is int and value > 0):
            raise ValueError("must be 'auto' or a positive whole number")
        return value


class TrackingConfig(StrictModel):
    """Where MLflow stores its runs."""

    uri: Line | None = Field(
        default=None, description="tracking server or database; default: MLFLOW_TRACKING_URI or results/mlflow.db"
    )
    tuning_curves: bool = Field(default=False, description="log the curves of tuning runs too, not only final values")

    @field_validator("uri")
    @classmethod
    def _without_braces(cls, uri: str | None) -> str | None:
        if uri and set(uri) & set("{}"):
            raise ValueError("an address must not contain braces (write %7B and %7D)")
        return uri


class ReportConfig(StrictModel):
    """The report's title, language and reference."""

    title: Line | None = Field(default=None, description="headline; default: made from the experiment's name")
    language: Language = Field(default="en", description="en (English) or es (Spanish)")
    reference: str = Field(default=REFERENCE, description="optimizer that the others are compared with in pairs")
