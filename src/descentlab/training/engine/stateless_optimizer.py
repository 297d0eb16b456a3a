"""A Keras optimizer as a function of its state, on TensorFlow.

Keras offers this only for JAX (``stateless_apply``): on TensorFlow its optimizers write to variables through
``tf.distribute``, and a member's variables could then not be one row of a tensor. Inside ``keras.StatelessScope`` every
Keras variable reads from and writes to the scope, so it suffices to give the optimizer the methods that Keras defines for
all backends.

There is one difference. On TensorFlow ``variable.value`` is itself a variable, so a value that an optimizer read before an
assignment shows the assigned value afterward; ScheduleFreeAdamW of Keras 3.15 depends on it. That is how ``fit`` trains, and
hence how we do (:func:`optimizer_scope`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

BACKEND_INDEPENDENT = (
    "_var_key",
    "_apply_weight_decay",
    "_backend_update_step",
    "_overwrite_model_variables_with_average_value",
)


def sparse_methods(of_backend: Any, of_all: Any) -> dict[str, Any]:
    """What Keras on TensorFlow does with an Embedding's gradient, rows that may repeat, where other backends know none.

    Everything between, such as the square of such a gradient, row by row, stays as Keras computes it.
    """
    import tensorflow as tf

    def as_written(variable: Any, value: Any) -> Any:
        """What an assignment of rows leaves: the others stay, and the last of a repeated row counts."""
        if not isinstance(value, tf.IndexedSlices):
            return value
        return tf.tensor_scatter_nd_update(tf.convert_to_tensor(variable), value.indices[:, None], value.values)

    def as_sum(value: Any) -> Any:
        """Rows as a tensor in which repeated ones add up."""
        return tf.convert_to_tensor(value) if isinstance(value, tf.IndexedSlices) else value

    def clip(self: Any, values: Any, axes: Any = None) -> Any:
        sparse = isinstance(values, tf.IndexedSlices)
        return (of_backend if sparse else of_all)._clip_by_norm(self, values, axes)

    return {
        "assign": lambda self, variable, value: of_all.assign(self, variable, as_written(variable, value)),
        "assign_add": lambda self, variable, value: of_all.assign_add(self, variable, as_sum(value)),
        "assign_sub": lambda self, variable, value: of_all.assign_sub(self, variable, as_sum(value)),
        "_clip_by_norm": clip,
    }


def without_distribution(optimizer: Any) -> Any:
    """The optimizer itself, not yet built, with the methods that Keras defines for all backends.

    They replace the backend's own in the method resolution order, so what the optimizer overrides stays overridden. An optimizer
    that it wraps is treated alike.
    """
    import keras

    for inner in vars(optimizer).values():
        if isinstance(inner, keras.optimizers.Optimizer):
            without_distribution(inner)
    of_backend, of_all = keras.optimizers.Optimizer.__bases__
    methods = {name: getattr(of_all, name) for name in BACKEND_INDEPENDENT}
    methods |= sparse_methods(of_backend, of_all)
    stateless = type("StatelessOptimizer", (of_backend,), methods)
    own = type(optimizer)
    optimizer.__class__ = type(own.__name__, (own, stateless), {"__module__": own.__module__})
    return optimizer


class LaterValue:
    """The value of an optimizer's variable at the time of use; a tensor wherever TensorFlow or Keras needs one."""

    def __init__(self, values: dict[int, Any], variable: Any) -> None:
        self._values, self._variable = values, variable
        self.dtype, self.shape = variable.dtype, variable.shape

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        import tensorflow as tf

        return tf.convert_to_tensor(self._values[id(self._variable)], dtype, name=name)


def optimizer_scope(optimizer: Any, variables: list[Any], values: list[Any]) -> Any:
    """A ``keras.StatelessScope`` of these values, in which the optimizer's own variables are read as on TensorFlow."""
    import keras

    own = {id(variable) for variable in state_variables(optimizer)}

    class OptimizerScope(keras.StatelessScope):
        def get_current_value(self, variable: Any) -> Any:
            value = super().get_current_value(variable)
            return LaterValue(self.state_mapping, variable) if id(variable) in own else value

        def values(self) -> list[Any]:
            """The variables' values, in their order."""
            return [self.state_mapping[id(variable)] for variable in variables]

    return OptimizerScope(list(zip(variables, values, strict=True)), collect_losses=True)


def state_variables(optimizer: Any) -> list[Any]:
    """Every variable that an optimizer and those that it wraps keep, learning rates and counters included."""
    import keras

    variables = list(optimizer.variables)
    for value in vars(optimizer).values():
        if isinstance(value, keras.Variable):
            variables.append(value)
        elif isinstance(value, keras.optimizers.Optimizer):
            variables += state_variables(value)
    return list({id(variable): variable for variable in variables}.values())


def state_bytes(optimizer: Any) -> int:
    """Bytes of a built optimizer's variables, without its counters and learning rate."""
    own = [variable for variable in state_variables(optimizer) if len(variable.shape) > 0]
    return sum(math.prod(variable.shape) * np.dtype(variable.dtype).itemsize for variable in own)
