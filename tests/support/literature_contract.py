"""What every optimizer of ``descentlab.optimizers.literature`` is held to; its own test file adds the laws of its rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from descentlab.optimizers.evaluation_weights import evaluation_weights
from descentlab.training.engine.optimizer_trial import fault_of_compiling
from support.optimizer_trials import (
    BOTH,
    MATRIX,
    MATRIX_GRADIENTS,
    TOLERANCE,
    VECTOR,
    VECTOR_GRADIENTS,
    distance,
    trained,
)
from support.tiny_training import tiny_data, tiny_model

Reference = Callable[[np.ndarray, Sequence[np.ndarray], float], list[np.ndarray]]


class LiteratureContract:
    """A test class inherits this and says what it is about.

    Attributes:
        make: returns a new optimizer; takes ``learning_rate`` and the options of every Keras optimizer.
        reference: the paper's equations in double precision: (weights, gradients, rate) -> weights after each update.
        rate: the usual learning rate.
        fast_rate: one at which 100 updates cross a tenth of a unit.
        formula: options with which the formula is compared, where single precision can't show the default's moves.
        decay_rate: what a weight decay of 1 takes from the weights in an update, per unit of the learning rate.
    """

    make: ClassVar[Callable[..., Any]]
    reference: ClassVar[Reference]
    rate: ClassVar[float]
    fast_rate: ClassVar[float]
    formula: ClassVar[dict[str, Any]] = {}
    decay_rate: ClassVar[float] = 1.0

    def new(self, **options: Any) -> Any:
        """An optimizer at its usual rate."""
        return type(self).make(**{"learning_rate": self.rate, **self.formula, **options})

    def path(self, gradients: Sequence[np.ndarray], start: np.ndarray = VECTOR, **options: Any) -> np.ndarray:
        """Weights after each update by Keras, one row an update."""
        return np.array(trained(self.new(**options), start, gradients)[0])

    @pytest.mark.parametrize(("start", "gradients"), BOTH, ids=["matrix", "vector"])
    def test_updates_equal_the_formula(self, start: np.ndarray, gradients: list[np.ndarray]) -> None:
        for rate in (self.rate, 3 * self.rate):
            expected = type(self).reference(start, gradients, rate)
            assert distance(self.new(learning_rate=rate), expected, start, gradients) < TOLERANCE

    def test_weight_decay_shrinks_the_weights_before_the_step(self) -> None:
        """By γλ of them, here a tenth."""
        decay = 0.1 / (self.rate * self.decay_rate)
        decayed = self.path(VECTOR_GRADIENTS[:1], weight_decay=decay)
        plain = self.path(VECTOR_GRADIENTS[:1], start=0.9 * VECTOR)
        np.testing.assert_allclose(decayed, plain, rtol=1e-5)

    def test_clipping_is_keras_own(self) -> None:
        clipped = [gradient / np.linalg.norm(gradient) * 0.2 for gradient in VECTOR_GRADIENTS]
        np.testing.assert_allclose(self.path(VECTOR_GRADIENTS, clipnorm=0.2), self.path(clipped), rtol=1e-5)

    def test_the_moving_average_is_keras_own_and_what_is_evaluated(self) -> None:
        optimizer = self.new(use_ema=True, ema_momentum=0.75)
        path, variable = trained(optimizer, VECTOR, VECTOR_GRADIENTS)
        np.testing.assert_array_equal(path, self.path(VECTOR_GRADIENTS))
        averaged = evaluation_weights(optimizer, [variable])
        assert averaged is not None
        expected = 0.75 * (0.75 * path[0] + 0.25 * path[1]) + 0.25 * path[2]
        np.testing.assert_allclose(averaged[0], expected, rtol=1e-6)

    def test_a_config_gives_the_same_optimizer(self) -> None:
        first = self.new(learning_rate=self.rate / 3, weight_decay=0.01)
        second = type(first).from_config(first.get_config())
        assert second.get_config() == first.get_config()
        paths = [trained(optimizer, MATRIX, MATRIX_GRADIENTS)[0] for optimizer in (first, second)]
        np.testing.assert_array_equal(*paths)

    def test_loss_falls_on_a_quadratic(self) -> None:
        """½ Σ c (w − w*)² with curvatures from 0.5 to 1.5, to a fifth in 100 updates."""
        import keras

        curvature = np.linspace(0.5, 1.5, 6).reshape(2, 3).astype(np.float32)
        target = 1 + np.array([[0.1, -0.05, 0.06], [-0.08, 0.07, -0.03]], np.float32)
        weights = keras.Variable(np.ones((2, 3), np.float32))
        optimizer = type(self).make(learning_rate=self.fast_rate)
        optimizer.build([weights])

        def loss() -> float:
            (evaluated,) = evaluation_weights(optimizer, [weights]) or [weights]
            return float(np.sum(0.5 * curvature * (np.asarray(evaluated) - target) ** 2))

        start = loss()
        for _ in range(100):
            optimizer.apply([keras.ops.convert_to_tensor(curvature * (np.asarray(weights) - target))], [weights])
        assert loss() < 0.2 * start

    def test_fit_learns_and_a_saved_model_goes_on_with_the_same_bits(self, tmp_path: Path) -> None:
        import keras

        keras.utils.set_random_seed(0)
        model, data = tiny_model(), tiny_data()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(type(self).make(learning_rate=self.fast_rate), loss)
        history = model.fit(data.x, data.y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"]
        assert history[1] < history[0]
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert type(loaded.optimizer) is type(model.optimizer)
        before = [np.array(weight) for weight in model.get_weights()]
        for one in (model, loaded):
            one.fit(data.x, data.y, batch_size=4, epochs=1, shuffle=False, verbose=0)
        assert any(not np.array_equal(*both) for both in zip(before, model.get_weights(), strict=True))
        for ours, theirs in zip(model.variables, loaded.variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for ours, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_the_compiled_loop_does_what_keras_does(self) -> None:
        """In a graph, and under XLA with members side by side; with an embedding, whose gradient is sparse."""
        assert fault_of_compiling(partial(type(self).make, learning_rate=self.fast_rate), self.fast_rate) == ""
