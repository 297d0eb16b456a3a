"""A variational autoencoder on MNIST (Kingma & Welling 2014): a generative model whose gradients are random by themselves.

It is in the suite because its loss is no classification's: the code is drawn anew at every update, which adds noise to the
gradient that no larger batch of images removes, and two terms pull against each other, the reconstruction and the divergence
of the code from its prior, so that a step too large loses the code for good (posterior collapse). DeepOBS has it for the same
reason (Schneider, Balles & Hennig 2019).

The metric is the evidence lower bound in nats for an image, but with the mean of the code in place of a draw, so that an
evaluation is the same every time. That is better than the bound itself, so it compares models of this suite and no others.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.datasets.mnist import SOURCE, load_mnist_5k

PIXELS, CODE = 784, 8


@keras.saving.register_keras_serializable("descentlab")  # so that a saved model can be read
class Code(keras.layers.Layer):
    """A draw of each image's code in training, its mean otherwise; adds the divergence of the code from the prior as a loss."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, mean: Any, log_variance: Any, training: bool = False) -> Any:
        """The codes, shape (n, CODE)."""
        self.add_loss(ops.mean(divergence(mean, log_variance)))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(log_variance / 2) * noise


def divergence(mean: Any, log_variance: Any) -> Any:
    """Kullback–Leibler divergence of N(mean, variance) from N(0, I) in nats, shape (n,), of codes of shape (n, CODE)."""
    return ops.sum(ops.square(mean) + ops.exp(log_variance) - 1 - log_variance, axis=-1) / 2


def build_model() -> keras.Model:
    """784-128-8-128-784: an image to the logits of its pixels, followed by its code's means and log variances."""
    image = keras.Input((PIXELS,))
    hidden = keras.layers.Dense(128, activation="relu", name="encoder")(image)
    mean = keras.layers.Dense(CODE, name="mean")(hidden)
    log_variance = keras.layers.Dense(CODE, name="log_variance")(hidden)
    code = Code(name="code")(mean, log_variance)
    hidden = keras.layers.Dense(128, activation="relu", name="decoder")(code)
    logits = keras.layers.Dense(PIXELS, name="logits")(hidden)
    return keras.Model(image, keras.layers.Concatenate(name="output")([logits, mean, log_variance]), name="vae")


def reconstruction(image: Any, output: Any) -> Any:
    """Cross-entropy of an image's pixels with the output's logits in nats, summed over pixels, shape (n,)."""
    logits = output[:, :PIXELS]
    return ops.sum(ops.softplus(logits) - image * logits, axis=-1)


def evidence_bound(image: Any, output: Any) -> Any:
    """Evidence lower bound of each image in nats, shape (n,), with the output of an evaluation; higher is better."""
    mean, log_variance = output[:, PIXELS : PIXELS + CODE], output[:, PIXELS + CODE :]
    return -reconstruction(image, output) - divergence(mean, log_variance)


def load_data(path: str | None) -> Data:
    """5,000 images of MNIST, flat, each pixel 1 where it is brighter than one half, else 0; the path is ignored."""
    del path
    mnist = load_mnist_5k()
    images = (mnist.x.reshape(-1, PIXELS) > 0.5).astype(np.float32)
    return Data(images, images, mnist.test)


PROBLEM = Problem(
    name="vae",
    title=message("Variational autoencoder (5,000 images of MNIST, 204,832 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=reconstruction,
    metric=Metric(message("evidence lower bound"), True, evidence_bound),
    epochs=40,
    batch_size=64,
    margin=1.0,
    margin_reason=message(
        "one nat of about 117 for an image; twice the standard error of the difference of two tuned models on the 1,250 test "
        "images is 0.7 to 0.8"
    ),
    dataset="mnist",
    stratified=False,
    count=message("encoder 100,480 + mean 1,032 + log variance 1,032 + decoder 1,152 + logits 101,136 = 204,832"),
    source=SOURCE,
)
