"""A problem's model as Keras itself trains and evaluates it.

Nothing is compiled here but by Keras: ``train_on_batch`` and ``evaluate`` do what ``fit`` does, for any model that ``fit`` takes,
with a training step of its own, several outputs, masks, or losses of its layers. It is slower than the compiled loop, which is
held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from descentlab.problems.base import Data, Problem, ProblemError
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
    """

    def __init__(self, problem: Problem, optimizer: Any, batch_size: int, eager: bool = False) -> None:
        self.problem = problem
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.model = problem.build_model()
        self.model.compile(
            optimizer=optimizer,
            loss=problem.loss,
            loss_weights=problem.loss_weights,
            metrics=new_metrics(problem.metric.compiled()),
            run_eagerly=eager,
            jit_compile=False,
        )

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

    def update(self, data: Data, index: np.ndarray) -> None:
        """One update on the examples of ``index``."""
        self.model.train_on_batch(*for_keras(data.rows(index).fields()))

    def evaluate(self, data: Data, index: np.ndarray) -> Means:
        """What ``model.evaluate`` gives for the examples of ``index``; it leaves no trace in the model.

        Raises:
            ProblemError: a model that evaluates by itself reports no loss, or the metric is not among what it reports.
        """
        before, part = self.values(), data.rows(index)
        logs = self.model.evaluate(
            for_keras(part.x),
            part.y,
            sample_weight=part.sample_weight,
            batch_size=self.batch_size,
            verbose=0,
            return_dict=True,
        )
        self.assign(before)
        return Means(self._reported(logs, "loss") - self.penalty(), self._reported(logs, self._metric_name(logs)))

    def evaluate_member(self, data: Data, member: Member, updates: int, last: bool) -> Evaluation:
        """The evaluation of a member's parts with the values that the model has."""
        parts = member.evaluated_parts(last)
        means = tuple(self.evaluate(data, part) for part in parts)
        evaluation = Evaluation(updates, means, self.penalty())
        return replace(evaluation, score=self.group_scores(data, parts[-1])) if last and member.scored else evaluation

    def group_scores(self, data: Data, index: np.ndarray) -> np.ndarray:
        """Jackknife values of the metric by group of examples, shape (groups,); their mean is the metric.

        For a metric that is no mean over examples, they stand for the scores of examples: how far their mean is uncertain by
        the choice of examples is how far the metric is (Efron and Tibshirani 1993, chapter 11). Group g has the examples
        ``index[g::groups]`` in a fixed random order, so that the groups of two models are the same.

        Returns:
            Empty if the metric of some examples doesn't follow from the sums that it keeps of its parts.
        """
        groups = min(len(index), GROUPS)
        if groups < 2:
            return np.empty(0, np.float32)
        before, shuffled = self.values(), np.random.default_rng(0).permutation(index)
        sums = [self._metric_sums(data.rows(shuffled[group::groups])) for group in range(groups)]
        whole = [np.sum([part[place] for part in sums], axis=0) for place in range(len(sums[0]))]
        metric = self._metric_of(whole)
        without = np.array(
            [self._metric_of([all_ - own for all_, own in zip(whole, part, strict=True)]) for part in sums]
        )
        self.assign(before)
        if not np.isclose(metric, self.evaluate(data, index).metric, rtol=1e-4, atol=1e-6):
            return np.empty(0, np.float32)
        values = groups * metric - (groups - 1) * without
        return np.asarray(values - values.mean() + metric, np.float32)

    def _metric_sums(self, part: Data) -> list[np.ndarray]:
        """What the metrics keep after these examples alone."""
        self.model.reset_metrics()
        self.model.test_on_batch(*for_keras(part.fields()))
        return [np.asarray(variable).copy() for variable in self.model.metrics_variables]

    def _metric_of(self, sums: list[np.ndarray]) -> float:
        for variable, value in zip(self.model.metrics_variables, sums, strict=True):
            variable.assign(value)
        logs = self.model.get_metrics_result()
        return self._reported(logs, self._metric_name(logs))

    def _metric_name(self, logs: dict[str, Any]) -> str:
        own = [name for name in logs if name != "loss" and not name.endswith("_loss")]
        return own[0] if len(own) == 1 else self.problem.metric.name

    def _reported(self, logs: dict[str, Any], name: str) -> float:
        if name not in logs:
            raise ProblemError(
                f"problem '{self.problem.name}': model.evaluate reports {', '.join(logs) or 'nothing'}, and no '{name}'. "
                "Give the Problem's metric the name of one of them, and let a test_step of the model's own report its loss as "
                "'loss'"
            )
        return float(np.mean(logs[name]))


def new_metrics(structure: Any) -> Any:
    """What ``compile(metrics=…)`` takes, with new metric objects: two models that share one add to the same sums."""
    import keras

    def renew(metric: Any) -> Any:
        if not isinstance(metric, keras.metrics.Metric):
            return metric
        try:
            return type(metric).from_config(metric.get_config())
        except Exception:  # a reader's metric may lack a config; its sums are then reset before each use
            return metric

    return keras.tree.map_structure(renew, structure)
