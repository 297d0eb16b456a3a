"""How many operations and bytes an update takes, by optimizer: counted in the traced graph, so the same on every machine.

The slides say that each step of an advanced method needs more operations. A clock on a busy machine can't tell: it gave a ratio
of Adam's step to plain SGD's between 0.17 and 10.3 (docs/protocol.md, "Cost"). What is counted:

- *operations*: floating-point operations as TensorFlow's profiler counts them, of the optimizer's update alone and of forward
  and backward pass on one batch. It doesn't count square roots, nor the addition of a result to a variable.
- *bytes*: what an update reads and writes at least: gradients, and every variable that it reads or writes, each once.

Beside it stands how far an update moves a weight for each unit of the learning rate: plain SGD by the gradient, Adam by about
one. A learning rate times that is an *effective rate*, which can be compared between optimizers; the default rates alone
can't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.operations import OPERATIONS_COLUMNS, REPEATED
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.step_cost import MODELS
from descentlab.measurements.attempt import NotMeasurableError, Say, attempt
from descentlab.measurements.standard_models import standard_problem
from descentlab.measurements.workload import SEED, Case, Workload, planned_cases, planned_entries
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.table import OptimizerEntry
from descentlab.storage.tables import check_table, empty_table
from descentlab.training.engine.device import configure_device

FLOAT_BYTES = 4


def count_operations(graph: Any) -> float:
    """Floating-point operations of a TensorFlow graph, as TensorFlow's profiler counts them.

    Raises:
        NotMeasurableError: the profiler would leave out some of them.
    """
    import tensorflow as tf

    check_countable(graph)
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output().build()
    return float(profiler.profile(graph, options=options).total_float_ops)


def check_countable(graph: Any) -> None:
    """Raise NotMeasurableError for a graph of which the profiler leaves something out: loops, branches, and unknown shapes."""
    operations = graph.get_operations()
    inner = {
        operation.type
        for operation in operations
        if any(attribute.WhichOneof("value") == "func" for attribute in operation.node_def.attr.values())
    }
    if inner:
        raise NotMeasurableError(
            f"TensorFlow's profiler doesn't look into loops and branches ({', '.join(sorted(inner))})"
        )
    shapeless = {
        operation.type
        for operation in operations
        if any(tensor.dtype.is_floating and not tensor.shape.is_fully_defined() for tensor in operation.outputs)
    }
    if shapeless:
        raise NotMeasurableError(f"the shape of a result is unknown ({', '.join(sorted(shapeless))})")


def moved_elements(graph: Any) -> int:
    """Elements of the arguments and variables that the graph of an update reads and writes, each once.

    Its arguments are the gradients. Scalars, such as the learning rate and the number of updates done, don't count.
    """
    read: dict[Any, int] = {}
    written: dict[Any, int] = {}
    for operation in graph.get_operations():
        if operation.type == "ReadVariableOp":
            read[operation.inputs[0].ref()] = elements(operation.outputs[0])
        elif operation.type.startswith("Assign") and operation.type.endswith("VariableOp"):
            handle, value = operation.inputs[0].ref(), operation.inputs[1]
            written[handle] = elements(value)
            if operation.type != "AssignVariableOp":  # adds to the variable, or subtracts from it
                read[handle] = elements(value)
    gradients = sum(elements(tensor) for tensor in graph.inputs if tensor.dtype.is_floating)
    return gradients + sum(read.values()) + sum(written.values())


def elements(tensor: Any) -> int:
    """The number of a tensor's elements; 0 of a scalar."""
    return int(np.prod(tensor.shape)) if tensor.shape.rank else 0


