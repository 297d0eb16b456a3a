"""What a problem is: a Keras model, data, a loss and a metric, with what the protocol needs to know about them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from descentlab.problems.arrays import as_arrays, fault_of, flat_arrays, map_arrays, named_arrays

WEIGHTED_LOSS = "weighted_loss"


class ProblemError(ValueError):
    """A problem or its data break a rule of the protocol; the message says which."""


@dataclass(frozen=True)
class Metric:
    """The metric that generalization is measured in.

    Attributes:
        name: as shown in the report, e.g. ``accuracy``.
        higher_is_better: the direction of the metric.
        per_example: ``(y, y_pred) -> scores`` in backend tensors, shape (n, …); their mean is the metric. Or anything else that
            ``compile(metrics=…)`` takes: a name, a metric object, or for several outputs a list, or a dict by output.

    Example:
        >>> error = Metric("absolute error", higher_is_better=False, per_example=lambda y, y_pred: abs(y - y_pred))
        >>> error.per_example(np.array([1.0, 2.0]), np.array([1.5, 2.0])).tolist()
        [0.5, 0.0]
    """

    name: str
    higher_is_better: bool
    per_example: Any

    def compiled(self) -> list[Any] | tuple[Any, ...] | dict[str, Any]:
        """What ``compile(metrics=…)`` takes."""
        return self.per_example if isinstance(self.per_example, dict | list | tuple) else [self.per_example]

    @property
    def sign(self) -> int:
        """1 or -1: the metric times its sign is better where it is higher."""
        return metric_sign(self.higher_is_better)


def metric_sign(higher_is_better: bool) -> int:
    """1 or -1: a metric times its sign is better where it is higher."""
    return 1 if higher_is_better else -1


@dataclass(frozen=True)
class Data:
    """All examples of a problem; splits are index arrays into them.

    Attributes:
        x: input array of shape (n, …), or a tuple, list or dict of such arrays as the model takes them.
        y: targets, an array of shape (n, …), or a tuple, list or dict of such arrays for several outputs.
        test: indices of the canonical test split, or a mask of it, or None to draw one once.
        sample_weight: weights in the loss, shape (n,) or (n, …) as ``fit`` takes them, or None.

    Example:
        >>> data = Data(x=np.zeros((4, 2)), y=np.array([1.0, 2.0, 3.0, 4.0]), test=np.array([3]))
        >>> data.check("problem 'line'")
        >>> data.sealed(data.test).y.tolist()  # what tuning runs see
        [1.0, 2.0, 3.0, 0.0]
    """

    x: Any
    y: Any
    test: np.ndarray | None = None
    sample_weight: Any = None

    def __post_init__(self) -> None:
        for name in ("x", "y", "sample_weight"):
            try:
                object.__setattr__(self, name, as_arrays(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        if self.test is not None:
            test = np.asarray(self.test)
            object.__setattr__(self, "test", np.flatnonzero(test) if test.dtype.kind == "b" else test)

    def __len__(self) -> int:
        return len(flat_arrays(self.y)[0])

    def fields(self) -> tuple[Any, ...]:
        """Inputs, targets and sample weights."""
        return self.x, self.y, self.sample_weight

    def inputs(self) -> list[np.ndarray]:
        """The input arrays in a fixed order."""
        return flat_arrays(self.x)

    def arrays(self) -> list[np.ndarray]:
        """Every array, inputs first."""
        return [*self.inputs(), *flat_arrays(self.y), *flat_arrays(self.sample_weight)]

    def rows(self, index: np.ndarray) -> Data:
        """The examples of ``index``, in its order; without a test split."""
        x, y, weight = (map_arrays(lambda a: a[index], part) for part in (self.x, self.y, self.sample_weight))
        return Data(x, y, None, weight)

    def check(self, where: str) -> None:
        """Raise ProblemError unless the arrays match and are finite, and the test split is a proper part of them."""
        fields = {"x": self.x, "y": self.y, "sample_weight": self.sample_weight}
        for field, structure in fields.items():
            for name, array in named_arrays(field, structure):
                if fault := fault_of(name, array):
                    raise ProblemError(f"{where}: {fault}")
        for field in ("x", "y"):
            if not flat_arrays(fields[field]):
                raise ProblemError(
                    f"{where}: data must have inputs and targets; received {field}={fields[field]!r}. Where fit takes x alone, "
                    "as for an autoencoder or a loss that layers add, give x as y too"
                )
        lengths = {len(array) for array in self.arrays()}
        if len(lengths) != 1 or 0 in lengths:
            several = any(isinstance(structure, list | tuple) for structure in fields.values())
            raise ProblemError(
                f"{where}: all arrays must have the same, positive length; received {sorted(lengths)}"
                f"{'. A list of arrays is one for each input or output; examples become one array by np.stack' * several}"
            )
        n = len(self)
        if self.test is not None:
            indices = self.test if self.test.dtype.kind in "iu" else np.empty(0, int)
            valid = np.intersect1d(indices, np.arange(n))
            if len(valid) != np.size(self.test) or not 0 < len(valid) < n:
                raise ProblemError(
                    f"{where}: test must hold distinct indices from 0 to {n - 1}, at least one and not all; received "
                    f"{np.size(self.test)}, of which {len(valid)} are valid"
                )

    def hash(self) -> str:
        """sha256 of every array's type, shape and bytes."""
        digest = hashlib.sha256()
        for array in [*self.arrays(), *([] if self.test is None else [self.test])]:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def sealed(self, test: np.ndarray) -> Data:
        """These data with the examples of ``test`` erased, inputs and targets: tuning runs are given no test example.

        Targets alone would not do: a language model's or an autoencoder's are in its inputs.
        """

        def erase(array: np.ndarray) -> np.ndarray:
            erased = array.copy()
            erased[test] = np.zeros((), array.dtype)
            return erased

        return replace(self, x=map_arrays(erase, self.x), y=map_arrays(erase, self.y))


