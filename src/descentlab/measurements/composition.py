"""Is Adam "AdaGrad + momentum"? Its update against what the parts give on the same gradients.

Adam's rule (Kingma & Ba 2015) divides an exponential average of the gradients by the root of an exponential average of their
squares, both corrected for their start at zero. The slides name AdaGrad, which sums the squares. So the parts are put together
in several ways, and each is given the gradients that Adam met on its own path:

- ``rmsprop_corrected``: RMSProp's average of squares, an average of gradients, both corrected: Adam's own terms;
- ``rmsprop``: the same without the correction;
- ``adagrad``: AdaGrad's sum of squares in place of the average;
- ``momentum``: the average of gradients alone, divided by nothing.

What counts is the direction: the cosine of the two updates, update by update. A factor on an update is a matter of the learning
rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from descentlab.problems.base import Data, Problem
from descentlab.problems.random_streams import data_order
from descentlab.problems.splits import split_data
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.trainable import compile_loss, initial_variables

UPDATES = 1000
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-7  # Keras' defaults of Adam

COMPOSITION_COLUMNS: dict[str, Column] = {
    "composition": Column("str", "", "", "rmsprop_corrected, rmsprop, adagrad or momentum"),
    "seed": Column("int64", "", "", "initial weights, split and batch order"),
    "updates": Column("int64", "updates", "", "compared"),
    "cosine": Column(
        "float64", "", "higher", "of the composition's update with Adam's, mean over the updates; 1 the same direction"
    ),
    "relative_distance": Column(
        "float64",
        "",
        "lower",
        "distance of the two updates over the norm of Adam's, mean over the updates; 0 the same update",
    ),
}


def compositions(gradients: np.ndarray) -> dict[str, np.ndarray]:
    """The updates that each composition makes of the same gradients, by name.

    Args:
        gradients: float64 of shape (updates, weights).

    Returns:
        Arrays of the same shape: what is added to the weights.
    """
    first, second, total = (np.zeros(gradients.shape[1]) for _ in range(3))
    updates: dict[str, list[np.ndarray]] = {
        name: [] for name in ("rmsprop_corrected", "rmsprop", "adagrad", "momentum")
    }
    for t, gradient in enumerate(gradients, start=1):
        first = BETA_1 * first + (1 - BETA_1) * gradient
        second = BETA_2 * second + (1 - BETA_2) * gradient**2
        total = total + gradient**2
        corrected = first / (1 - BETA_1**t)
        updates["rmsprop_corrected"].append(corrected / (np.sqrt(second / (1 - BETA_2**t)) + EPSILON))
        updates["rmsprop"].append(first / (np.sqrt(second) + EPSILON))
        updates["adagrad"].append(corrected / (np.sqrt(total) + EPSILON))
        updates["momentum"].append(corrected)
    return {name: -LEARNING_RATE * np.array(values) for name, values in updates.items()}


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosine of each pair of rows; shape (rows,). 0 where one of them is zero."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.divide((first * second).sum(axis=1), norms, out=np.zeros(len(first)), where=norms > 0)


def adams_path(problem: Problem, data: Data, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The gradients that Keras' Adam meets, and the updates that it makes of them.

    Returns:
        Two float64 arrays of shape (updates, weights).
    """
    import keras
    import tensorflow as tf

    train = split_data(problem, data, seed, problem.batch_size).train
    epochs = -(-UPDATES * problem.batch_size // len(train))
    order = data_order(problem.name, seed, train, problem.batch_size, epochs)[:UPDATES]
    model = problem.build_model()
    compile_loss(problem, model)
    weights = model.trainable_variables
    for variable, value in zip(model.variables, initial_variables(problem, seed), strict=True):
        variable.assign(value)
    optimizer = keras.optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)
    optimizer.build(weights)
    x, y = tf.constant(data.x), tf.constant(data.y)

    def flat(values: Sequence[Any]) -> Any:
        return tf.concat([tf.reshape(tf.convert_to_tensor(value), [-1]) for value in values], axis=0)

    @tf.function(autograph=False)
    def descend(batches: Any) -> tuple[Any, Any]:
        def body(done: Any, gradients: Any, positions: Any) -> tuple[Any, Any, Any]:
            inputs, targets = tf.gather(x, batches[done]), tf.gather(y, batches[done])
            with tf.GradientTape() as tape:
                value = model.compute_loss(inputs, targets, model(inputs, training=True))
            found = tape.gradient(value, weights)
            optimizer.apply(found, weights)
            return done + 1, gradients.write(done, flat(found)), positions.write(done + 1, flat(weights))

        arrays = tf.TensorArray(tf.float32, size=len(order)), tf.TensorArray(tf.float32, size=len(order) + 1)
        start = tf.constant(0), arrays[0], arrays[1].write(0, flat(weights))
        _, gradients, positions = tf.while_loop(lambda done, *_: done < len(order), body, start)
        return gradients.stack(), positions.stack()

    gradients, positions = (np.asarray(found, np.float64) for found in descend(tf.constant(order)))
    return gradients, np.diff(positions, axis=0)


def measure_composition(seeds: Sequence[int]) -> pd.DataFrame:
    """How close each composition's updates are to Adam's, on the perceptron on digits.

    Args:
        seeds: each draws initial weights, split and batch order.

    Returns:
        A table of COMPOSITION_COLUMNS, one row per (composition, seed).
    """
    from descentlab.problems.builtin.mlp import PROBLEM

    configure_device()
    data = PROBLEM.load_data(None)
    rows = []
    for seed in seeds:
        gradients, updates = adams_path(PROBLEM, data, seed)
        for name, composed in compositions(gradients).items():
            apart = np.linalg.norm(composed - updates, axis=1) / np.linalg.norm(updates, axis=1)
            rows.append(
                {
                    "composition": name,
                    "seed": seed,
                    "updates": len(updates),
                    "cosine": cosines(composed, updates).mean(),
                    "relative_distance": apart.mean(),
                }
            )
    return check_table(pd.DataFrame(rows), COMPOSITION_COLUMNS, "composition")
