"""The gradient is that of Keras' own step: one update of plain SGD with a rate of 1 moves each weight by it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from descentlab.measurements.attempt import NotMeasurableError
from descentlab.measurements.training_gradient import TrainingGradient
from descentlab.training.engine.trainable import for_keras, initial_variables, with_built_models
from models import zoo

pytestmark = pytest.mark.usefixtures("device")

BATCH = np.arange(8)


@pytest.mark.parametrize(
    "name",
    ["heads_dict", "heads_list", "structured_data", "class_weights", "token_weights", "weighted_l2", "vae_add_loss"],
)
def test_the_gradient_is_what_a_step_of_keras_moves_the_weights_by(name: str) -> None:
    problem = zoo.problem(name)
    data = problem.load_data(None)
    problem = with_built_models(problem, data)
    initial = initial_variables(problem, 0)
    ours = TrainingGradient(problem, data, initial)
    gradient = ours(*ours.batch(BATCH))
    model = problem.build_model()
    for variable, value in zip(model.variables, initial, strict=True):
        variable.assign(value)
    before = [np.asarray(weight).copy() for weight in model.trainable_variables]
    model.compile(keras.optimizers.SGD(1.0), problem.loss, problem.loss_weights)
    model.train_on_batch(*for_keras(data.rows(BATCH).fields()), class_weight=problem.class_weight)
    for start, weight, found in zip(before, model.trainable_variables, gradient, strict=True):
        np.testing.assert_allclose(
            start - np.asarray(weight), np.asarray(tf.convert_to_tensor(found)), rtol=1e-3, atol=1e-6
        )
    assert any(np.abs(np.asarray(tf.convert_to_tensor(found))).max() > 1e-4 for found in gradient)


@pytest.mark.parametrize("name", ["gan", "vae_own_steps", "adversarial_step"])
def test_a_model_with_a_step_of_its_own_has_no_gradient_that_we_know(name: str) -> None:
    """Of two of them ``compute_loss`` has none; of the third it has one that its step doesn't follow."""
    problem = zoo.problem(name)
    data = problem.load_data(None)
    problem = with_built_models(problem, data)
    with pytest.raises(NotMeasurableError):
        TrainingGradient(problem, data, initial_variables(problem, 0))
