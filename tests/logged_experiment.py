"""An experiment as a user logs it: plain ``mlflow`` around ``model.fit``, nothing of ours."""

from __future__ import annotations

from typing import Any

import numpy as np

EXAMPLES, BATCH, EPOCHS = 64, 16, 4
SEEDS = (11, 12, 13)
OPTIMIZERS = {"SGD": 0.05, "SGD with momentum": 0.05, "Adam": 0.05}


def points(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes around two centres."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, EXAMPLES)
    return (generator.normal(size=(EXAMPLES, 3)) + 1.2 * y[:, None]).astype("float32"), y.astype("int32")


def build_optimizer(name: str, rate: float) -> Any:
    import keras

    if name == "Adam":
        return keras.optimizers.Adam(rate)
    return keras.optimizers.SGD(rate, momentum=0.9 if "momentum" in name else 0.0)


def fit_once(name: str, seed: int, rate: float, autolog: bool, diverges: bool) -> None:
    """One training; one that diverges begins from weights whose outputs overflow."""
    import keras
    import mlflow

    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(build_optimizer(name, rate), loss, metrics=["accuracy"], jit_compile=False)
    if diverges:
        model.layers[-1].kernel.assign(model.layers[-1].kernel * 1e39)
    with mlflow.start_run():
        mlflow.log_params({"seed": seed} if autolog else {"algo": name, "random_state": seed, "step_size": rate})
        history = model.fit(*points(0), batch_size=BATCH, epochs=EPOCHS, validation_data=points(1), verbose=0)
        if not autolog:
            mlflow.log_param("batch", BATCH)
            for epoch in range(EPOCHS):
                mlflow.log_metrics({key: values[epoch] for key, values in history.history.items()}, step=epoch + 1)
        test_loss, test_accuracy = model.evaluate(*points(2), verbose=0)
        mlflow.log_metrics({"test_loss": test_loss, "test_accuracy": test_accuracy})


def fit_all(uri: str, experiment: str, autolog: bool) -> None:
    """Three optimizers and three seeds; one run of plain SGD diverges, one of Adam raises before its first epoch."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment)
    mlflow.keras.autolog(disable=not autolog, log_models=False, log_datasets=False)
    try:
        for name, rate in OPTIMIZERS.items():
            for seed in SEEDS:
                fit_once(name, seed, rate, autolog, diverges=(name, seed) == ("SGD", 13))
        try:
            with mlflow.start_run():
                mlflow.log_params({"optimizer_name": "adam", "seed": 14} if autolog else {"algo": "Adam", "random_state": 14})
                raise MemoryError
        except MemoryError:
            pass
    finally:
        mlflow.keras.autolog(disable=True)
