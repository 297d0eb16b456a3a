"""The parts of a plan: its problems and optimizers, and what externally logged runs have instead of a config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from descentlab.experiment.settings import ReportConfig
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.search_space import Trial
from descentlab.problems.absent_classes import AbsentClass
from descentlab.problems.base import metric_sign

STRICT = ConfigDict(extra="forbid", ser_json_inf_nan="constants")  # a hyperparameter may be NaN


@dataclass(frozen=True, config=STRICT)
class Layer:
    """A layer of a problem's model."""

    name: str
    type: str
    output_shape: str
    parameters: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ComparedProblem:
    """What comparison and report know about a problem; None for what was not logged.

    Attributes:
        problem: built-in name or import path.
        title: one line for the report.
        metric: name of its metric.
        higher_is_better: direction of its metric.
        margin: smaller differences of the metric are negligible.
        convex: whether the loss is convex in the weights.
        divergence_factor: how many times its initial loss is a divergence.
        train_examples, val_examples, test_examples: in each split.
        parameters: trainable parameters of the model.
        count: how the parameters add up.
        layers: of the model.
        data_hash: sha256 of the arrays.
        mode: how epochs are compiled.
        device: the device that it was planned on.
    """

    problem: str
    title: str
    metric: str
    higher_is_better: bool
    margin: float
    convex: bool | None
    divergence_factor: float | None
    train_examples: int | None
    val_examples: int | None
    test_examples: int | None
    parameters: int | None
    count: str
    layers: tuple[Layer, ...]
    data_hash: str
    mode: str | None
    device: str | None

    @property
    def sign(self) -> int:
        """1 or -1: the metric times its sign is better where it is higher."""
        return metric_sign(self.higher_is_better)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PlannedProblem(ComparedProblem):
    """A problem that is trained here, its data and model read and built once.

    Attributes:
        margin_reason: why smaller differences are negligible; empty where none is given.
        data_source: where the data come from, and under which license; empty where it isn't said.
        epochs: budget in passes over the training set.
        batch_size: examples per update of the mini-batch optimizers.
        requested_examples: training examples before rounding down to whole batches.
        absent_classes: classes that a split of some seed has no example of.
        class_weight: weights of classes in the loss of training; empty for none.
        by_example: whether the compiled loop evaluates too, rather than ``model.evaluate``.
        width: runs that train side by side, as far as the optimizer allows it.
        mode_reasons: why each faster mode is not taken.
    """

    divergence_factor: float
    train_examples: int
    val_examples: int
    test_examples: int
    parameters: int
    mode: str
    device: str
    margin_reason: str = ""
    data_source: str = ""
    epochs: int
    batch_size: int
    requested_examples: int
    absent_classes: tuple[AbsentClass, ...] = ()
    class_weight: Mapping[str, float] = field(default_factory=dict)
    by_example: bool = True
    width: int = 1
    mode_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LoggedProblem(ComparedProblem):
    """A problem of externally logged runs.

    Attributes:
        epochs, batch_size: all values that the compared runs logged, ascending.
        margin_from: ``declared``, ``usual margin`` or ``median margin``.
    """

    epochs: tuple[int, ...]
    batch_size: tuple[int, ...]
    margin_from: str


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ComparedOptimizer:
    """What comparison and report know about an optimizer.

    Attributes:
        factory: Keras class, import path, or what the runs call it.
        paper: where the rule comes from.
        full_batch: one update uses the whole training set.
        equal_updates: full batch with as many updates as the mini-batch optimizers, rather than as many examples.
        state_slots: how many variables of the size of the weights it keeps.
        hyperparameters: by arm, without the learning rate.
        default_learning_rate: rate of the default arm; None without a learning rate.
        grid: learning rates to tune over, ascending; ``(None,)`` without a learning rate.
    """

    factory: str
    paper: str
    full_batch: bool
    equal_updates: bool
    state_slots: int | float | None
    hyperparameters: Mapping[str, Mapping[str, Any]]
    default_learning_rate: float | None
    grid: tuple[float | None, ...]

    @property
    def own_settings(self) -> bool:
        """Whether the default arm, which is named after a class's defaults, has other settings of the class."""
        return bool(self.hyperparameters.get(Arm.DEFAULT))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PlannedOptimizer(ComparedOptimizer):
    """An optimizer that is trained here, built once for each arm.

    Attributes:
        center_learning_rate: center of its grid; None without a learning rate.
        center_source: what recommends it, as in :class:`~descentlab.optimizers.table.OptimizerEntry`.
        own_learning_rate: whether the default arm's rate is another than the default of the class.
        tuned_weight_decay: decoupled weight decay in the ``tuned`` arm.
        tuned_schedule: learning-rate schedule in the ``tuned`` arm.
        tuned_only: it has no runs in the other arms, as they would repeat those of a row with another schedule.
        extended_trials: what the extended arm tries.
        source_lines: lines of code of a reader's own optimizer; None for those of the tables.
        by_keras: why its runs are trained by Keras' own step, whatever the problem's mode; empty if they aren't.
    """

    center_learning_rate: float | None
    center_source: str
    tuned_weight_decay: float | None
    tuned_schedule: str
    own_learning_rate: bool = False
    tuned_only: bool = False
    extended_trials: tuple[Trial, ...] = ()
    source_lines: int | None = None
    by_keras: str = ""

    @property
    def own_settings(self) -> bool:
        """Also where the config sets the default arm's learning rate."""
        return super().own_settings or self.own_learning_rate


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LoggedOptimizer(ComparedOptimizer):
    """An optimizer of externally logged runs.

    Attributes:
        logged: what the runs call it.
    """

    logged: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LoggedSeeds:
    """Number of seeds of the optimizer with the fewest runs; nothing was tuned here."""

    final: int
    tuning: int = 0

    @property
    def looks(self) -> list[int]:
        """One: nothing can be added to what was logged."""
        return [self.final]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LoggedConfig:
    """Stands in for the config of an externally logged experiment, with the field names of :class:`Config`."""

    experiment: str
    arms: tuple[str, ...]
    seeds: LoggedSeeds
    report: ReportConfig
    measurements: tuple[str, ...] = ()

    def seeds_of(self, problem: str) -> LoggedSeeds:
        """The numbers of seeds, the same for every problem."""
        del problem
        return self.seeds


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Imported:
    """Where externally logged runs come from.

    Attributes:
        experiment_id: the experiment's id in MLflow.
        mapping: how parameters and metrics were read, where it differs from the default mapping.
        commits: the commits that the runs logged.
    """

    experiment_id: str
    mapping: Mapping[str, Any]
    commits: tuple[str, ...]
