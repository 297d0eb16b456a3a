"""Whether the compiled loop does with an optimizer what Keras does, tried on two small models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from descentlab.optimizers.error_line import one_line
from descentlab.problems.base import Data, Metric, Problem
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.keras_trainer import KerasTrainer
from descentlab.training.engine.member import Member
from descentlab.training.engine.mode_trial import run_trial
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer
from descentlab.training.engine.trial_outcome import compare

EXAMPLES, UPDATES = 16, 6  # enough for averages and slow weights that are written every few updates
TRIED = {
    "graph": (1,),
    "xla": (2, 1),
}  # modes, and how many members train side by side; one, where more can't be compiled


def trial_problem(sparse: bool) -> Problem:
    """A convolution and dense weights with biases, on a few random examples; with or without an embedding before them.

    An embedding's gradient is sparse, which not every optimizer can take, by Keras either.
    """
    import keras

    def build_model() -> Any:
        first = [keras.Input((6,)), keras.layers.Embedding(5, 4)] if sparse else [keras.Input((6, 4))]
        rest = [keras.layers.Conv1D(3, 2, activation="tanh"), keras.layers.Flatten(), keras.layers.Dense(2)]
        return keras.Sequential([*first, *rest])

    def load_data(path: str | None) -> Data:
        del path
        generator = np.random.default_rng(0)
        x = generator.integers(0, 5, (EXAMPLES, 6)) if sparse else generator.normal(size=(EXAMPLES, 6, 4))
        return Data(x.astype(np.float32), generator.normal(size=(EXAMPLES, 2)).astype(np.float32))

    metric = Metric("error", False, lambda y, y_pred: keras.ops.mean(keras.ops.abs(y - y_pred), axis=-1))
    return Problem("trial", "", build_model, load_data, "mean_squared_error", metric)


def fault_of_compiling(make_optimizer: Callable[[], Any], rate: float | None) -> str:
    """Why the compiled loop would not do with an optimizer what Keras does; empty if it does.

    Args:
        make_optimizer: returns a new optimizer.
        rate: its learning rate; None if none is assigned.

    Raises:
        Exception: whatever Keras raises when it trains with the optimizer.
    """
    try:
        return fault_on(trial_problem(sparse=True), make_optimizer, rate)
    except Exception:  # Keras itself can't train an embedding with it; a problem that has one will say so
        return fault_on(trial_problem(sparse=False), make_optimizer, rate)


def fault_on(problem: Problem, make_optimizer: Callable[[], Any], rate: float | None) -> str:
    """The same on one problem."""
    data = problem.load_data(None)
    order = np.random.default_rng(1).integers(0, EXAMPLES, (UPDATES, 4)).astype(np.int32)
    rates = np.full(UPDATES, np.nan if rate is None else rate, np.float32)
    member = Member(initial_variables(problem, 0), order, rates, (np.arange(EXAMPLES),), seed=1)
    rated = rate is not None
    expected = run_trial(KerasTrainer(problem, make_optimizer, EXAMPLES, rated), data, member)
    for mode, widths in TRIED.items():
        for width in widths:
            try:
                outcome = run_trial(Trainer(CompiledModel(problem, mode, width), make_optimizer, rated), data, member)
            except Exception as error:  # TensorFlow and a reader's optimizer may raise anything
                fault = one_line(error)
            else:
                fault = compare(outcome, expected, member.initial)
                break
        if fault:
            return f"{mode}: {fault}"
    return ""
