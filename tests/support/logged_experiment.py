"""Externally logged MLflow experiments: ``model.fit`` with autologging, and runs of made-up numbers."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLES, BATCH, EPOCHS = 64, 16, 4
SEEDS = (11, 12, 13)
RATE = 0.05
LOSSES = {"loss": [0.9, 0.5, 0.4], "val_loss": [1.0, 0.6, 0.5], "val_accuracy": [0.5, 0.7, 0.75]}  # by epoch
BEGAN = 1_700_000_000_000  # milliseconds


@functools.cache
def empty_database() -> bytes:
    """A store without experiments: MLflow takes seconds to make one."""
    from mlflow.tracking import MlflowClient

    with tempfile.TemporaryDirectory() as folder:
        MlflowClient(f"sqlite:///{folder}/store.db").search_experiments()
        return Path(folder, "store.db").read_bytes()


def new_store(folder: Path) -> str:
    """An empty store in the folder; its URI."""
    (folder / "store.db").write_bytes(empty_database())
    return f"sqlite:///{folder}/store.db"


def points(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes around two centers."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, EXAMPLES)
    return (generator.normal(size=(EXAMPLES, 3)) + 1.2 * y[:, None]).astype("float32"), y.astype("int32")


def fit_once(experiment: str, optimizer: Any, seed: int, diverges: bool) -> None:
    """One training; one that diverges begins from weights whose outputs overflow."""
    import keras
    import mlflow

    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    if diverges:
        model.layers[-1].kernel.assign(model.layers[-1].kernel * 1e39)
    with mlflow.start_run(experiment_id=experiment):
        mlflow.log_param("seed", seed)
        model.fit(*points(0), batch_size=BATCH, epochs=EPOCHS, validation_data=points(1), verbose=0)
        test_loss, test_accuracy = model.evaluate(*points(2), verbose=0)
        mlflow.log_metrics({"test_loss": test_loss, "test_accuracy": test_accuracy})


def fit_all(name: str) -> None:
    """Three optimizers and three seeds; one run of plain SGD diverges, a fourth of Adam raises before it is trained.

    Args:
        name: of a new experiment in the store that MLFLOW_TRACKING_URI names.
    """
    import keras
    import mlflow

    experiment = mlflow.create_experiment(name)
    mlflow.keras.autolog(log_models=False, log_datasets=False)
    try:
        for seed in SEEDS:
            fit_once(experiment, keras.optimizers.SGD(RATE), seed, diverges=seed == SEEDS[-1])
            fit_once(experiment, keras.optimizers.SGD(RATE, momentum=0.9), seed, diverges=False)
            fit_once(experiment, keras.optimizers.Adam(RATE), seed, diverges=False)
        try:
            with mlflow.start_run(experiment_id=experiment):
                mlflow.log_params({"optimizer_name": "adam", "seed": 14})
                raise MemoryError
        except MemoryError:
            pass
    finally:
        mlflow.keras.autolog(disable=True)


def log_run(
    uri: str,
    experiment: str,
    params: Mapping[str, Any],
    curves: Mapping[str, Sequence[float]] | None = None,
    ends: Mapping[str, float] | None = None,
    status: str = "FINISHED",
    first_step: int = 0,
) -> str:
    """Log a run, each a second after the one before it.

    Args:
        curves: values of each metric at the steps from ``first_step`` on.
        ends: metrics logged once, without a step.
        status: FINISHED, FAILED or RUNNING.

    Returns:
        MLflow's id of it.
    """
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    identity = found.experiment_id if found else client.create_experiment(experiment)
    before = len(client.search_runs([identity]))
    run = client.create_run(identity, start_time=BEGAN + 1000 * before).info.run_id
    points = [(name, value, step) for name, ys in (curves or {}).items() for step, value in enumerate(ys, first_step)]
    points += [(name, value, 0) for name, value in (ends or {}).items()]
    client.log_batch(
        run,
        [Metric(name, value, BEGAN, step) for name, value, step in points],
        [Param(name, str(value)) for name, value in params.items()],
    )
    if status != "RUNNING":
        client.set_terminated(run, status)
    return str(run)
