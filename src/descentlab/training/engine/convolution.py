"""Convolutions of a Keras model as patches × matrix, which XLA compiles well on a CPU where its own convolutions are slow.

The model stays the reader's own: its ``Conv2D`` layers keep their variables but are computed differently. Between them
tensors have the channels first and the examples last, so that a patch is a copy of whole rows and every loop runs along the
examples. A model with any other kind of convolution is left as it is (:func:`with_patches` returns None).
"""

from __future__ import annotations

import functools
import math
from typing import Any

from descentlab.training.engine.layers import every_layer

# Activations that act elementwise, so that the order of the axes doesn't matter.
ELEMENTWISE = {
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "silu",
    "gelu",
    "tanh",
    "sigmoid",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "exponential",
    "mish",
    "log_sigmoid",
    "squareplus",
}
TO_CHANNELS_FIRST = TO_EXAMPLES_FIRST = (3, 1, 2, 0)  # (example, row, column, channel) and back: its own inverse


def convolution_layers(model: Any) -> list[Any]:
    """Every convolution of a model, including those of nested models."""
    from keras.src.layers.convolutional.base_conv import BaseConv
    from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
    from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv
    from keras.src.layers.convolutional.base_separable_conv import BaseSeparableConv

    kinds = (BaseConv, BaseConvTranspose, BaseDepthwiseConv, BaseSeparableConv)
    return [layer for layer in every_layer(model) if isinstance(layer, kinds)]


def multiply_adds(model: Any) -> int:
    """Multiply-adds of a model's plain convolutions for one example."""
    if not getattr(model, "inputs", None):
        return 0  # a subclassed model's layers know no shapes, and it is not rewritten
    plain = [layer for layer in convolution_layers(model) if hasattr(layer, "kernel")]
    return sum(math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape) for layer in plain)


def is_rewritten(layer: Any) -> bool:
    """Whether a layer is a ``Conv2D`` that :func:`convolve` computes."""
    import keras

    return (
        type(layer) is keras.layers.Conv2D
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and layer.activity_regularizer is None
        and not layer.lora_enabled
        and getattr(layer.activation, "__name__", "") in ELEMENTWISE
    )


def is_simple_pooling(layer: Any) -> bool:
    """Whether a layer takes the maximum of windows that tile the image."""
    import keras

    if type(layer) is not keras.layers.MaxPooling2D or layer.data_format != "channels_last":
        return False
    return tuple(layer.pool_size) == tuple(layer.strides) and layer.padding == "valid"


def window_padding(size: int, kernel: int, stride: int, padding: str) -> tuple[int, int, int]:
    """Output size along an axis and the zeros before and after it, as Keras' ``same`` and ``valid`` have them."""
    if padding == "valid":
        return (size - kernel) // stride + 1, 0, 0
    outputs = -(-size // stride)
    zeros = max((outputs - 1) * stride + kernel - size, 0)
    return outputs, zeros // 2, zeros - zeros // 2


def convolve(x: Any, kernel: Any, bias: Any, strides: Any, padding: str, dilation: Any) -> Any:
    """Convolution as a product of matrices.

    Args:
        x: shape (channels, rows, columns, examples).
        kernel: shape (kernel rows, kernel columns, channels, filters), as Keras keeps it.
        bias: shape (filters,), or None.

    Returns:
        Shape (filters, rows, columns, examples).
    """
    import tensorflow as tf

    kernel_rows, kernel_columns, channels, filters = kernel.shape
    (rows, top, bottom), (columns, left, right) = (
        window_padding(size, 1 + (extent - 1) * spread, stride, padding)
        for size, extent, spread, stride in zip(x.shape[1:3], kernel.shape[:2], dilation, strides, strict=True)
    )
    if top + bottom + left + right:
        x = tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]])
    patches = []
    for row in range(0, kernel_rows * dilation[0], dilation[0]):
        for column in range(0, kernel_columns * dilation[1], dilation[1]):
            last_row, last_column = row + (rows - 1) * strides[0], column + (columns - 1) * strides[1]
            patches.append(x[:, row : last_row + 1 : strides[0], column : last_column + 1 : strides[1]])
    taps = kernel_rows * kernel_columns * channels
    flat = tf.reshape(tf.concat(patches, 0), (taps, -1))
    result = tf.matmul(tf.reshape(kernel, (taps, filters)), flat, transpose_a=True)
    if bias is not None:
        result += bias[:, None]
    return tf.reshape(result, (filters, rows, columns, -1))


def pool(x: Any, size: Any) -> Any:
    """Maximum of windows that tile the image; a tie's gradient goes to the first, as in Keras' own on a CPU.

    Args:
        x: shape (channels, rows, columns, examples).
    """
    import tensorflow as tf

    channels, rows, columns, _ = x.shape
    high, wide = rows // size[0], columns // size[1]
    tiles = tf.reshape(x[:, : high * size[0], : wide * size[1]], (channels, high, size[0], wide, size[1], -1))
    parts = [tiles[:, :, row, :, column] for row in range(size[0]) for column in range(size[1])]
    return functools.reduce(tf.maximum, parts)


@functools.cache
def replacing_layers() -> tuple[Any, Any]:
    """The layers that stand in for ``Conv2D`` and ``MaxPooling2D``: they hold the original, and so its variables."""
    import keras
    import tensorflow as tf

    def channels_first(x: Any) -> Any:
        # The previous such layer's tensor, without the transposition that only other layers need.
        return x._channels_first if hasattr(x, "_channels_first") else tf.transpose(x, TO_CHANNELS_FIRST)

    def examples_first(x: Any) -> Any:
        result = tf.transpose(x, TO_EXAMPLES_FIRST)
        result._channels_first = x
        return result

    class Patches(keras.layers.Layer):
        def __init__(self, original: Any) -> None:
            super().__init__(name=f"{original.name}_patches")
            self.original = original
            self.built = True

        def compute_output_shape(self, input_shape: Any) -> Any:
            return self.original.compute_output_shape(input_shape)

    class PatchConvolution(Patches):
        def call(self, x: Any) -> Any:
            layer = self.original
            kernel = tf.convert_to_tensor(layer.kernel)
            bias = tf.convert_to_tensor(layer.bias) if layer.use_bias else None
            result = convolve(channels_first(x), kernel, bias, layer.strides, layer.padding, layer.dilation_rate)
            return examples_first(layer.activation(result))

    class TilePooling(Patches):
        def call(self, x: Any) -> Any:
            return examples_first(pool(channels_first(x), self.original.pool_size))

    return PatchConvolution, TilePooling


def with_patches(model: Any) -> Any:
    """The model with its convolutions as patches × matrix, sharing layers and variables; None if it can't be done."""
    import keras

    convolutions = convolution_layers(model)
    if not getattr(model, "inputs", None) or not convolutions or not all(is_rewritten(layer) for layer in convolutions):
        return None
    if any(layer not in model.layers for layer in convolutions):  # in a nested model
        return None
    convolution, pooling = replacing_layers()

    def replace_layer(layer: Any) -> Any:
        if is_rewritten(layer):
            return convolution(layer)
        return pooling(layer) if is_simple_pooling(layer) else layer

    functional = keras.Model(model.inputs, model.outputs)  # clone_model can't do this with a Sequential
    return keras.models.clone_model(functional, clone_function=replace_layer)
