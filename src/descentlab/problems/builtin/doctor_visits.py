"""How often people see a doctor: a network with BatchNormalization for counts, with the Poisson loss.

The data are those of the RAND Health Insurance Experiment (Newhouse and the Insurance Experiment Group 1993, *Free for All?*), in
which families were assigned insurance plans at random. The counts are overdispersed (mean 3, variance 19), so a few people
with dozens of visits dominate the gradients: its noise is heavy-tailed, where steps of bounded length, such as Adam's, are
expected to help (Zhang et al. 2020, "Why are adaptive methods good for attention models?"). BatchNormalization makes the loss
independent of its layer's scale (Ioffe & Szegedy 2015), so its weights' norm changes the effective learning rate.

One example is one person. The 20,190 rows of the file are years of 5,912 people, one to five of each with equal covariates, so
rows drawn at random would put the same people into training and test. The original file beside the data says
whose a row is (``zper``); only the first year of each is kept. It doesn't say which people are a family, so members of one may be
on both sides of a split.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.random_streams import stream_generator

TEST_SHARE = 0.5  # counts are noisy: telling two fits apart needs many people


def build_model() -> keras.Model:
    """Two hidden layers of 32 ReLU units after BatchNormalization; the output is the logarithm of the expected visits."""
    layers: list[keras.layers.Layer] = [keras.Input((9,))]
    for number in (1, 2):
        layers += [
            keras.layers.Dense(32, use_bias=False, name=f"fc{number}"),
            keras.layers.BatchNormalization(name=f"bn{number}"),
            keras.layers.Activation("relu", name=f"relu{number}"),
        ]
    return keras.Sequential([*layers, keras.layers.Dense(1, name="log_rate")], name="doctor_visits")


def load_data(path: str | None) -> Data:
    """5,912 people: nine covariates of their insurance and health, and the visits to a doctor in their first year.

    The covariates are standardized by the mean and standard deviation of the people outside the test split, which is therefore
    drawn here.

    Args:
        path: ignored; the data come with statsmodels.

    Returns:
        x of shape (5912, 9) and y of shape (5912, 1), float32, in the file's order.
    """
    del path
    import pandas as pd
    from statsmodels.datasets import randhie

    table = randhie.load_pandas().data
    people = pd.read_csv(Path(randhie.__file__).parent / "src" / "randhie.csv", usecols=["zper"])["zper"]
    table = table[~people.duplicated()]
    visits = table.pop("mdvis").to_numpy()
    covariates = table.to_numpy(np.float64)
    order = stream_generator("doctor_visits", 0, "test split").permutation(len(visits))
    test, rest = np.split(order, [round(TEST_SHARE * len(visits))])
    x = (covariates - covariates[rest].mean(0)) / covariates[rest].std(0)
    return Data(x.astype(np.float32), visits[:, None].astype(np.float32), test)


def poisson_loss(y: keras.KerasTensor, log_rate: keras.KerasTensor) -> keras.KerasTensor:
    """The log-likelihood that a perfect prediction has above this one, shape (n,); 0 is perfect.

    It is Poisson's negative log-likelihood plus what only the counts decide, so its gradient is the same and its value can't be
    negative.

    Args:
        y: counts, shape (n, 1).
        log_rate: logarithms of the expected counts, shape (n, 1).
    """
    log_y = keras.ops.log(keras.ops.maximum(y, 1))  # it is multiplied by y, so where y is 0 any value will do
    return keras.ops.mean(keras.ops.exp(log_rate) - y + y * (log_y - log_rate), axis=-1)


def poisson_deviance(y: keras.KerasTensor, log_rate: keras.KerasTensor) -> keras.KerasTensor:
    """Twice :func:`poisson_loss`, as statistics define it (McCullagh & Nelder 1989, *Generalized Linear Models*)."""
    return 2 * poisson_loss(y, log_rate)


PROBLEM = Problem(
    name="doctor_visits",
    title=message("Poisson regression with BatchNormalization (doctor visits, 1,473 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=poisson_loss,
    metric=Metric(message("Poisson deviance"), False, poisson_deviance),
    epochs=30,
    margin=0.05,
    margin_reason=message(
        "a hundredth of the deviance that the same prediction for everybody leaves, 4.6; the 2,956 test people leave the "
        "difference of two tuned optimizers a standard error of about 0.025"
    ),
    test_share=TEST_SHARE,
    stratified=False,
    count="fc1 288 + bn1 64 + fc2 1,024 + bn2 64 + log_rate 33 = 1,473",
    source=message("statsmodels, randhie (RAND Health Insurance Experiment; public domain)"),
)
