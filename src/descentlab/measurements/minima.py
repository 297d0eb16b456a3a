"""One minimum in the convex case, several in multi-layer networks ("Caso convexo", "Caso no convexo").

On one fixed split the same network is trained with several seeds' initial weights and batch orders, always with momentum
and a learning rate that decays to zero. Logistic regression with its penalty has one minimizer, and every seed must end
there. (The sum of its biases stays at its initial 0; otherwise a constant could be added to all.) The multi-layer
perceptron ends elsewhere each time. It has no penalty and fits its examples perfectly, so its loss falls toward 0 as its
weights grow, and no point is a minimum in the strict sense: what is compared is where equal budgets end.

Two measures for a pair of solutions: their distance, and the loss barrier on the straight line between them (Goodfellow et
al. 2015; Frankle et al. 2020). The order of hidden units doesn't change what the network computes, so both measures are
repeated with the second network's units in the order that is closest to the first's (Ainsworth et al. 2023, exact for one
hidden layer): if the barrier then vanishes, the two are one minimum in different orders.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import MOMENTUM
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data, Problem
from descentlab.problems.random_streams import data_order
from descentlab.problems.splits import split_data
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.example_loss import resolve_loss
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

SPLIT_SEED = 0
OPTIMIZER = MOMENTUM
LEARNING_RATE = 0.1
EPOCHS = 1000
POINTS = 21

MINIMA_COLUMNS: dict[str, Column] = {
    "problem": Column("str", "", "", "mlp or logistic_regression"),
    "first_seed": Column("int64", "", "", "seed of the first solution's initial weights and batch order"),
    "second_seed": Column("int64", "", "", "likewise for the second"),
    "matching": Column(
        "str", "", "", "as_trained, or matched: the second's hidden units in the order closest to the first's"
    ),
    "relative_distance": Column("float64", "", "", "L2 distance of all weights over the mean of the two norms"),
    "loss_first": Column("float64", "loss", "lower", "training loss and penalty of the first solution"),
    "loss_second": Column("float64", "loss", "lower", "likewise for the second"),
    "barrier": Column(
        "float64",
        "loss",
        "lower",
        "most by which loss and penalty on the line exceed the interpolation of its ends; 0 if convex",
    ),
    "n_points": Column("int64", "", "", "points on the line, ends included"),
}

Weights = list[np.ndarray]


def train_solutions(problem: Problem, seeds: Sequence[int]) -> tuple[list[Weights], Data]:
    """Train one solution per seed, all on the same examples.

    Returns:
        The trainable variables' values by seed, and the training examples of split 0.
    """
    data = problem.load_data(None)
    train = split_data(problem, data, SPLIT_SEED, problem.batch_size).train
    trainer = Trainer(CompiledModel(problem, "xla"), lambda: build(OPTIMIZERS[OPTIMIZER], Arm.TUNED, LEARNING_RATE))
    updates = EPOCHS * (len(train) // problem.batch_size)
    rates = learning_rates(LEARNING_RATE, "linear", updates)
    solutions = []
    for seed in seeds:
        order = data_order(problem.name, seed, train, problem.batch_size, EPOCHS)
        for _ in trainer.train(data, initial_variables(problem, seed), order, rates, [updates], train):
            pass
        solutions.append(trainer.variables())
    return solutions, Data(data.x[train], data.y[train])


def objective(problem: Problem, data: Data) -> Callable[[Weights], float]:
    """Mean loss over ``data`` plus the model's penalty, as a function of its trainable variables' values."""
    import tensorflow as tf

    model, loss = problem.build_model(), resolve_loss(problem.loss)
    untrained = [variable.value for variable in model.non_trainable_variables]
    x, y = tf.constant(data.x), tf.constant(data.y)

    @tf.function(jit_compile=True, autograph=False)
    def evaluate(weights: list[Any]) -> Any:
        predicted, _, penalties = model.stateless_call(weights, untrained, x, training=False, return_losses=True)
        return loss(y, predicted) + sum(tf.reduce_sum(penalty) for penalty in penalties)

    return lambda weights: float(evaluate([tf.constant(value) for value in weights]))


def barrier_between(first: Weights, second: Weights, value: Callable[[Weights], float]) -> tuple[float, float, float]:
    """The barrier on the straight line between two solutions, and the values at its ends.

    Returns:
        The most by which ``value`` at 21 evenly spaced points exceeds the interpolation of its ends, at least 0; ``value`` of
        the first; ``value`` of the second.
    """
    shares = np.linspace(0, 1, POINTS)
    values = np.array(
        [
            value([((1 - share) * a + share * b).astype(a.dtype) for a, b in zip(first, second, strict=True)])
            for share in shares
        ]
    )
    excess = values - ((1 - shares) * values[0] + shares * values[-1])
    return float(max(0.0, excess.max())), float(values[0]), float(values[-1])


def matching_costs(first: Weights, second: Weights) -> np.ndarray:
    """Squared distance of every hidden unit of ``first`` from every one of ``second``, shape (units, units).

    A unit consists of its incoming weights, its bias and its outgoing weights.

    Args:
        first, second: kernel (inputs, units), bias (units,), kernel (units, outputs), bias (outputs,).
    """
    units = [np.concatenate([w[0], w[1][None, :], w[2].T]).T.astype(np.float64) for w in (first, second)]
    return np.asarray(cdist(*units, metric="sqeuclidean"))


def match_hidden_units(first: Weights, second: Weights) -> Weights:
    """``second`` with its hidden units permuted to be closest to ``first``; it computes the same function.

    Units are not rescaled, though ReLU units could be: every seed begins at the same scale.

    Args:
        first, second: kernel (inputs, units), bias (units,), kernel (units, outputs), bias (outputs,).
    """
    _, order = linear_sum_assignment(matching_costs(first, second))
    return [second[0][:, order], second[1][order], second[2][order], second[3]]


def relative_distance(first: Weights, second: Weights) -> float:
    """L2 distance of all weights over the mean of the two norms: 0 equal, about 1.4 unrelated, 2 opposite."""
    a, b = (np.concatenate([value.ravel() for value in weights]).astype(np.float64) for weights in (first, second))
    return float(np.linalg.norm(a - b) / ((np.linalg.norm(a) + np.linalg.norm(b)) / 2))


def measure_minima(seeds: Sequence[int]) -> pd.DataFrame:
    """Distance and barrier between all pairs of solutions: multi-layer perceptron and logistic regression on digits.

    Args:
        seeds: two or more, each for initial weights and a batch order; the split is always the same.

    Returns:
        A table of MINIMA_COLUMNS, one row per (problem, pair of seeds, matching); only the perceptron has ``matched`` rows.

    Raises:
        ValueError: there are fewer than two seeds, or one occurs twice.
    """
    from descentlab.problems.builtin import logistic_regression, mlp

    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError(f"solutions to compare need two or more different seeds; received {list(seeds)}")
    configure_device()
    rows: list[dict[str, Any]] = []
    for problem in (mlp.PROBLEM, logistic_regression.PROBLEM):
        solutions, data = train_solutions(problem, seeds)
        value = objective(problem, data)
        for (first_seed, first), (second_seed, second) in itertools.combinations(zip(seeds, solutions, strict=True), 2):
            arrangements = {"as_trained": second}
            if problem is mlp.PROBLEM:
                arrangements["matched"] = match_hidden_units(first, second)
            for matching, solution in arrangements.items():
                barrier, loss_first, loss_second = barrier_between(first, solution, value)
                rows.append(
                    {
                        "problem": problem.name,
                        "first_seed": first_seed,
                        "second_seed": second_seed,
                        "matching": matching,
                        "relative_distance": relative_distance(first, solution),
                        "loss_first": loss_first,
                        "loss_second": loss_second,
                        "barrier": barrier,
                        "n_points": POINTS,
                    }
                )
    return check_table(pd.DataFrame(rows), MINIMA_COLUMNS, "minima")
