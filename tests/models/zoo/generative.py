"""Models that reproduce their inputs or invent new ones."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from descentlab.problems.base import Data, Metric
from models.zoo.data import small


def load_stripes(path: str | None) -> Data:
    """8×8 images with a bright row or column, which are also their targets."""
    random = np.random.default_rng(61)
    images = random.uniform(0, 0.1, (80, 8, 8, 1)).astype("float32")
    for number, (image, place) in enumerate(zip(images, random.integers(0, 8, 80), strict=True)):
        image[place if number % 2 else slice(None), slice(None) if number % 2 else place] += 0.9
    return Data(images, images)


def pixel_error(y: Any, y_pred: Any) -> Any:
    """The mean absolute error of each image."""
    return ops.mean(ops.abs(y - y_pred), axis=(1, 2, 3))


def build_encoder() -> keras.Model:
    """An image to the mean and the log variance of two latent numbers."""
    images = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(images)
    x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
    return keras.Model(images, [layers.Dense(2, name="mean")(x), layers.Dense(2, name="log_variance")(x)])


def build_decoder() -> keras.Model:
    """Two latent numbers to an image."""
    latent = keras.Input((2,))
    x = layers.Reshape((4, 4, 4))(layers.Dense(64, activation="relu")(latent))
    return keras.Model(
        latent, layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid")(x), name="decoder"
    )


def build_autoencoder() -> keras.Model:
    """Convolutional autoencoder."""
    images = keras.Input((8, 8, 1))
    x = layers.Conv2D(6, 3, activation="relu", padding="same")(images)
    x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, activation="relu", padding="same")(x)
    return keras.Model(images, layers.Conv2D(1, 3, activation="sigmoid", padding="same")(x))


AUTOENCODER = small(
    "autoencoder",
    "Convolutional autoencoder",
    build_autoencoder,
    load_stripes,
    "binary_crossentropy",
    Metric("pixel_error", False, pixel_error),
)


class Sampling(layers.Layer):
    """Draws the latent numbers; seeded."""

    def __init__(self, add_divergence: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.add_divergence = add_divergence
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: Any) -> Any:
        mean, log_variance = inputs
        if self.add_divergence:
            self.add_loss(0.001 * ops.mean(divergence(mean, log_variance)))
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


def divergence(mean: Any, log_variance: Any) -> Any:
    """The Kullback-Leibler divergence from the standard normal distribution, of each example."""
    return -0.5 * ops.sum(1 + log_variance - ops.square(mean) - ops.exp(log_variance), axis=1)


def build_vae() -> keras.Model:
    """Variational autoencoder whose sampling layer adds a loss."""
    images = keras.Input((8, 8, 1))
    latent = Sampling(add_divergence=True)(build_encoder()(images))
    return keras.Model(images, build_decoder()(latent))


VAE_ADD_LOSS = small(
    "vae_add_loss",
    "Variational autoencoder whose sampling layer adds a loss",
    build_vae,
    load_stripes,
    "mean_squared_error",
    Metric("pixel_error", False, pixel_error),
)


class Vae(keras.Model):
    """A variational autoencoder with steps and means of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.encoder, self.sampling, self.decoder = build_encoder(), Sampling(), build_decoder()
        self.means = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction_loss", "kl_loss")]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return self.means

    def call(self, images: Any) -> Any:
        return self.decoder(self.sampling(self.encoder(images)))

    def losses_of(self, images: Any) -> tuple[Any, Any, Any]:
        """The total, the reconstruction's and the divergence's loss of a batch."""
        mean, log_variance = self.encoder(images)
        reconstruction = self.decoder(self.sampling([mean, log_variance]))
        error = ops.mean(ops.sum(keras.losses.binary_crossentropy(images, reconstruction), axis=(1, 2)))
        kl = ops.mean(divergence(mean, log_variance))
        return error + kl, error, kl

    def report(self, losses: tuple[Any, Any, Any]) -> dict[str, Any]:
        """Add a batch's losses to the means."""
        for mean, loss in zip(self.means, losses, strict=True):
            mean.update_state(loss)
        return {mean.name: mean.result() for mean in self.means}

    def train_step(self, data: Any) -> dict[str, Any]:
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            losses = self.losses_of(images)
        gradients = tape.gradient(losses[0], self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self.report(losses)

    def test_step(self, data: Any) -> dict[str, Any]:
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.report(self.losses_of(images))


def build_vae_with_steps() -> keras.Model:
    """Variational autoencoder with steps of its own."""
    model = Vae()
    model(np.zeros((1, 8, 8, 1), "float32"))
    return model


VAE_STEPS = small(
    "vae_own_steps",
    "Variational autoencoder with steps of its own",
    build_vae_with_steps,
    load_stripes,
    None,
    Metric("reconstruction_loss", False, "mae"),
)


class Gan(keras.Model):
    """A generator and a discriminator that one optimizer trains, each on its own loss."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.generator = keras.Sequential([keras.Input((3,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
        self.discriminator = keras.Sequential([keras.Input((2,)), layers.Dense(8, activation="tanh"), layers.Dense(1)])
        self.seed_generator = keras.random.SeedGenerator(7)
        self.loss_mean, self.generator_mean = keras.metrics.Mean(name="loss"), keras.metrics.Mean(name="g_loss")
        self.recognized = keras.metrics.Mean(name="recognized")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_mean, self.generator_mean, self.recognized]

    def call(self, points: Any) -> Any:
        return self.discriminator(points)

    def play(self, points: Any) -> tuple[Any, Any, Any]:
        """The discriminator's and the generator's loss, and the logits of the real points."""
        invented = self.generator(keras.random.normal((ops.shape(points)[0], 3), seed=self.seed_generator))
        real, fake = self.discriminator(points), self.discriminator(invented)
        discriminator_loss = ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))
        return discriminator_loss, ops.mean(ops.softplus(-fake)), real

    def report(self, discriminator_loss: Any, generator_loss: Any, real: Any) -> dict[str, Any]:
        """Add a batch's losses to the means."""
        self.loss_mean.update_state(discriminator_loss)
        self.generator_mean.update_state(generator_loss)
        self.recognized.update_state(ops.cast(real > 0, "float32"))
        return {mean.name: mean.result() for mean in self.metrics}

    def train_step(self, data: Any) -> dict[str, Any]:
        points, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape(persistent=True) as tape:
            discriminator_loss, generator_loss, real = self.play(points)
        judges, makers = self.discriminator.trainable_weights, self.generator.trainable_weights
        gradients = [*tape.gradient(generator_loss, makers), *tape.gradient(discriminator_loss, judges)]
        self.optimizer.apply_gradients(zip(gradients, [*makers, *judges], strict=True))
        return self.report(discriminator_loss, generator_loss, real)

    def test_step(self, data: Any) -> dict[str, Any]:
        points, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.report(*self.play(points))


def load_ring(path: str | None) -> Data:
    """Points on a ring, which are also their targets."""
    random = np.random.default_rng(62)
    angle = random.uniform(0, 2 * np.pi, 80)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * random.normal(size=(80, 2))
    return Data(points.astype("float32"), points.astype("float32"))


def build_gan() -> keras.Model:
    """Generator and discriminator with a step of their own."""
    model = Gan()
    model(np.zeros((1, 2), "float32"))
    return model


GAN = small(
    "gan",
    "Generator and discriminator with a step of their own",
    build_gan,
    load_ring,
    None,
    Metric("recognized", True, "accuracy"),
)


class GanOfParts(keras.Model):
    """A generator and a discriminator without a call, as Keras' examples write them; the generator normalizes its batches."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        hidden = [layers.Dense(8), layers.BatchNormalization(), layers.ReLU()]
        self.generator = keras.Sequential([keras.Input((3,)), *hidden, layers.Dense(2)])
        self.discriminator = keras.Sequential([keras.Input((2,)), layers.Dense(8, activation="tanh"), layers.Dense(1)])
        self.seed_generator = keras.random.SeedGenerator(7)
        self.loss_mean, self.recognized = keras.metrics.Mean(name="loss"), keras.metrics.Mean(name="recognized")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_mean, self.recognized]

    def judge(self, points: Any, training: bool) -> tuple[Any, Any]:
        """Logits of the real and of invented points."""
        noise = keras.random.normal((ops.shape(points)[0], 3), seed=self.seed_generator)
        return self.discriminator(points), self.discriminator(self.generator(noise, training=training))

    def report(self, real: Any, fake: Any) -> dict[str, Any]:
        """Add a batch to the means."""
        self.loss_mean.update_state(ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake)))
        self.recognized.update_state(ops.cast(real > 0, "float32"))
        return {mean.name: mean.result() for mean in self.metrics}

    def train_step(self, data: Any) -> dict[str, Any]:
        points, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape(persistent=True) as tape:
            real, fake = self.judge(points, training=True)
            judged, fooled = ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake)), ops.mean(ops.softplus(-fake))
        judges, makers = self.discriminator.trainable_weights, self.generator.trainable_weights
        gradients = [*tape.gradient(fooled, makers), *tape.gradient(judged, judges)]
        self.optimizer.apply_gradients(zip(gradients, [*makers, *judges], strict=True))
        return self.report(real, fake)

    def test_step(self, data: Any) -> dict[str, Any]:
        points, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.report(*self.judge(points, training=False))


GAN_OF_PARTS = small(
    "gan_of_parts",
    "Generator and discriminator in a model without a call",
    GanOfParts,
    load_ring,
    None,
    Metric("recognized", True, "accuracy"),
)


class Denoiser(keras.Model):
    """Takes away the noise that its own compute_loss mixes into the inputs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.hidden, self.clean = layers.Dense(16, activation="swish"), layers.Dense(2)
        self.seed_generator = keras.random.SeedGenerator(11)

    def call(self, points: Any) -> Any:
        return self.clean(self.hidden(points))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        noise = keras.random.normal(ops.shape(x), seed=self.seed_generator)
        return super().compute_loss(x, y, self(x + 0.3 * noise), sample_weight, training)


def build_denoiser() -> keras.Model:
    """Points without their noise, which a compute_loss of its own adds."""
    model = Denoiser()
    model(np.zeros((1, 2), "float32"))
    return model


DENOISER = small(
    "denoiser",
    "Points without their noise, which a compute_loss of its own adds",
    build_denoiser,
    load_ring,
    "mean_squared_error",
    Metric("mean_absolute_error", False, "mean_absolute_error"),
)
