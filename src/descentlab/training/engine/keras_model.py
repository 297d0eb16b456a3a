"""A problem's model as Keras itself trains and evaluates it.

Nothing is computed here but by Keras: the model's ``train_step`` and ``test_step`` are what ``fit`` and ``evaluate`` call. So it
holds for any model that ``fit`` takes, with steps of its own, several outputs, masks, or losses of its layers. It is slower than
the compiled loop, which is held against it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from descentlab.optimizers.copies import lost_in_copy
from descentlab.optimizers.error_line import one_line
from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.training.engine.batches import gather_examples, shapes_of
from descentlab.training.engine.class_weight import for_training
from descentlab.training.engine.example_metric import example_metric
from descentlab.training.engine.member import Evaluation, Means, Member
from descentlab.training.engine.trainable import for_keras, overrides, weight_penalty

GROUPS = 100  # of test examples


class KerasModel:
    """A new model, compiled by Keras.

    Args:
        problem: has the loss and the metric.
        optimizer: a Keras optimizer; None for a model that is only evaluated.
        batch_size: examples of a batch in an evaluation; where the loss is no mean over examples, it depends on it.
        eager: every step runs in Python, for models that can't be traced.
        by_example: whether the metric is a mean over examples, as a compiled loop that evaluates takes it for.
    """

    def __init__(
        self, problem: Problem, optimizer: Any, batch_size: int, eager: bool = False, by_example: bool = False
    ) -> None:
        self.problem = problem
        self.by_example = by_example
        self.eager = eager
        self.batch_size = batch_size
        self.model = problem.build_model()
        try:
            self.model.compile(
                optimizer=optimizer,
                loss=problem.loss,
                loss_weights=problem.loss_weights,
                metrics=new_metrics(problem.compiled_metrics()),
                run_eagerly=eager,
                jit_compile=False,
            )
        except TypeError as error:
            if not overrides(self.model, "compile"):
                raise
            raise ProblemError(
                f"problem '{problem.name}': its model has a compile of its own that doesn't take one optimizer, a loss and "
                f"metrics, as the comparison of optimizers needs: {one_line(error)}"
            ) from error
        self.compile_seconds = 0.0
        self._arrays: tuple[Data | None, dict[bool, Any]] = None, {}
        self._loops: dict[Any, Any] = {}

    @property
    def optimizer(self) -> Any:
        """The optimizer that the model is trained with: in float16, Keras wraps it into one that scales the loss."""
        return self.model.optimizer

    def assign(self, values: Sequence[np.ndarray]) -> None:
        """Give the model's variables these values."""
        for variable, value in zip(self.model.variables, values, strict=True):
            variable.assign(value)

    def values(self) -> list[np.ndarray]:
        """The values of the model's variables."""
        return [np.asarray(variable).copy() for variable in self.model.variables]

    def penalty(self) -> float:
        """What the weights' regularizers add to the loss; 0 for a model that evaluates by itself."""
        if overrides(self.model, "test_step"):
            return 0.0
        return float(weight_penalty(self.model.trainable_variables, self.model.trainable_variables))

    def evaluate(self, data: Data, index: np.ndarray, values: Sequence[np.ndarray]) -> Means:
        """What ``model.evaluate`` gives for the examples of ``index`` with these values of the model's variables.

        Raises:
            ProblemError: a model that evaluates by itself reports no loss, or the metric is not among what it reports.
        """
        self.assign(values)
        evaluate = self._evaluate if self.eager else self._evaluate_traced
        loss, metric, *beside = self._reported(evaluate(data, index, False), ["loss", *self._metric_names()])
        if True in self._weightings():
            beside += self._reported(evaluate(data, index, True), ["loss"])
            beside[-1] -= self.penalty()
        return Means(loss - self.penalty(), metric, tuple(beside))

    def _evaluate(self, data: Data, index: np.ndarray, weighted: bool) -> dict[str, Any]:
        """What ``model.evaluate`` reports, with class weights where wanted."""
        part = for_training(self.problem, data.rows(index)) if weighted else data.rows(index)
        return dict(
            self.model.evaluate(
                for_keras(part.x),
                part.y,
                sample_weight=part.sample_weight,
                batch_size=self.batch_size,
                verbose=0,
                return_dict=True,
            )
        )

    def _evaluate_traced(self, data: Data, index: np.ndarray, weighted: bool) -> dict[str, Any]:
        """The same by the model's ``test_step`` on the same batches, in a traced loop."""
        import tensorflow as tf

        arrays = self._on_device(data, weighted)
        whole = len(index) // self.batch_size * self.batch_size
        batches = [index[:whole].reshape(-1, self.batch_size), index[whole:].reshape(1, -1)]
        test = self._traced(arrays, index)
        self.model.reset_metrics()
        for rows in batches:
            if rows.size:
                logs = test(arrays, tf.constant(rows, tf.int32))
        metrics, logs = self.model.get_metrics_result(), flat_logs(logs)
        return dict(
            metrics if set(logs) == set(metrics) else logs
        )  # as evaluate does for a test_step of the model's own

    def prepare(self, data: Data, index: np.ndarray) -> list[Any]:
        """Trace the evaluation of examples of these data before a clock runs.

        Args:
            data: the examples.
            index: some that are evaluated.

        Returns:
            The traced functions; none of a model whose steps run in Python.
        """
        if self.eager:
            return []
        return [self._traced(self._on_device(data, weighted), index) for weighted in self._weightings()]

    @property
    def assigned(self) -> list[Any]:
        """The variables that an evaluation begins with anew: those of the model and of its metrics."""
        return [*self.model.variables, *self.model.metrics_variables]

    def _weightings(self) -> tuple[bool, ...]:
        return (False,) if self.problem.class_weight is None else (False, True)

    def _traced(self, arrays: Any, index: np.ndarray) -> Any:
        """The traced loop for data of these shapes."""
        import tensorflow as tf

        shapes = shapes_of(arrays)
        if shapes not in self._loops:
            started = time.perf_counter()
            values = self.values()
            few = tf.constant(index[: self.batch_size], tf.int32)
            self.model.test_step(gather_examples(arrays, few))  # creates the metrics' variables
            any_shape = tf.TensorSpec((None, None), tf.int32)
            test = tf.function(self._test, autograph=False).get_concrete_function(arrays, any_shape)
            test(arrays, few[None])  # prepares the graph
            self.assign(values)
            self._loops[shapes] = test
            self.compile_seconds += time.perf_counter() - started
        return self._loops[shapes]

    def _test(self, arrays: Any, rows: Any) -> Any:
        """A test step on the examples of each row, and what the last of them says; to be traced."""
        import tensorflow as tf

        step = tf.function(lambda index: self.model.test_step(gather_examples(arrays, index)), autograph=False)
        last = tf.shape(rows)[0] - 1

        def turn(done: Any) -> Any:
            step(rows[done])
            return (done + 1,)

        tf.while_loop(lambda done: done < last, turn, (tf.constant(0),))
        return step(rows[last])

    def _on_device(self, data: Data, weighted: bool) -> Any:
        """The arrays on the device, kept as long as the data stay the same."""
        if self._arrays[0] is not data:
            self._arrays = data, {}
        kept = self._arrays[1]
        if weighted not in kept:
            fields = (for_training(self.problem, data) if weighted else data).fields()
            kept[weighted] = tuple(part for part in for_keras(fields) if part is not None)
        return kept[weighted]

    def evaluate_member(
        self, data: Data, member: Member, updates: int, last: bool, values: list[np.ndarray]
    ) -> Evaluation:
        """The evaluation of a member's parts with these values of the model's variables."""
        parts = member.evaluated_parts(last)
        means = tuple(self.evaluate(data, part, values) for part in parts)
        evaluation = Evaluation(updates, means, self.penalty())
        if not (last and member.scored):
            return evaluation
        if self.by_example:
            return replace(evaluation, score=self.example_scores(data, parts[-1], values))
        return replace(evaluation, score=self.group_scores(data, parts[-1], values, means[-1].metric))

    def example_scores(self, data: Data, index: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
        """The metric of each example of ``index``, shape (n,), as the compiled loop finds it."""
        score = example_metric(self.problem.metric)
        assert score is not None  # else a compiled loop could not evaluate the problem
        self.assign(values)
        scores = []
        for start in range(0, len(index), self.batch_size):
            rows = index[start : start + self.batch_size]
            x, y, _ = for_keras(data.rows(rows).fields())
            of_batch = np.asarray(score(y, self.model(x, training=False)), np.float32)
            scores.append(of_batch.reshape(len(rows), -1).mean(axis=1))
        return np.concatenate(scores)

    def group_scores(self, data: Data, index: np.ndarray, values: Sequence[np.ndarray], of_all: float) -> np.ndarray:
        """Jackknife values of the metric by group of examples, shape (groups,); their mean is the metric.

        For a metric that is no mean over examples, they stand for the scores of examples: how far their mean is uncertain by
        the choice of examples is how far the metric is (Efron and Tibshirani 1993, chapter 11). Group g has the examples
        ``index[g::groups]`` in a fixed random order, so that the groups of two models are the same. With no more examples than
        groups, each is a group of its own, in the order of ``index``.

        Args:
            data: all examples.
            index: the examples to group.
            values: of the model's variables.
            of_all: the metric of them all.

        Returns:
            Empty if the metric of some examples doesn't follow from the sums that it keeps of its parts.
        """
        groups = min(len(index), GROUPS)
        if groups < 2:
            return np.empty(0, np.float32)
        self.assign(values)
        shuffled = index if groups == len(index) else np.random.default_rng(0).permutation(index)
        sums = [self._metric_sums(data.rows(shuffled[group::groups])) for group in range(groups)]
        whole = [np.sum([part[place] for part in sums], axis=0) for place in range(len(sums[0]))]
        metric = self._metric_of(whole)
        without = np.array(
            [self._metric_of([all_ - own for all_, own in zip(whole, part, strict=True)]) for part in sums]
        )
        if not np.isclose(metric, of_all, rtol=1e-4, atol=1e-6):
            return np.empty(0, np.float32)
        return np.asarray(jackknife_values(metric, without), np.float32)

    def _metric_sums(self, part: Data) -> list[np.ndarray]:
        """What the metrics keep after these examples alone."""
        self.model.reset_metrics()
        self.model.test_step(tuple(field for field in for_keras(part.fields()) if field is not None))
        return [np.asarray(variable).copy() for variable in self.model.metrics_variables]

    def _metric_of(self, sums: list[np.ndarray]) -> float:
        for variable, value in zip(self.model.metrics_variables, sums, strict=True):
            variable.assign(value)
        return self._reported(self.model.get_metrics_result(), self._metric_names()[:1])[0]

    def _metric_names(self) -> list[str]:
        """What Keras calls the problem's metrics; known after an evaluation.

        With one output it names them in their order. With several outputs, or a step of the model's own, the order is another
        and there are others among them, so the problem's names count; a single one needs no name.
        """
        wanted = [metric.name for metric in (self.problem.metric, *self.problem.metrics)]
        reported = [name for name in self.model.get_metrics_result() if name != "loss"]
        structured = (
            self.problem.loss,
            self.problem.metric.per_example,
            getattr(self.model, "outputs", None) or [None],
        )
        several = any(isinstance(part, dict | list | tuple) and len(part) > 1 for part in structured)
        if several or overrides(self.model, "test_step"):
            single = [name for name in reported if not name.endswith("_loss")]
            return single if wanted[0] not in reported and len(single) == len(wanted) == 1 else wanted
        return reported if len(reported) == len(wanted) else wanted

    def _reported(self, logs: dict[str, Any], names: list[str]) -> list[float]:
        known = ", ".join(sorted(logs)) or "nothing"
        for name in names:
            if name not in logs:
                raise ProblemError(
                    f"problem '{self.problem.name}': model.evaluate reports {known}, and no '{name}'. "
                    "Give the Problem's metrics the names of some of them, and let a test_step of the model's own report its "
                    "loss as 'loss'"
                )
        return [float(np.mean(logs[name])) for name in names]


def jackknife_values(of_all: float, without: np.ndarray) -> np.ndarray:
    """The values that stand for the scores of groups in a number that is no mean over them.

    Args:
        of_all: the number from all groups.
        without: the number without each group, shape (groups,).

    Returns:
        Shape (groups,); their mean is ``of_all``. Of a mean over groups they are the groups' means.

    Example:
        >>> jackknife_values(2.0, without=np.array([2.5, 2.0, 1.5])).tolist()  # the mean of 1, 2 and 3
        [1.0, 2.0, 3.0]
    """
    left_out = np.asarray(without)
    values = len(left_out) * of_all - (len(left_out) - 1) * left_out
    return np.asarray(values - values.mean() + of_all)


def flat_logs(logs: dict[str, Any]) -> dict[str, Any]:
    """What a step reports, with the metrics of a metric that holds several among them, as ``evaluate`` gives it."""
    flat: dict[str, Any] = {}
    for name, value in logs.items():
        flat |= flat_logs(value) if isinstance(value, dict) else {name: value}
    return flat


def new_metrics(structure: Any) -> Any:
    """What ``compile(metrics=…)`` takes, with new metric objects: two models that share one add to the same sums."""
    import keras

    def renew(metric: Any) -> Any:
        if not isinstance(metric, keras.metrics.Metric):
            return metric
        try:
            copy = type(metric).from_config(metric.get_config())
        except Exception:  # a reader's metric may lack a config
            return metric
        return metric if lost_in_copy(metric, copy) else copy  # its sums are reset before each use

    return keras.tree.map_structure(renew, structure)
