"""A problem's metric as a function of examples, where it is one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from descentlab.problems.base import Metric, Problem
from descentlab.training.engine.example_loss import resolve_loss


def example_metric(problem: Problem, measured: Metric, model: Any) -> Callable[[Any, Any], Any] | None:
    """``(y, y_pred) -> scores`` whose mean is the metric; None for a metric that is no mean over examples.

    A name, class or object of Keras has the function that Keras has under the name of its class, such as
    ``keras.metrics.mean_absolute_error`` for MeanAbsoluteError, if nothing but its name was set.
    """
    import keras

    metric = measured.per_example
    if isinstance(metric, dict | list | tuple):
        return None
    if metric in ("accuracy", "acc"):
        return _accuracy(problem, model)
    if callable(metric) and not inspect.isclass(metric) and not isinstance(metric, keras.metrics.Metric):
        return metric
    resolved = keras.metrics.get(metric)
    if not isinstance(resolved, keras.metrics.Metric):
        return resolved
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(resolved).__name__).lower()
    function = getattr(keras.metrics, name, None)
    if function is None or not type(resolved).__module__.startswith("keras."):
        return None
    own, usual = resolved.get_config(), type(resolved)().get_config()
    changed = any(own[key] != usual[key] for key in usual if key not in ("name", "dtype"))
    return None if changed else function


def _accuracy(problem: Problem, model: Any) -> Callable[[Any, Any], Any]:
    """The accuracy that Keras takes the word for, by the predictions and the loss; a trial tells if it takes another."""
    import keras

    if model.output_shape[-1] == 1:
        return keras.metrics.binary_accuracy
    sparse = type(resolve_loss(problem.loss)).__name__.startswith("Sparse") or "sparse" in str(problem.loss)
    return keras.metrics.sparse_categorical_accuracy if sparse else keras.metrics.categorical_accuracy
