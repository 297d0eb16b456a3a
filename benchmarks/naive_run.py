"""One training as a practitioner writes it: ``model.fit`` with validation, ``mlflow.log_metric`` after every epoch.

The script that the naive pipeline starts once a run. The slow parts are Keras' and MLflow's own; what could be written
slower isn't: the learning rate decays by a Keras schedule, not by a callback every batch; the arrays are split once.

    python -m benchmarks.naive_run --problem mlp --optimizer adam --learning-rate 0.01 --epochs 25 --batch-size 32 \
        --seed 0 --tracking-uri sqlite:///naive.db
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The settings of one run."""
    parser = argparse.ArgumentParser(description="train one model with model.fit, log it to MLflow")
    parser.add_argument("--config", type=Path, default=Path("workflow/config/default.yaml"), help="names optimizers")
    parser.add_argument("--problem", required=True)
    parser.add_argument("--optimizer", required=True)
    parser.add_argument("--arm", default="default", help="decides the weight decay")
    parser.add_argument("--learning-rate", type=float, default=math.nan, help="none for an optimizer without one")
    parser.add_argument("--schedule", choices=("constant", "linear"), default="constant")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument(
        "--batch-size", type=int, required=True, help="examples an update; the split is a multiple of it"
    )
    parser.add_argument("--full-batch", action="store_true", help="an update uses every training example")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate-test", action="store_true", help="loss and metric on the test split at the end")
    parser.add_argument("--tracking-uri", required=True)
    return parser.parse_args(words)


def make_optimizer(entry: Any, arm: str, learning_rate: float, schedule: str, updates: int) -> Any:
    """The Keras optimizer, its rate constant or falling linearly from ``learning_rate`` to zero after ``updates``."""
    import keras

    from descentlab.experiment.records import rate_from_table
    from descentlab.optimizers.build import build

    optimizer = build(entry, arm, rate_from_table(learning_rate))
    if schedule == "linear":
        optimizer.learning_rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, updates, 0.0)
    return optimizer


def train(settings: argparse.Namespace) -> dict[str, float]:
    """Train and log one run.

    Returns:
        ``val_loss``, ``val_metric`` (and ``test_loss``, ``test_metric``) at the end; ``fit_seconds`` of wall time in
        ``model.fit``, of which ``first_epoch_seconds`` until its first epoch ended, tracing and its logging included;
        ``logging_seconds``, how much of it was in ``mlflow.log_metric``; ``cpu_seconds`` of the process until now.
    """
    # One thread: as many of these processes run side by side as there are cores, as our own jobs do; with a pool of
    # threads each they would contend for the cores.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import mlflow
    import tensorflow as tf

    from descentlab.experiment.config import load_config
    from descentlab.problems.splits import split_data
    from descentlab.training.find_problem import find_problem

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    config = load_config(settings.config)
    about = config.problem(settings.problem)
    entry = next(entry for entry in config.entries(about) if entry.name == settings.optimizer)
    problem = find_problem(about)
    data = problem.load_data(about.data)
    split = split_data(problem, data, settings.seed, settings.batch_size, about.train_examples)
    x_train, y_train = data.x[split.train], data.y[split.train]
    x_val, y_val = data.x[split.val], data.y[split.val]
    x_test, y_test = data.x[split.test], data.y[split.test]

    keras.utils.set_random_seed(settings.seed)
    batch_size = len(x_train) if settings.full_batch else settings.batch_size
    updates = settings.epochs * (len(x_train) // batch_size)
    model = problem.build_model()
    model.compile(
        optimizer=make_optimizer(entry, settings.arm, settings.learning_rate, settings.schedule, updates),
        loss=problem.loss,
        metrics=[keras.metrics.MeanMetricWrapper(problem.metric.per_example, name="metric")],
    )

    epoch_ends: list[float] = []
    logging: list[float] = []

    class LogToMLflow(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            begun = time.perf_counter()
            for name, value in (logs or {}).items():
                mlflow.log_metric(name, value, step=epoch)
            epoch_ends.append(time.perf_counter())
            logging.append(epoch_ends[-1] - begun)

    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_experiment("naive")
    name = f"{settings.problem} / {settings.optimizer} / {settings.arm} / seed {settings.seed}"
    with mlflow.start_run(run_name=name):
        kept = ("problem", "optimizer", "arm", "learning_rate", "schedule", "epochs", "seed")
        mlflow.log_params({**{key: getattr(settings, key) for key in kept}, "batch_size": batch_size})
        begun = time.perf_counter()
        history = model.fit(
            x_train,
            y_train,
            epochs=settings.epochs,
            batch_size=batch_size,
            validation_data=(x_val, y_val),
            callbacks=[LogToMLflow()],
            verbose=0,
        )
        ended = time.perf_counter()
        results = {name: float(history.history[name][-1]) for name in ("val_loss", "val_metric")}
        if settings.evaluate_test:
            found = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
            for name, value in found.items():
                mlflow.log_metric(f"test_{name}", value)
                results[f"test_{name}"] = float(value)
    seconds = {"fit_seconds": ended - begun, "first_epoch_seconds": epoch_ends[0] - begun}
    return {**results, **seconds, "logging_seconds": sum(logging), "cpu_seconds": time.process_time()}


def main() -> None:
    """Train one run; print what it ended with as a line of JSON."""
    print(json.dumps(train(parse_arguments())))


if __name__ == "__main__":
    main()
