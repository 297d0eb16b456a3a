"""The lines of the engine: built-in problems against ``model.fit``, alone, side by side, and two jobs at a time."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.engine_against_fit import SEED, Case, Timing, choose_way, compare_with_fit, time_engine, time_fit
from benchmarks.rows import Row
from descentlab.problems.base import Data
from descentlab.problems.splits import split_data
from descentlab.problems.table import builtin_problem
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.modes import WIDTH
from descentlab.training.engine.trainable import initial_variables

SLIDES_CNN_GOAL = 1.8
PEAK_GOAL = 0.45  # of sgemm's rate
SGEMM_SIZE = 1024


def generated_images(examples: int) -> Data:
    """Images of MNIST's shape whose class can be learnt: ten fixed patterns under noise."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, examples).astype(np.int32)
    patterns = generator.random((10, 28, 28, 1), dtype=np.float32)
    noise = generator.random((examples, 28, 28, 1), dtype=np.float32)
    return Data(0.5 * patterns[labels] + 0.5 * noise, labels, test=np.arange(examples // 7))


def dense_cases() -> list[Case]:
    """The problems of the default experiment; the goals are those of the project."""
    logistic, mlp, digits_cnn = (builtin_problem(name) for name in ("logistic_regression", "mlp", "digits_cnn"))
    data = mlp.load_data(None)
    return [
        Case(logistic, data, goal=100, fit_epochs=20, engine_epochs=1_000),
        Case(mlp, data, goal=25, fit_epochs=20, engine_epochs=400),
        Case(mlp, data, goal=60, fit_epochs=20, engine_epochs=20, members=32, width=WIDTH),
        Case(digits_cnn, data, goal=10, fit_epochs=20, engine_epochs=100),
    ]


def cnn_case() -> Case:
    """The slides' network with batches of 128, on 40 batches."""
    cnn = replace(builtin_problem("slides_cnn"), batch_size=128)
    images = (
        cnn.load_data(None) if os.environ.get("DESCENTLAB_DATA") else generated_images(8_000)
    )  # the 5,000 are too few
    return Case(cnn, images, SLIDES_CNN_GOAL, fit_epochs=2, engine_epochs=2, train_examples=40 * cnn.batch_size)


def as_row(timing: Timing) -> Row:
    """A timing as a row."""
    case = timing.case
    members = f"{case.members} members, {case.width} side by side" if case.members > 1 else "one member"
    return Row(
        f"{case.problem.name}, {members}, against `model.fit`",
        timing.ratios.tolist(),
        case.goal,
        details={
            "mode": timing.mode,
            "updates_per_epoch": timing.updates_per_epoch,
            "fit_epochs": case.fit_epochs,
            "engine_epochs": case.engine_epochs,
            "fit_epoch_seconds": float(np.median(timing.fit_seconds)),
            "engine_epoch_seconds": float(np.median(timing.engine_seconds)),
            "fit_warm_up_seconds": timing.fit_warm_up_seconds,
            "engine_warm_up_seconds": timing.engine_warm_up_seconds,
            "validation_loss_difference": timing.loss_difference,
        },
    )


def compare_dense(repeats: int) -> list[Row]:
    """Every case of one process."""
    return [as_row(compare_with_fit(case, repeats)) for case in dense_cases()]


def layer_operations(model: Any) -> list[int]:
    """Floating-point operations of each layer for one example, forward: products of matrices and convolutions alone."""
    layers = [layer for layer in model.layers if getattr(layer, "kernel", None) is not None]
    return [2 * math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape) for layer in layers]


def step_operations(model: Any) -> int:
    """The same for an update: the gradient in the weights and, but for the first layer, that in the input take as many."""
    counts = layer_operations(model)
    return 3 * sum(counts) - counts[0]


def sgemm_rate() -> float:
    """Operations a second of a product of two matrices of 1024 × 1024, TensorFlow's own, this thread: the best of 20."""
    import tensorflow as tf

    one, other = (tf.random.normal((SGEMM_SIZE, SGEMM_SIZE)) for _ in range(2))
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        tf.matmul(one, other).numpy()
        seconds.append(time.perf_counter() - begun)
    return 2 * SGEMM_SIZE**3 / min(seconds)


def _one_job(repeats: int, barrier: Any, answers: Any) -> None:
    """One of two processes: both do the same at the same time."""
    configure_device()
    case = cnn_case()
    problem = case.problem
    split = split_data(problem, case.data, 0, problem.batch_size, case.train_examples)
    way = choose_way(case)
    initial = {SEED: initial_variables(problem, SEED)}
    (engine, *_), (fit, _) = time_engine(case, split, way, initial), time_fit(case, split, initial[SEED])
    unvalidated, *_ = time_engine(case, replace(split, val=split.val[:1]), way, initial)
    rows = []
    for repeat in range(repeats):
        ways = [("engine", engine), ("fit", fit)]
        row: dict[str, float] = {}
        for name, train in ways if repeat % 2 == 0 else reversed(ways):
            barrier.wait()
            row[name] = train()[0]
        barrier.wait()
        peak = sgemm_rate()
        barrier.wait()
        operations = step_operations(problem.build_model()) * len(split.train)
        row["peak_share"] = operations / unvalidated()[0] / peak
        row["fit_peak_share_at_least"] = operations / row["fit"] / peak
        row["sgemm_gflops"] = peak / 1e9
        rows.append(row)
    answers.put(rows)


def compare_two_jobs(repeats: int) -> list[Row]:
    """Two processes of one thread each, both by the engine, then both by ``model.fit``, alternating."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    jobs = [context.Process(target=_one_job, args=(repeats, barrier, answers)) for _ in range(2)]
    for job in jobs:
        job.start()
    both = [answers.get(timeout=1_800) for _ in jobs]
    for job in jobs:
        job.join()
    # A repeat is done when the slower of the two is.
    engine, fit = (
        np.array([max(row[way] for row in pair) for pair in zip(*both, strict=True)]) for way in ("engine", "fit")
    )
    share, fit_share, rate = (
        np.array([np.mean([row[name] for row in pair]) for pair in zip(*both, strict=True)])
        for name in ("peak_share", "fit_peak_share_at_least", "sgemm_gflops")
    )
    least = float(np.median(fit_share))
    return [
        Row(
            "slides_cnn, batch 128, two jobs of one thread, against two of `model.fit`",
            (fit / engine).tolist(),
            SLIDES_CNN_GOAL,
            details={"fit_epoch_seconds": float(np.median(fit)), "engine_epoch_seconds": float(np.median(engine))},
            note=f"`fit` itself reaches {least:.0%} of the sgemm peak: at most {1 / least:.1f} times is possible",
        ),
        Row(
            "slides_cnn, operations of training a second, as a share of sgemm's",
            share.tolist(),
            PEAK_GOAL,
            unit="of the peak",
            details={"sgemm_gflops_a_core": float(np.median(rate)), "fit_share": least},
        ),
    ]
