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

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.plan import TrainingPlan
from descentlab.measurements.step_loops import (
    MODELS,
    REPEATED,
    Workload,
    build_workload,
    planned_entries,
    problem_workload,
)
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.table import OptimizerEntry
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.device import configure_device
from descentlab.training.find_problem import planned_problem

OPERATIONS_COLUMNS: dict[str, Column] = {
    "model": Column("str", "", "", "a standard model, or a problem of the experiment"),
    "parameters": Column("int64", "", "", "trainable parameters"),
    "batch_size": Column("int64", "examples", "", "of forward and backward pass"),
    "optimizer": Column("str", "", "", "optimizer, as the tuned arm has it"),
    "update_operations": Column(
        "float64", "operations", "lower", "of an update, per parameter; NaN where it can't be traced"
    ),
    "update_bytes": Column("float64", "bytes", "lower", "that an update reads and writes, per parameter"),
    "update_size": Column(
        "float64",
        "weights",
        "",
        f"root mean square of update {REPEATED} on one batch's gradient, over the learning rate; NaN without a rate",
    ),
    "gradient_operations": Column(
        "float64", "operations", "lower", "of forward and backward pass on one batch, per parameter"
    ),
}
FLOAT_BYTES = 4


def count_operations(graph: Any) -> float:
    """Floating-point operations of a TensorFlow graph, as TensorFlow's profiler counts them."""
    import tensorflow as tf

    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output().build()
    return float(profiler.profile(graph, options=options).total_float_ops)


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


def count_update(entry: OptimizerEntry, workload: Workload) -> tuple[float, float, float]:
    """Operations, bytes, and size of an update of a workload's weights; NaN where the optimizer can't be traced."""
    import tensorflow as tf

    weights = workload.model.trainable_variables
    for variable, value in zip(weights, workload.initial, strict=True):
        variable.assign(value)  # ScheduleFreeAdamW copies the weights into its state
    try:
        optimizer = build(entry, Arm.TUNED, entry.center_learning_rate)
        optimizer.build(weights)
        traced = tf.function(lambda gradients: optimizer.apply(gradients, weights), autograph=False)
        specs = [tf.TensorSpec(gradient.shape, gradient.dtype) for gradient in workload.gradients]
        graph = traced.get_concrete_function(specs).graph
        size = update_size(lambda: traced(workload.gradients), weights) / (entry.center_learning_rate or np.nan)
    except Exception:  # a reader's optimizer may raise anything; its runs say what
        return np.nan, np.nan, np.nan
    return count_operations(graph), float(FLOAT_BYTES * moved_elements(graph)), size


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
    """Operations of forward and backward pass on the workload's batch."""
    import tensorflow as tf

    weights = workload.model.trainable_variables

    def gradients(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = workload.model.compute_loss(x, y, workload.model(x, training=True))
        return tape.gradient(value, weights)

    return count_operations(tf.function(gradients, autograph=False).get_concrete_function(workload.x, workload.y).graph)


def measure_operations(entries: Sequence[OptimizerEntry], workloads: Sequence[Callable[[], Workload]]) -> pd.DataFrame:
    """Count every optimizer's update and the gradient of every workload.

    Returns:
        A table of OPERATIONS_COLUMNS, one row per (model, optimizer).
    """
    rows = []
    for build_one in workloads:
        workload = build_one()
        gradient = count_gradient(workload)
        for entry in entries:
            operations, moved, size = count_update(entry, workload)
            rows.append(
                {
                    "model": workload.name,
                    "parameters": workload.parameters,
                    "batch_size": workload.batch_size,
                    "optimizer": entry.name,
                    "update_operations": operations / workload.parameters,
                    "update_bytes": moved / workload.parameters,
                    "update_size": size,
                    "gradient_operations": gradient / workload.parameters,
                }
            )
    return check_table(pd.DataFrame(rows), OPERATIONS_COLUMNS, "operations")


def plan_operations(plan: TrainingPlan) -> pd.DataFrame:
    """The operations of an experiment's mini-batch optimizers on the standard models and on its problems."""
    entries = [entry for entry in planned_entries(plan) if not entry.full_batch]
    device = configure_device()
    workloads: list[Callable[[], Workload]] = [partial(build_workload, name, 0, device) for name in MODELS]
    for name in plan.problems:
        problem = planned_problem(plan, name, device)
        if name not in MODELS:
            workloads.append(
                partial(problem_workload, name, problem.problem, problem.data, problem.batch_size, 0, device)
            )
    return measure_operations(entries, workloads)
