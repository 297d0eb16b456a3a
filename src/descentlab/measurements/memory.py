"""How much memory an update needs, by batch size: the slides say that traditional descent needs all examples in memory.

Measured on the slides' convolutional network, whose batches need far more memory than a process uses anyway. The largest batch
is measured in two ways: at once, and in batches of 64 whose gradients are accumulated into one update, which is the same step of
gradient descent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import PLAIN
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data, Problem
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.convolution import with_patches
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.modes import choose_mode
from descentlab.training.engine.trainable import compile_loss, initial_variables
from descentlab.training.engine.trainer import Trainer

BATCH_SIZES = (1, 8, 64, 512, 2048)
PART = 64  # examples in memory at once, where gradients are accumulated

MEMORY_COLUMNS: dict[str, Column] = {
    "batch_size": Column("int64", "examples", "", "examples per update"),
    "accumulated": Column("int64", "batches", "", "into one update; 1 where all its examples are in memory at once"),
    "repeat": Column("int64", "", "", "each in a new process"),
    "peak_bytes": Column(
        "float64",
        "bytes",
        "lower",
        "peak memory during an update, minus the memory held before the first; NaN if unknown",
    ),
    "update_microseconds": Column(
        "float64", "microseconds", "lower", "time of the update, forward and backward pass included"
    ),
}


def resident_bytes(name: str) -> float:
    """``VmRSS`` (memory held now) or ``VmHWM`` (the peak since it was reset) of this process; NaN except on Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.nan
    return next((int(line.split()[1]) * 1024.0 for line in lines if line.startswith(f"{name}:")), math.nan)


def peak_bytes(run: Callable[[], object], device: str) -> float:
    """Peak memory while ``run`` runs; ``run`` is called in any case.

    On a GPU, the device's memory as TensorFlow counts it; else the process's resident memory, which only Linux reports: NaN
    elsewhere.
    """
    if device != "CPU":
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")
        run()
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    try:
        # in place: a setting of the kernel
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM to VmRSS
    except OSError:
        run()
        return math.nan
    run()
    return resident_bytes("VmHWM")


def accumulated_update(problem: Problem, mode: str) -> Callable[[Data, np.ndarray], None]:
    """One update of plain descent whose gradients are added up part by part, as a function of data and order.

    The order has shape (parts, examples): only one part's examples pass through the network at a time.
    """
    import tensorflow as tf

    model = problem.build_model()
    compile_loss(problem, model)
    called, weights = with_patches(model) if mode == "patches" else model, model.trainable_variables

    @tf.function(jit_compile=mode != "graph", autograph=False)
    def update(x: Any, y: Any, order: Any) -> None:
        def body(done: Any, sums: list[Any]) -> tuple[Any, list[Any]]:
            inputs, targets = tf.gather(x, order[done]), tf.gather(y, order[done])
            with tf.GradientTape() as tape:
                value = model.compute_loss(inputs, targets, called(inputs, training=True))
            return done + 1, [total + found for total, found in zip(sums, tape.gradient(value, weights), strict=True)]

        zeros = [tf.zeros_like(weight) for weight in weights]
        parts = order.shape[0]
        _, sums = tf.while_loop(lambda done, _: done < parts, body, (tf.constant(0), zeros))
        for weight, total in zip(weights, sums, strict=True):
            weight.assign(weight - 0.01 * total / parts)

    return lambda data, order: update(tf.constant(data.x), tf.constant(data.y), tf.constant(order))


def measure_once(batch_sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One row of the table (without ``repeat``) per batch size; for a process that has trained nothing yet.

    An allocator keeps the memory that it was given. So the baseline is taken before the first update, and batch sizes
    ascend, so that none reuses memory left by a larger one.
    """
    from descentlab.problems.builtin.slides_cnn import PROBLEM

    device = configure_device()
    generator = np.random.default_rng(0)
    images = generator.random((max(batch_sizes), 28, 28, 1), dtype=np.float32)
    data = Data(images, generator.integers(0, 10, len(images)).astype(np.int32))
    mode = choose_mode(PROBLEM.build_model(), device, max(batch_sizes))
    trainer = Trainer(CompiledModel(PROBLEM, mode), lambda: build(OPTIMIZERS[PLAIN], Arm.TUNED, 0.01))
    initial, rates = initial_variables(PROBLEM, 0), np.array([0.01], np.float32)
    accumulate = accumulated_update(PROBLEM, mode)
    seconds: list[float] = []

    def update(batch_size: int, parts: int) -> None:
        order = np.arange(batch_size, dtype=np.int32)
        if parts > 1:
            start = time.perf_counter()
            accumulate(data, order.reshape(parts, -1))
            seconds.append(time.perf_counter() - start)
        else:  # the evaluation afterward uses one example, so the peak is the update's
            (last,) = trainer.train(data, initial, order[None, :], rates, [1], order[:1])
            seconds.append(last.train_seconds)

    largest = max(batch_sizes)
    cases = [(size, 1) for size in batch_sizes]
    if PART in batch_sizes and largest > PART:
        cases.append((largest, largest // PART))
    baseline = peak_bytes(lambda: None, device)
    rows: list[dict[str, Any]] = []
    for batch_size, parts in sorted(cases, key=lambda case: (case[0] // case[1], case[1])):
        peak = max(peak_bytes(partial(update, batch_size, parts), device) for _ in range(2))
        measured = {"peak_bytes": peak - baseline, "update_microseconds": seconds[-1] * 1e6}
        rows.append({"batch_size": batch_size, "accumulated": parts, **measured})
    return rows


def measure_memory(batch_sizes: Sequence[int] = BATCH_SIZES, repeats: int = 3) -> pd.DataFrame:
    """Memory and time of one plain SGD update of the slides' convolutional network, by batch size.

    Of the data only the batch counts, as the whole data set was in memory before. Its share is small: an image of 28×28
    takes 3,136 bytes, and the first layer's output for it 100,352.

    Args:
        batch_sizes: examples per update.
        repeats: number of new processes, each measuring every size.

    Returns:
        A table of MEMORY_COLUMNS, one row per (repeat, batch size), sizes ascending.
    """
    rows = []
    for repeat in range(repeats):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows += [{**row, "repeat": repeat} for row in process.submit(measure_once, list(batch_sizes)).result()]
    return check_table(pd.DataFrame(rows), MEMORY_COLUMNS, "memory by batch size")
