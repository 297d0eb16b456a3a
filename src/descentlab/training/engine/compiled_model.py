"""A problem's model as it is compiled: its evaluation, shared by all optimizers, and how members stand side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from descentlab.problems.base import Data, Problem
from descentlab.training.engine.convolution import with_patches
from descentlab.training.engine.member_step import MemberStep
from descentlab.training.engine.packing import Packing
from descentlab.training.engine.trainable import check_trainable

CHUNK = 128  # examples an evaluation takes at once: more leave the cache, fewer wait for calls


def chunked(indices: np.ndarray) -> np.ndarray:
    """Indices padded with their first and cut into rows of at most CHUNK, int32."""
    width = min(CHUNK, len(indices))
    rows = -(-len(indices) // width)
    padded = np.full(rows * width, indices[0], dtype=np.int32)
    padded[: len(indices)] = indices
    return padded.reshape(rows, width)


def vectorised(function: Callable[..., Any], width: int) -> Callable[..., Any]:
    """``function`` of one member as one of ``width`` members, all arguments and results with a leading axis."""
    import tensorflow as tf

    if width > 1:
        # What can't be computed for all members at once, as Dropout's random numbers, is computed member by member.
        return lambda *stacked: tf.vectorized_map(lambda one: function(*one), stacked, warn=False)

    def alone(*stacked: Any) -> Any:
        # squeeze and expand_dims look at a tensor; an index would copy it, at every update.
        found = function(*tf.nest.map_structure(lambda tensor: tf.squeeze(tensor, 0), stacked))
        return tf.nest.map_structure(lambda tensor: tf.expand_dims(tensor, 0), found)

    return alone


def taken(arrays: Any, index: Any) -> Any:
    """The examples of an index of any shape."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda array: tf.gather(array, index), arrays)


def shapes_of(*structures: Any) -> tuple[Any, ...]:
    """The shapes of all tensors, by which compiled functions are kept."""
    import tensorflow as tf

    return tuple(tuple(tensor.shape) for tensor in tf.nest.flatten(structures))


class CompiledModel:
    """A problem's model and its evaluation, compiled once for all optimizers.

    Args:
        problem: model, loss and metric.
        mode: ``xla``, ``graph``, or ``patches``: XLA with convolutions as patches × matrix.
        width: members that train side by side.

    Raises:
        ProblemError: the model can't be trained as ``fit`` does.
    """

    def __init__(self, problem: Problem, mode: str, width: int = 1) -> None:
        self.problem = problem
        self.mode = mode
        self.width = width
        self.compile_seconds = 0.0
        self.model = problem.build_model()
        check_trainable(problem, self.model)
        called = with_patches(self.model) if mode == "patches" else None
        self.step = MemberStep(problem, self.model, called or self.model)
        self.packing = Packing(self.model.variables)
        self._data: tuple[Data, Any] | None = None
        self._evaluations: dict[Any, Any] = {}

    def compile(self, function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        """``function`` as the mode compiles it for arguments of these shapes.

        It is called once, because XLA compiles at the first call; a loop that is given no turns does no work then.
        Without autograph, which converts Keras' own code for seconds. A call passes its tensors on: to compare each with what
        was compiled for takes TensorFlow longer than 20 updates of a small model take.
        """
        import tensorflow as tf

        begun = time.perf_counter()
        traced = tf.function(function, jit_compile=self.mode != "graph", autograph=False)
        concrete = traced.get_concrete_function(*arguments)

        def call(*given: Any) -> Any:
            return concrete._call_flat(tf.nest.flatten(given), concrete.captured_inputs)

        np.asarray(tf.nest.flatten(call(*arguments))[0])  # waits for the device
        self.compile_seconds += time.perf_counter() - begun
        return call

    def device_arrays(self, data: Data) -> Any:
        """x, y and, where there are, sample weights on the device, kept while the same data are trained on."""
        import tensorflow as tf

        if self._data is None or self._data[0] is not data:
            weights = [] if data.sample_weight is None else [data.sample_weight]
            self._data = (data, tf.nest.map_structure(tf.constant, (data.x, data.y, *weights)))
        return self._data[1]

    def evaluation(self, arrays: Any, packed: list[Any], index: Any) -> Any:
        """``(arrays, packed, index, chunks) -> losses, scores, penalties`` for arguments of these shapes.

        ``packed`` and what comes out have one row a member; ``index`` has shape (chunks, members, examples).
        """
        import tensorflow as tf

        key = shapes_of(arrays, packed, index)
        if key not in self._evaluations:
            self._evaluations[key] = self.compile(self._evaluate(), arrays, packed, index, tf.constant(0))
        return self._evaluations[key]

    def _evaluate(self) -> Callable[..., Any]:
        import tensorflow as tf

        predict, penalties = vectorised(self.step.predict, self.width), vectorised(self.step.penalty, self.width)

        def evaluate(arrays: Any, packed: list[Any], index: Any, chunks: Any) -> Any:
            values = self.packing.unpack(packed)
            shape = index.shape[1:]

            def joined(tensor: Any) -> Any:
                return tf.reshape(tensor, (shape[0] * shape[1], *tensor.shape[2:]))

            def chunk(done: Any, losses: Any, scores: Any) -> Any:
                x, y = taken(arrays[:2], index[done])
                # Losses and scores are by example: all members' in one call, whatever a metric is made of.
                found = self.step.assess(*(joined(one) for one in (y, predict(values, x))))
                return done + 1, *(
                    table.write(done, tf.reshape(one, shape))
                    for table, one in zip((losses, scores), found, strict=True)
                )

            empty = [tf.TensorArray(tf.float32, index.shape[0], element_shape=shape) for _ in range(2)]
            _, losses, scores = tf.while_loop(lambda done, *_: done < chunks, chunk, (tf.constant(0), *empty))
            return losses.stack(), scores.stack(), penalties(values)

        return evaluate
