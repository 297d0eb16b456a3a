"""What a problem is like: the traits that the literature holds responsible where Adam beats SGD, measured at the start.

Heavy-tailed classes (Kunstner et al. 2024), embeddings and attention (Zhang et al. 2020), the noise of a mini-batch's gradient
(McCandlish et al. 2018), and how unequal the curvature is in different directions. None looks at how an optimizer fared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.traits import TRAITS_COLUMNS
from descentlab.measurements.attempt import Say, attempt
from descentlab.measurements.training_gradient import TrainingGradient
from descentlab.problems.arrays import flat_arrays
from descentlab.storage.tables import check_table
from descentlab.training.engine.batch_statistics import normalization_layers
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.layers import every_layer
from descentlab.training.engine.trainable import count_parameters
from descentlab.training.find_problem import planned_problem
from descentlab.training.problem_data import ProblemData

BATCHES = 20  # of the noise scale
CURVATURE_EXAMPLES, POWER_ITERATIONS, PROBES = 256, 15, 5


def class_slope(targets: np.ndarray) -> float:
    """Slope of log frequency over log rank of integer targets, by least squares; NaN where they are no classes.

    Args:
        targets: of any shape; every element counts.

    Example:
        >>> class_slope(np.repeat([0, 1, 2, 3], [12, 6, 4, 3]))  # frequencies 12 / rank
        -1.0
    """
    if targets.dtype.kind not in "iub":
        return np.nan
    counts = np.sort(np.unique(targets, return_counts=True)[1])[::-1]
    if len(counts) < 2:
        return np.nan
    return float(np.polyfit(np.log(np.arange(1, len(counts) + 1)), np.log(counts), 1)[0])


def noise_scale(gradients: np.ndarray) -> float:
    """Variance of a batch's gradient over the squared norm of the mean gradient, both without bias.

    Args:
        gradients: of independent batches, shape (batches, weights).

    Returns:
        At least 0; infinity where the mean can't be told from 0; NaN of fewer than two batches.
    """
    batches = len(gradients)
    if batches < 2:
        return np.nan
    variance = float(gradients.var(axis=0, ddof=1).sum())
    signal = float((gradients.mean(axis=0) ** 2).sum()) - variance / batches
    return variance / signal if signal > 0 else np.inf


def curvature_spread(multiply: Callable[[np.ndarray], np.ndarray], weights: int, seed: int) -> float:
    """Largest absolute eigenvalue over the root mean square of all, of a symmetric matrix that is known by its products.

    Args:
        multiply: the product with a vector, both of shape (weights,).
        weights: size of the matrix.
        seed: of the first vector and of the probes.

    Example:
        >>> matrix = np.diag([3.0, 0.0, 0.0, 0.0])  # root mean square 3 / 2
        >>> round(curvature_spread(lambda vector: matrix @ vector, 4, seed=0), 3)
        2.0
    """
    generator = np.random.default_rng(seed)
    probes = generator.choice([-1.0, 1.0], (PROBES, weights))
    # Hutchinson's estimate of tr(H²) / weights.
    mean_square = np.mean([np.mean(multiply(probe) ** 2) for probe in probes])
    vector, largest = generator.standard_normal(weights), 0.0
    for _ in range(POWER_ITERATIONS):
        vector = multiply(vector / np.linalg.norm(vector))
        largest = float(np.linalg.norm(vector))
        if largest == 0:
            return np.nan
    return largest / float(np.sqrt(mean_square))


class Slopes:
    """Gradients and products with the Hessian of a problem's training loss at its initial weights, as arrays.

    Args:
        gradient: the loss and its gradient.
    """

    def __init__(self, gradient: TrainingGradient) -> None:
        self._gradient = gradient
        self._weights = gradient.weights
        self._sizes = [int(np.prod(variable.shape)) for variable in self._weights]

    def gradient(self, index: np.ndarray) -> np.ndarray:
        """The gradient of the loss of a batch, shape (weights,)."""
        return self._flat(self._gradient(*self._gradient.batch(index)))

    def hessian_product(self, index: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """The product of the Hessian of that loss with a vector, both of shape (weights,)."""
        import tensorflow as tf

        ends = np.cumsum(self._sizes)[:-1]
        parts = [
            tf.constant(part.reshape(variable.shape), variable.dtype)
            for part, variable in zip(np.split(vector, ends), self._weights, strict=True)
        ]
        with tf.GradientTape() as outer:
            gradients = self._gradient(*self._gradient.batch(index))
            pairs = [(g, part) for g, part in zip(gradients, parts, strict=True) if g is not None]
            along = tf.add_n([tf.reduce_sum(tf.convert_to_tensor(g) * part) for g, part in pairs])
        return self._flat(outer.gradient(along, [variable.value for variable in self._weights]))

    def _flat(self, tensors: Sequence[Any]) -> np.ndarray:
        import tensorflow as tf

        parts = [
            np.zeros(size) if tensor is None else np.asarray(tf.convert_to_tensor(tensor), np.float64).ravel()
            for tensor, size in zip(tensors, self._sizes, strict=True)
        ]
        return np.concatenate(parts)


def parts_of_model(model: Any) -> dict[str, float]:
    """Share of embeddings among the trainable parameters, and whether there is attention and BatchNormalization."""
    import keras

    layers = every_layer(model)
    trainable = {id(variable): int(np.prod(variable.shape)) for variable in model.trainable_variables}
    attention = keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention, keras.layers.Attention
    embedded = {
        id(variable)
        for layer in layers
        if isinstance(layer, keras.layers.Embedding)
        for variable in layer.trainable_variables
    }
    return {
        "embedding_share": sum(trainable[key] for key in embedded) / max(1, sum(trainable.values())),
        "attention": float(any(isinstance(layer, attention) for layer in layers)),
        "batch_norm": float(bool(normalization_layers(model))),
    }


def measure_traits(problem: ProblemData, seed: int, say: Say = print) -> dict[str, float]:
    """The traits of one problem; NaN where its model can't be differentiated twice, or its targets are no classes.

    Args:
        problem: the problem.
        seed: draws the split, the initial weights and the batches.
        say: writes a line for what can't be measured.

    Returns:
        The numbers of TRAITS, and ``parameters``.

    Raises:
        ProblemError: the data have changed since planning.
    """
    train, targets = problem.split(seed).train, flat_arrays(problem.data.y)
    model = problem.trainable.build_model()
    parameters = count_parameters(model)
    order = np.random.default_rng(seed).permutation(train)
    batches = order.reshape(-1, problem.batch_size)[:BATCHES]

    def slopes() -> Slopes:
        return Slopes(TrainingGradient(problem.trainable, problem.data, problem.initial(seed)))

    def noise(slopes: Slopes) -> float:
        return noise_scale(np.stack([slopes.gradient(batch) for batch in batches]))

    def spread(slopes: Slopes) -> float:
        some = order[:CURVATURE_EXAMPLES]
        return curvature_spread(lambda vector: slopes.hessian_product(some, vector), parameters, seed)

    measured: dict[str, float] = {}
    found = attempt(f"traits: {problem.name}: noise and curvature not measured", slopes, say)
    for trait, measure in (("noise_scale", noise), ("curvature_spread", spread)):
        value = None
        if found is not None:
            value = attempt(f"traits: {problem.name}: {trait} not measured", partial(measure, found), say)
        measured[trait] = np.nan if value is None else value
    return {
        "class_slope": class_slope(targets[0][train]) if len(targets) == 1 else np.nan,
        **parts_of_model(model),
        "convex": float(problem.problem.convex),
        **measured,
        "parameters": parameters,
    }


def plan_traits(plan: TrainingPlan, say: Say) -> pd.DataFrame:
    """The traits of an experiment's problems, with the split and the batch size that they are trained with.

    Returns:
        A table of TRAITS_COLUMNS, one row a problem.
    """
    device = configure_device()
    rows = []
    for name, planned in plan.problems.items():
        problem = planned_problem(plan, name, device)
        measured = measure_traits(problem, 0, say)
        rows.append(
            {
                "problem": name,
                "train_examples": len(problem.split(0).train),
                "batch_size": planned.batch_size,
                **measured,
            }
        )
    return check_table(pd.DataFrame(rows), TRAITS_COLUMNS, "traits")