@dataclass(frozen=True)
class Problem:
    """One problem: what ``compile``, ``fit`` and ``evaluate`` would be given, and what the protocol adds.

    Attributes:
        name: its name; random streams are derived from it.
        title: one line for the report.
        build_model: returns a new, uncompiled Keras model: Sequential, functional or subclassed, with one output or several,
            with its own ``train_step`` and ``test_step`` or Keras'. Its random choices must come from Keras' global seed.
        load_data: ``(path or None) -> Data``, the same at every call; only problems that read a file look at the path.
        loss: whatever ``compile(loss=…)`` takes: a name of Keras, a ``keras.losses.Loss``, a function ``(y, y_pred) -> losses``
            of shape (n, …) or their mean; for several outputs a list, or a dict by output. None for a model whose layers add
            their own losses.
        metric: the metric that generalization is measured in. With several outputs, or a ``test_step`` of the model's own, its
            name says which of the values that ``evaluate`` reports it is.
        epochs, batch_size: budget and batch size unless the config says otherwise.
        margin: δ, in the metric's unit: smaller differences are negligible (docs/protocol.md, "Margins").
        margin_reason: what a user would care for, and what the test split can tell apart, for the report.
        divergence_factor: a run diverges when its training or validation loss exceeds that of its initial weights by so many
            times (docs/protocol.md, "Run status").
        dataset: the name of its data set: problems on the same one have the same sealed test split. None for the problem's
            own name.
        test_share, validation_share: shares of all examples, and of those outside the test split.
        stratified: whether splits preserve the shares of the classes in ``y``, if it is one array.
        convex: whether the loss is convex in the weights.
        optimum: ``(x, y) of the training examples -> least loss plus penalty``, where it is known.
        count: how the number of parameters adds up, for the report.
        loss_weights: a weight for each output's loss, as ``compile`` takes them; None for equal ones.
        metrics: others that are recorded beside ``metric``; nothing is chosen or judged by them.
        class_weight: weights of classes in the loss of training, as ``fit`` takes them; a class that it lacks has 1. Every
            evaluation is unweighted, with the weighted loss beside it (``weighted_loss``).
        source: where the data come from, and under which license, for the report.

    Example:
        >>> import keras
        >>> line = Problem(
        ...     name="line",
        ...     title="A line through twenty points",
        ...     build_model=lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]),
        ...     load_data=lambda path: Data(x=np.arange(20.0)[:, None], y=2 * np.arange(20.0)[:, None]),
        ...     loss="mean_squared_error",
        ...     metric=Metric("absolute error", False, lambda y, y_pred: keras.ops.abs(y - y_pred)[:, 0]),
        ...     stratified=False,
        ... )
        >>> len(line.load_data(None))
        20
    """

    name: str
    title: str
    build_model: Callable[[], Any]
    load_data: Callable[[str | None], Data]
    loss: Any
    metric: Metric
    epochs: int = 20
    batch_size: int = 32
    margin: float = 0.01
    margin_reason: str = ""
    divergence_factor: float = 1000.0
    dataset: str | None = None
    test_share: float = 0.2
    validation_share: float = 0.2
    stratified: bool = True
    convex: bool = False
    optimum: Callable[[np.ndarray, np.ndarray], float] | None = None
    count: str = ""
    loss_weights: Any = None
    metrics: tuple[Metric, ...] = ()
    class_weight: Mapping[int, float] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for metric in (self.metric, *self.metrics):
            if not isinstance(metric, Metric):
                raise ProblemError(
                    f"problem '{self.name}': a metric must be a Metric(name, higher_is_better, per_example); received {metric!r}"
                )
        names = ["loss", self.metric.name, *self.beside]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ProblemError(
                f"problem '{self.name}': metrics must have names that differ, also from 'loss'; repeated: {', '.join(repeated)}"
            )

    @property
    def beside(self) -> list[str]:
        """Names of what is recorded beside the loss and the metric."""
        return [*(metric.name for metric in self.metrics), *([] if self.class_weight is None else [WEIGHTED_LOSS])]

    def compiled_metrics(self) -> list[Any] | tuple[Any, ...] | dict[str, Any]:
        """What ``compile(metrics=…)`` takes for all metrics.

        Raises:
            ProblemError: they can't be merged: with several outputs, each metric must be a dict by output.
        """
        if not self.metrics:
            return self.metric.compiled()
        structures = [metric.per_example for metric in (self.metric, *self.metrics)]
        if not any(isinstance(structure, dict | list | tuple) for structure in structures):
            return structures
        if not all(isinstance(structure, dict) for structure in structures):
            raise ProblemError(f"problem '{self.name}': metrics: with several outputs, each must be a dict by output")
        merged: dict[str, list[Any]] = {}
        for structure in structures:
            for output, metric in structure.items():
                merged.setdefault(output, []).extend(metric if isinstance(metric, list | tuple) else [metric])
        return merged
