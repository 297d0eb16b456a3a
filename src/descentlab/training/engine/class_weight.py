"""Class weights: a weight in the loss of training for each example, by its class, as ``fit(class_weight=…)`` gives it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from descentlab.problems.base import Data, Problem, ProblemError


def weights_by_class(problem: Problem, data: Data) -> np.ndarray:
    """The weight of each example, float32 of shape (n,); 1 for a class that has none.

    Raises:
        ProblemError: the problem has sample weights too, which ``fit`` refuses, or targets that are no classes.
    """
    where = f"problem '{problem.name}': class_weight"
    y = data.y
    if data.sample_weight is not None:
        raise ProblemError(f"{where}: data with sample weights can't have class weights too, as in fit")
    if not isinstance(y, np.ndarray) or y.ndim > 2 or y.dtype.kind not in "biuf":
        raise ProblemError(f"{where}: targets must be one class for each example, or one-hot")
    classes = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else np.rint(y.reshape(-1)).astype(int)
    assert problem.class_weight is not None
    return np.array([problem.class_weight.get(int(label), 1.0) for label in classes], np.float32)


def for_training(problem: Problem, data: Data) -> Data:
    """The data as they are trained on: with class weights as sample weights, where the problem has some."""
    return data if problem.class_weight is None else replace(data, sample_weight=weights_by_class(problem, data))
