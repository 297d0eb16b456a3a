"""A problem's compiled model: its evaluation, shared by all optimizers, and how members are computed side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from descentlab.problems.base import Data, Problem
from descentlab.training.engine.batches import gather_examples, shapes_of
from descentlab.training.engine.class_weight import weights_by_class
from descentlab.training.engine.convolution import with_patches
from descentlab.training.engine.keras_model import KerasModel
from descentlab.training.engine.member import Evaluation, Means, Member
from descentlab.training.engine.member_step import MemberStep
from descentlab.training.engine.packing import Packing
from descentlab.training.engine.traced_state import check_accounted
from descentlab.training.engine.trainable import check_compilable, compile_loss, for_keras

Evaluate = Callable[..., list[Evaluation]]
CHUNK = 128  # examples per evaluation call: more exceed the CPU's cache, fewer spend the time on calls
CHUNK_OUTPUTS = 2**20  # numbers that a member's model puts out for a chunk at most: 4 MiB, for the same reason


def chunked(indices: np.ndarray, rows: int, width: int) -> np.ndarray:
    """Indices padded with their first to shape (``rows``, ``width``), int32.

    Example:
        >>> chunked(np.array([5, 6, 7]), 2, 2).tolist()
        [[5, 6], [7, 5]]
    """
    padded = np.full(rows * width, indices[0], dtype=np.int32)
    padded[: len(indices)] = indices
    return padded.reshape(rows, width)


def chunks_of(examples: int, width: int) -> int:
    """How many rows of ``width`` hold these examples."""
    return -(-examples // width)


def mean_by_part(
    updates: int,
    assessed: list[np.ndarray],
    penalty: float,
    parts: tuple[np.ndarray, ...],
    class_weights: np.ndarray | None = None,
) -> Evaluation:
    """An evaluation from the values of each example.

    Args:
        updates: done so far.
        assessed: loss, score, and the other metrics of each example, part after part; what follows them is padding.
        penalty: what the weights' regularizers add to the loss.
        parts: indices of the examples.
        class_weights: of all examples of the data, where the loss weighted with them is wanted too.
    """
    ends = np.cumsum([len(part) for part in parts])
    columns = [values[: ends[-1]] for values in assessed]
    if class_weights is not None:
        columns.append(columns[0] * class_weights[np.concatenate(parts)])
    means = []
    for values in zip(*(np.split(column, ends[:-1]) for column in columns), strict=True):
        loss, metric, *beside = (float(value.mean(dtype=np.float64)) for value in values)
        means.append(Means(loss, metric, tuple(beside)))
    return Evaluation(updates, tuple(means), penalty, columns[0], columns[1])


def vectorized(function: Callable[..., Any], width: int) -> Callable[..., Any]:
    """``function`` of one member as a function of ``width`` members, all arguments and results with a leading axis."""
    import tensorflow as tf

    if width > 1:
        # What can't be computed for all members at once, like Dropout's random numbers, is computed member by member.
        return lambda *stacked: tf.vectorized_map(lambda member: function(*member), stacked, warn=False)

    def single(*stacked: Any) -> Any:
        # squeeze and expand_dims only reshape a tensor; an index would copy it, at every update.
        result = function(*tf.nest.map_structure(lambda tensor: tf.squeeze(tensor, 0), stacked))
        return tf.nest.map_structure(lambda tensor: tf.expand_dims(tensor, 0), result)

    return single


class CompiledModel:
    """A problem's model and its evaluation, compiled once for all optimizers.

    Args:
        problem: model, loss and metric.
        mode: ``xla``, ``graph``, or ``patches``: XLA with convolutions as patches × matrix.
        width: members that train side by side.
        by_keras: evaluates in place of the compiled evaluation, whose loss is the mean of those of the examples; one member
            then trains at a time.

    Raises:
        ProblemError: the model can't be trained as ``fit`` does.
    """

    def __init__(self, problem: Problem, mode: str, width: int = 1, by_keras: KerasModel | None = None) -> None:
        self.problem = problem
        self.mode = mode
        self.width = width
        self.by_keras = by_keras
        self.compile_seconds = 0.0
        self.model = problem.build_model()
        check_compilable(problem, self.model)
        compile_loss(problem, self.model)
        called = with_patches(self.model) if mode == "patches" else None
        self.step = MemberStep(problem, self.model, called or self.model)
        self.packing = Packing(self.model.variables)
        self._data: tuple[Data, Any] | None = None
        self._chunk_sizes: dict[Any, int] = {}
        self._evaluations: dict[Any, Any] = {}

    def compile(self, function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        """``function`` compiled by the mode, for arguments of these shapes.

        It is called once, because XLA compiles at the first call; a loop with zero turns does no work then. Without
        autograph, which would convert Keras' own code for seconds. A call passes its tensors on unchecked: TensorFlow's check
        that each fits the compiled function takes longer than 20 updates of a small model.
        """
        import tensorflow as tf

        start = time.perf_counter()
        traced = tf.function(function, jit_compile=self.mode != "graph", autograph=False)
        concrete = traced.get_concrete_function(*arguments)
        check_accounted(concrete)

        def call(*tensors: Any) -> Any:
            return concrete._call_flat(tf.nest.flatten(tensors), concrete.captured_inputs)

        np.asarray(tf.nest.flatten(call(*arguments))[0])  # waits for the device
        self.compile_seconds += time.perf_counter() - start
        return call

    def device_arrays(self, data: Data) -> Any:
        """x, y and any sample weights on the device, cached as long as the data stay the same."""
        if self._data is None or self._data[0] is not data:
            self._data = (data, tuple(part for part in for_keras(data.fields()) if part is not None))
        return self._data[1]

    def training_arrays(self, data: Data) -> Any:
        """Likewise, with the weights by class that the problem trains with."""
        if self.problem.class_weight is None:
            return self.device_arrays(data)
        return (*self.device_arrays(data), for_keras(weights_by_class(self.problem, data)))

    def evaluation(self, data: Data, members: list[Member], packed: list[Any]) -> Evaluate:
        """``evaluate(updates, packed=…, last=…) -> evaluations``, one per member; compiled for the shapes of ``packed``.

        Raises:
            ProblemError: an evaluation by Keras has a state that it would hand to the next.
        """
        import tensorflow as tf

        if self.by_keras is not None:
            before = self.by_keras.compile_seconds
            for evaluation in self.by_keras.prepare(data, members[0].parts[0]):
                check_accounted(evaluation, self.by_keras.assigned)
            self.compile_seconds += self.by_keras.compile_seconds - before
            return partial(self._evaluate_by_keras, self.by_keras, data, members)
        arrays = self.device_arrays(data)
        parts = {last: [member.evaluated_parts(last) for member in members] for last in (False, True)}
        class_weights = None if self.problem.class_weight is None else weights_by_class(self.problem, data)
        examples = {last: [np.concatenate(of_member) for of_member in parts[last]] for last in parts}
        counts = {last: len(examples[last][0]) for last in parts}
        # Both evaluations have the shape of the larger, so that they are compiled once; the chunks of padding are not computed.
        width = min(self.chunk_size(data), max(counts.values()))
        rows = chunks_of(max(counts.values()), width)
        index_of = {
            last: tf.constant(np.stack([chunked(indices, rows, width) for indices in examples[last]], axis=1))
            for last in parts
        }
        chunks = {last: tf.constant(chunks_of(counts[last], width)) for last in parts}
        key = shapes_of(arrays, packed, index_of[True])
        if key not in self._evaluations:
            self._evaluations[key] = self.compile(self._evaluate(), arrays, packed, index_of[True], tf.constant(0))
        compiled = self._evaluations[key]

        def evaluate(updates: int, packed: list[Any], last: bool) -> list[Evaluation]:
            results = compiled(arrays, packed, index_of[last], chunks[last])
            *assessed, penalty = (np.asarray(tensor) for tensor in results)
            return [
                mean_by_part(
                    updates,
                    [values[:, row].ravel() for values in assessed],
                    float(penalty[row]),
                    parts_of_member,
                    class_weights,
                )
                for row, parts_of_member in enumerate(parts[last])
            ]

        return evaluate

    def chunk_size(self, data: Data) -> int:
        """Examples of each member in a chunk: CHUNK, or fewer of a model with so many outputs that they fill the cache."""
        import keras

        key = tuple(part.shape[1:] for part in data.inputs())
        if key not in self._chunk_sizes:
            batch = keras.tree.map_structure(lambda part: keras.KerasTensor((1, *part.shape[1:]), part.dtype), data.x)
            outputs = keras.tree.flatten(self.model.compute_output_spec(batch))
            numbers = sum(math.prod(output.shape) for output in outputs)
            self._chunk_sizes[key] = max(1, min(CHUNK, CHUNK_OUTPUTS // numbers))
        return self._chunk_sizes[key]

    def _evaluate_by_keras(
        self, model: KerasModel, data: Data, members: list[Member], updates: int, packed: list[Any], last: bool
    ) -> list[Evaluation]:
        (member,) = members
        return [model.evaluate_member(data, member, updates, last, self.packing.row(packed, 0))]

    def _evaluate(self) -> Callable[..., Any]:
        """``(arrays, packed, index, chunks) -> losses, scores, penalties``, to be compiled.

        ``packed`` and the results have one row per member; ``index`` has shape (chunks, members, examples).
        """
        import tensorflow as tf

        predict, penalties = vectorized(self.step.predict, self.width), vectorized(self.step.penalty, self.width)

        def evaluate(arrays: Any, packed: list[Any], index: Any, chunks: Any) -> Any:
            values = self.packing.unpack(packed)
            shape = index.shape[1:]

            def merge_members(tensor: Any) -> Any:
                return tf.reshape(tensor, (shape[0] * shape[1], *tensor.shape[2:]))

            def chunk(done: Any, *tables: Any) -> Any:
                x, *targets = gather_examples(arrays, index[done])
                # Losses and scores are per example, so one call computes those of all members, whatever the metrics.
                assessed = self.step.assess(*(merge_members(tensor) for tensor in (predict(values, x), *targets)))
                return done + 1, *(
                    table.write(done, tf.reshape(part, shape)) for table, part in zip(tables, assessed, strict=True)
                )

            columns = 2 + len(self.problem.metrics)
            empty = [tf.TensorArray(tf.float32, index.shape[0], element_shape=shape) for _ in range(columns)]
            _, *tables = tf.while_loop(lambda done, *_: done < chunks, chunk, (tf.constant(0), *empty))
            return *(table.stack() for table in tables), penalties(values)

        return evaluate
