"""A problem's metric as a function of examples, where it is one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from descentlab.problems.base import Metric
from descentlab.training.engine.example_loss import kind_of_targets


def example_metric(measured: Metric) -> Callable[[Any, Any], Any] | None:
    """``(y, y_pred) -> scores`` whose mean is the metric; None for a metric that is no mean over examples.

    A name, class or object of Keras has the function that Keras has under the name of its class, such as
    ``keras.metrics.mean_absolute_error`` for MeanAbsoluteError, if nothing but its name was set.
    """
    import keras

    metric = measured.per_example
    if isinstance(metric, dict | list | tuple):
        return None
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        return accuracy
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


def accuracy(y: Any, y_pred: Any) -> Any:
    """The accuracy that Keras takes the word for."""
    import keras

    return getattr(keras.metrics, f"{kind_of_targets(y, y_pred)}_accuracy")(y, y_pred)
