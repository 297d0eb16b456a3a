"""A small residual network with BatchNormalization on MNIST, whose images are moved and turned at random in training.

It is in the suite for what most image classifiers are: residual blocks (He et al. 2016), with normalized activations, which
free the step's size from the weights' (Ioffe & Szegedy 2015; Arora et al. 2019, "Theoretical analysis of auto rate-tuning by
batch normalization"), and with augmented data, so that gradients stay noisy. On such networks tuned SGD with momentum is
said to generalize no worse than Adam (Wilson et al. 2017).
"""

from __future__ import annotations

from typing import Any

import keras

from descentlab.i18n.message import message
from descentlab.problems.classification import mnist_problem


def build_model() -> keras.Model:
    """Three residual blocks with 8, 16 and 32 filters on images of 14×14 pixels, then 10 logits."""
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant", name="translation")(inputs)
    x = keras.layers.RandomRotation(0.04, fill_mode="constant", name="rotation")(x)
    x = keras.layers.AveragePooling2D(2, name="half")(x)
    x = convolve(x, 8, 1, "stem")
    for filters, stride in ((8, 1), (16, 2), (32, 2)):
        x = residual_block(x, filters, stride)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x), name="resnet")


def residual_block(x: Any, filters: int, stride: int) -> Any:
    """Two convolutions around which the input is led, through a convolution of one pixel where the shape changes."""
    shortcut = x
    if stride > 1:
        shortcut = convolve(x, filters, stride, f"shortcut{filters}", size=1, relu=False)
    x = convolve(x, filters, stride, f"first{filters}")
    x = convolve(x, filters, 1, f"second{filters}", relu=False)
    return keras.layers.ReLU(name=f"relu{filters}")(keras.layers.Add(name=f"add{filters}")([x, shortcut]))


def convolve(x: Any, filters: int, stride: int, name: str, size: int = 3, relu: bool = True) -> Any:
    """A convolution without a bias, BatchNormalization, and a ReLU unless told otherwise."""
    x = keras.layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(name=f"{name}_norm", momentum=0.9)(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


PROBLEM = mnist_problem(
    name="resnet",
    title=message(
        "Residual network with BatchNormalization and augmentation (5,000 images of MNIST, 19,810 parameters)"
    ),
    build_model=build_model,
    epochs=15,
    batch_size=64,
    count=message(
        "convolutions 72 + 576 + 576 + 1,152 + 2,304 + 128 + 4,608 + 9,216 + 512, normalizations 3 × 16 + 3 × 32 + 3 × 64, "
        "logits 330 = 19,810"
    ),
)
