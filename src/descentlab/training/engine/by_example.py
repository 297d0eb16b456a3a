"""Whether a problem's loss and metric are means over examples, which the compiled evaluation takes them for."""

from __future__ import annotations

from typing import Any

from descentlab.problems.base import Data, Problem
from descentlab.training.engine.example_loss import example_loss, resolve_loss
from descentlab.training.engine.example_metric import example_metric
from descentlab.training.engine.trainable import for_keras

MEANS = ("sum_over_batch_size", "mean")  # reductions of a loss without a mask


def not_by_example(problem: Problem, model: Any, few: Data) -> str:
    """Why a batch's loss or metric is not the mean of those of its examples; empty if it may be.

    Args:
        problem: has the loss and the metric.
        model: a built model of the problem with one output.
        few: some examples.
    """
    metrics = {}
    for metric in (problem.metric, *problem.metrics):
        function = example_metric(metric)
        if function is None:
            return f"the metric {metric.name} is no function of examples"
        metrics[metric.name] = function
    loss = resolve_loss(problem.loss) if problem.loss is not None else None
    if loss is None:
        return "the loss is the layers' own"
    if loss.reduction not in MEANS:
        return f"the loss has reduction {loss.reduction}"
    if getattr(loss, "ignore_class", None) is not None:
        return "the loss ignores a class"
    x, y, _ = for_keras(few.fields())
    predicted = model(x, training=False)
    if getattr(predicted, "_keras_mask", None) is not None:
        return "the model's output has a mask"
    if len(model.losses) > sum(getattr(v, "regularizer", None) is not None for v in model.trainable_variables):
        return "layers add losses of their own"
    for what, function in {"loss": example_loss(problem.loss), **metrics}.items():
        shape = tuple(function(y, predicted).shape)
        if shape[:1] != (len(few),):
            return f"the {what} has shape {shape} for {len(few)} examples"
    return ""
