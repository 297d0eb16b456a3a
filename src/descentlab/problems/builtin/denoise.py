"""A convolutional autoencoder that takes the noise off patches of two photographs.

It is in the suite as the regression among images: a target of many numbers, a loss without saturation, and a bottleneck, which
makes autoencoders ill-conditioned: they are what momentum and second-order methods were first shown on (Martens 2010, "Deep
learning via Hessian-free optimization"; Sutskever et al. 2013). To restore what noise was added to: Vincent et al. 2008.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem

SIDE = 16
NOISE = 0.1  # standard deviation; pixels lie in [0, 1]
SEED = 3
TEST_COLUMNS = 10  # of a photograph's 40
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def build_model() -> keras.Model:
    """Two convolutions down to 4×4 places with 32 channels, and two transposed ones back up to 16×16 pixels."""
    layers = [
        keras.Input((SIDE, SIDE, 1)),
        keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="down1"),
        keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="down2"),
        keras.layers.Conv2DTranspose(16, 4, strides=2, padding="same", activation="relu", name="up1"),
        keras.layers.Conv2DTranspose(1, 4, strides=2, padding="same", name="up2"),
    ]
    return keras.Sequential(layers, name="denoise")


def signal_to_noise(clean: Any, restored: Any) -> Any:
    """Peak signal-to-noise ratio of each patch in dB, shape (n,), for pixels in [0, 1]; higher is better, at most 100."""
    error = ops.mean(ops.square(clean - restored), axis=(1, 2, 3))
    return -10 * ops.log10(ops.maximum(error, 1e-10))  # a patch whose pixels are erased may be restored exactly


def grid_of_patches(photograph: np.ndarray) -> np.ndarray:
    """The whole patches of a photograph, none of which overlaps another: (rows, columns, SIDE, SIDE) of (height, width)."""
    rows, columns = (length // SIDE for length in photograph.shape)
    cut = photograph[: rows * SIDE, : columns * SIDE]
    return cut.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2)


def load_data(path: str | None) -> Data:
    """Noisy patches and the same without noise, from two grey photographs of 427×640 pixels; the path is ignored.

    The test patches are the last 10 of each photograph's 40 columns. The column beside them is left out, so that 16 pixels
    lie between what is trained on and what is tested on.
    """
    del path
    from sklearn.datasets import load_sample_images

    grey = [photograph @ np.array(LUMA) / 255 for photograph in load_sample_images().images]
    grids = [grid_of_patches(photograph) for photograph in grey]
    rest, test = (
        np.concatenate([grid[:, columns].reshape(-1, SIDE, SIDE, 1) for grid in grids])
        for columns in (slice(None, -TEST_COLUMNS - 1), slice(-TEST_COLUMNS, None))
    )
    clean = np.concatenate([rest, test]).astype(np.float32)
    noise = np.random.default_rng(SEED).normal(0, NOISE, clean.shape)
    return Data((clean + noise).astype(np.float32), clean, test=np.arange(len(rest), len(clean)))


PROBLEM = Problem(
    name="denoise",
    title=message("Convolutional autoencoder against noise (patches of two photographs, 13,265 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=keras.losses.MeanSquaredError(),
    metric=Metric(message("signal-to-noise ratio (dB)"), True, signal_to_noise),
    epochs=30,
    batch_size=32,
    margin=0.15,
    margin_reason=message(
        "0.15 dB, as much as a better method for noise is often worth; twice the standard error of the difference of two "
        "tuned models on the 520 test patches is 0.05 to 0.14"
    ),
    stratified=False,
    count="down1 160 + down2 4,640 + up1 8,208 + up2 257 = 13,265",
    source=message(
        "scikit-learn's two photographs: china.jpg by danielbuechele and flower.jpg by vultilion (both CC BY 2.0, Flickr)"
    ),
)
