"""Convolutions as patches × matrix: forward and gradient equal to the stock layers' within rounding; what is left alone.

Rounding: products of 27 to 288 numbers near one, in single precision: 1e-5 of the largest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from descentlab.problems.table import builtin_problem
from descentlab.training.engine.convolution import convolution_layers, multiply_adds, window_padding, with_patches

pytestmark = pytest.mark.usefixtures("device")

TOLERANCE = 1e-5


def model_of(*layers: Any, shape: tuple[int, ...] = (9, 7, 3)) -> Any:
    import keras

    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input(shape), *layers])


def results(model: Any, called: Any, x: np.ndarray, compiled: bool) -> list[np.ndarray]:
    """The output, and the gradients of a weighted sum of it in the input and in every variable."""
    import tensorflow as tf

    def differentiate(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = called(x, training=True)
            weighted = tf.reduce_sum(y * tf.reshape(tf.cos(tf.range(tf.size(y), dtype=tf.float32)), tf.shape(y)))
        return [y, *tape.gradient(weighted, [x, *model.trainable_variables])]

    found = tf.function(differentiate, jit_compile=compiled, autograph=False)(tf.constant(x))
    return [np.asarray(value) for value in found]


def check_same(model: Any) -> None:
    rewritten = with_patches(model)
    assert rewritten is not None
    assert [v.path for v in rewritten.variables] == [v.path for v in model.variables]
    x = np.random.default_rng(0).normal(size=(5, *model.input_shape[1:])).astype(np.float32)
    stock = results(model, model, x, compiled=False)
    for compiled in (False, True):
        for ours, theirs in zip(results(model, rewritten, x, compiled), stock, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kernel", "strides", "dilation"),
    [(3, 1, 1), ((3, 2), 2, 1), (1, 1, 1), (2, (1, 3), 1), (3, 1, 2), ((2, 3), 1, (1, 2)), (4, 3, 1)],
)
def test_equals_the_stock_layer(kernel: Any, strides: Any, dilation: Any, padding: str) -> None:
    import keras

    layer = keras.layers.Conv2D(4, kernel, strides=strides, padding=padding, dilation_rate=dilation, activation="tanh")
    check_same(model_of(layer))


@pytest.mark.parametrize("channels", [1, 2, 32])
@pytest.mark.parametrize("filters", [1, 16])
def test_equals_the_stock_layer_on_any_channels(channels: int, filters: int) -> None:
    import keras

    layer = keras.layers.Conv2D(filters, 3, use_bias=channels != 2, bias_initializer="random_normal")
    check_same(model_of(layer, shape=(6, 8, channels)))


def test_equals_a_whole_network_with_other_layers_between() -> None:
    """What lies between is given the usual order of the axes, and pooling that doesn't tile its own computation."""
    import keras

    layers = keras.layers
    check_same(
        model_of(
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(),
            layers.Conv2D(6, 3, padding="same"),
            layers.ReLU(),
            layers.MaxPooling2D(3, strides=1, padding="same"),
            layers.Conv2D(5, 2, activation="gelu"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(3),
        )
    )


def test_equals_a_network_with_branches() -> None:
    """The same tensor read by a convolution and by an addition."""
    import keras

    inputs = keras.Input((6, 6, 2))
    first = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    second = keras.layers.Conv2D(4, 3, padding="same")(first)
    output = keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Add()([first, second])))
    check_same(keras.Model(inputs, output))


@pytest.mark.parametrize("name", ["digits_cnn", "slides_cnn"])
def test_equals_the_builtin_networks(name: str) -> None:
    check_same(builtin_problem(name).build_model())


def test_a_tie_sends_its_gradient_to_the_first_as_the_stock_pooling_does() -> None:
    import keras
    import tensorflow as tf

    model = model_of(
        keras.layers.Conv2D(1, 1, kernel_initializer="ones"), keras.layers.MaxPooling2D(2), shape=(2, 2, 1)
    )
    for called in (model, with_patches(model)):
        x = tf.ones((1, 2, 2, 1))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = called(x)
        np.testing.assert_array_equal(np.asarray(tape.gradient(y, x))[0, :, :, 0], [[1, 0], [0, 0]])


def left_alone() -> dict[str, Any]:
    import keras

    layers = keras.layers

    class Own(layers.Conv2D):
        pass

    return {
        "no convolution": model_of(layers.Flatten(), layers.Dense(2)),
        "Conv1D": model_of(layers.Reshape((63, 3)), layers.Conv1D(2, 3)),
        "groups": model_of(layers.Conv2D(4, 3, groups=2), shape=(6, 6, 2)),
        "depthwise": model_of(layers.Conv2D(4, 3), layers.DepthwiseConv2D(3)),
        "an activation over channels": model_of(layers.Conv2D(4, 3, activation="softmax")),
        "a penalty on the activity": model_of(layers.Conv2D(4, 3, activity_regularizer="l2")),
        "a subclass": model_of(Own(4, 3)),
        "nested": model_of(model_of(layers.Conv2D(4, 3))),
    }


@pytest.mark.parametrize(
    "case",
    [
        "no convolution",
        "Conv1D",
        "groups",
        "depthwise",
        "an activation over channels",
        "a penalty on the activity",
        "a subclass",
        "nested",
    ],
)
def test_others_are_left_as_they_are(case: str) -> None:
    assert with_patches(left_alone()[case]) is None


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [(28, 3, 1, (28, 1, 1)), (14, 3, 2, (7, 0, 1)), (9, 3, 2, (5, 1, 1)), (5, 1, 1, (5, 0, 0)), (7, 4, 3, (3, 1, 2))],
)
def test_zeros_of_same_padding(size: int, kernel: int, stride: int, expected: tuple[int, int, int]) -> None:
    """TensorFlow's rule, by hand: ceil(size / stride) outputs; of an odd number of zeros the greater half after."""
    assert window_padding(size, kernel, stride, "same") == expected


def test_multiply_adds_of_the_slides_network() -> None:
    """28 × 28 places of 9 × 32 products, 7 × 7 of 9 × 32 × 64."""
    model = builtin_problem("slides_cnn").build_model()
    assert len(convolution_layers(model)) == 2
    assert multiply_adds(model) == 28 * 28 * 9 * 32 + 7 * 7 * 9 * 32 * 64