def count_update(entry: OptimizerEntry, workload: Workload, what: str, say: Say) -> dict[str, float]:
    """Operations, bytes, and size of an update of a workload's weights: columns of OPERATIONS_COLUMNS.

    A gradient that has rows only, an embedding's, is counted as if it had all.

    Args:
        entry: the optimizer.
        workload: the weights and their gradients.
        what: names both in a line about what can't be counted.
        say: writes the line.

    Raises whatever a reader's optimizer does.
    """
    import tensorflow as tf

    weights = workload.weights
    workload.restore_weights()
    optimizer = build(entry, Arm.TUNED, entry.center_learning_rate)
    optimizer.build(weights)
    traced = tf.function(lambda gradients: optimizer.apply(gradients, weights), autograph=False)
    specs = [
        None if gradient is None else tf.TensorSpec(gradient.shape, gradient.dtype) for gradient in workload.gradients
    ]
    graph = traced.get_concrete_function(specs).graph
    size = update_size(lambda: traced(workload.gradients), weights) / (entry.center_learning_rate or np.nan)
    operations = attempt(f"{what}: an update's operations not counted", partial(count_operations, graph), say)
    counted = (np.nan, np.nan) if operations is None else (operations, FLOAT_BYTES * moved_elements(graph))
    per_parameter = [number / workload.parameters for number in counted]
    return dict(zip(("update_operations", "update_bytes"), per_parameter, strict=True)) | {"update_size": size}


def update_size(update: Callable[[], Any], weights: Sequence[Any]) -> float:
    """Root mean square of what the last of REPEATED updates adds to the weights."""
    before = np.empty(0)
    for _ in range(REPEATED):
        before = flat(weights)
        update()
    return float(np.sqrt(np.mean((flat(weights) - before) ** 2)))


def flat(weights: Sequence[Any]) -> np.ndarray:
    """All weights in one array, in double precision."""
    return np.concatenate([np.asarray(weight, np.float64).ravel() for weight in weights])


def count_gradient(workload: Workload) -> float:
    """Operations of forward and backward pass on the workload's batch.

    Raises:
        NotMeasurableError: they can't be counted.
    """
    import tensorflow as tf

    traced = tf.function(workload.gradient, autograph=False)
    return count_operations(traced.get_concrete_function(*workload.batch).graph)


def measure_operations(cases: Iterable[Case], say: Say = print) -> pd.DataFrame:
    """Count every optimizer's update and the gradient of its problems.

    Args:
        cases: problems, each with its own batch size, and the optimizers that are counted on them.
        say: writes a line for what is left out.

    Returns:
        A table of OPERATIONS_COLUMNS, one row per (problem, optimizer); without problems whose gradients can't be had, and
        without optimizers that can't update a problem's weights.

    Raises:
        ProblemError: a problem's data have changed since planning.
    """
    rows = []
    for problem, entries in cases:
        problem.split(SEED)  # refuses data that have changed
        where = f"operations: {problem.name}"
        workload = attempt(f"{where} left out", partial(Workload.of, problem), say)
        if workload is None:
            continue
        gradient = attempt(
            f"{where}: operations of forward and backward pass not counted", partial(count_gradient, workload), say
        )
        for entry in entries:
            what = f"operations: {entry.name} on {problem.name}"
            counted = attempt(f"{what} left out", partial(count_update, entry, workload, what, say), say)
            if counted is not None:
                rows.append(
                    {
                        "model": problem.name,
                        "parameters": workload.parameters,
                        "batch_size": workload.batch_size,
                        "optimizer": entry.name,
                        **counted,
                        "gradient_operations": np.nan if gradient is None else gradient / workload.parameters,
                    }
                )
    return (
        check_table(pd.DataFrame(rows), OPERATIONS_COLUMNS, "operations") if rows else empty_table(OPERATIONS_COLUMNS)
    )


def plan_operations(plan: TrainingPlan, say: Say) -> pd.DataFrame:
    """The operations of an experiment's mini-batch optimizers on its problems, and on standard models of other names."""
    device = configure_device()
    standard = ((standard_problem(name, device), planned_entries(plan)) for name in MODELS if name not in plan.problems)
    return measure_operations(
        (
            (problem, [entry for entry in entries if not entry.full_batch])
            for problem, entries in chain(standard, planned_cases(plan, device))
        ),
        say,
    )
