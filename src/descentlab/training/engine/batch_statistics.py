"""The averages that BatchNormalization keeps, measured anew at the weights that a run ended with.

In inference the layer uses averages that move by a small share at every update. After few updates they are still near their
start, and a trained model evaluates like an untrained one. What they lag behind is the statistics of the batches at the present
weights: their means over one pass of the training examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from descentlab.problems.base import Data
from descentlab.training.engine.layers import every_layer
from descentlab.training.engine.trainable import for_keras


def normalization_layers(model: Any) -> list[Any]:
    """The model's BatchNormalization layers that training changes, those inside other layers too."""
    import keras

    return [
        layer for layer in every_layer(model) if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


def renormalized(
    model: Any, values: list[np.ndarray], data: Data, index: np.ndarray, batch_size: int
) -> list[np.ndarray]:
    """The values of a model's variables, with the averages measured anew.

    Args:
        model: a built model with layers of BatchNormalization; it keeps none of this.
        values: of ``model.variables``.
        data: all examples.
        index: the training examples, at least one batch; what is left of whole batches is not used.
        batch_size: examples of a batch.
    """
    layers = normalization_layers(model)
    averages = [average for layer in layers for average in (layer.moving_mean, layer.moving_variance)]
    momenta = [layer.momentum for layer in layers]
    before = [np.asarray(variable).copy() for variable in model.variables]
    sums = [np.zeros(average.shape) for average in averages]
    batches = index[: len(index) // batch_size * batch_size].reshape(-1, batch_size)
    try:
        for variable, value in zip(model.variables, values, strict=True):
            variable.assign(value)
        for layer in layers:
            layer.momentum = 0.0  # the average is then the batch's own
        for batch in batches:
            model(for_keras(data.rows(batch).x), training=True)
            for total, average in zip(sums, averages, strict=True):
                total += np.asarray(average, np.float64)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
    anew = {id(average): total / len(batches) for average, total in zip(averages, sums, strict=True)}
    return [
        anew[id(variable)].astype(value.dtype) if id(variable) in anew else value
        for variable, value in zip(model.variables, values, strict=True)
    ]
