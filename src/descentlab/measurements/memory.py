"""How much memory an update needs, by batch size: the slides say that traditional descent needs all examples in memory.

Measured on the slides' convolutional network. The largest batch is measured in two ways: at once, and in batches of 64 whose
gradients are accumulated into one update, which is the same step of gradient descent.

What counts is the memory that an update takes beyond what is held before it: the data, the weights and the compiled update
are there already. So each update is made once before it is measured, and what it frees goes back to the system.
"""

from __future__ import annotations

import ctypes
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

from descentlab.problems.base import Problem
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.trainable import compile_loss

BATCH_SIZES = (1, 8, 64, 512, 2048)
PART = 64  # examples in memory at once, where gradients are accumulated
LEARNING_RATE = 0.01
UPDATES = 4  # of each size: where TensorFlow's pool is in pieces, every other one needs a twentieth more
M_MMAP_THRESHOLD = -3  # glibc's name of a setting
LARGE_ARRAY = 2**16  # bytes

MEMORY_COLUMNS: dict[str, Column] = {
    "batch_size": Column("int64", "examples", "", "examples per update"),
    "accumulated": Column("int64", "batches", "", "into one update; 1 where all its examples are in memory at once"),
    "repeat": Column("int64", "", "", "each in a new process"),
    "peak_bytes": Column(
        "float64",
        "bytes",
        "lower",
        "peak memory during any of four updates, minus the memory held before: data, weights, compiled update; NaN if unknown",
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

    The device's memory as TensorFlow counts it, which it does on a GPU and where it has a pool for oneDNN (by default on
    processors with instructions for neural networks, AVX512 VNNI): a pool keeps what is freed. Else the process's resident
    memory, which only Linux reports: NaN elsewhere.
    """
    import tensorflow as tf

    name = "CPU:0" if device == "CPU" else "GPU:0"
    try:
        tf.config.experimental.reset_memory_stats(name)
    except ValueError:  # not counted
        pass
    else:
        run()
        return float(tf.config.experimental.get_memory_info(name)["peak"])
    try:
        # in place: a setting of the kernel
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM to VmRSS
    except OSError:
        run()
        return math.nan
    run()
    return resident_bytes("VmHWM")


def release_freed_arrays() -> None:
    """Let this process give large arrays back to the system when they are freed; without effect where the C library isn't glibc.

    Otherwise it keeps some of them for later, so that an update would seem to need what updates before it have left, or none.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_MMAP_THRESHOLD, LARGE_ARRAY)


def descent_update(problem: Problem, device: str) -> Callable[[Any, Any, Any], None]:
    """One update of plain descent as a function of inputs, targets and order.

    The order has shape (parts, examples). With several parts, their gradients are added up one after the other: only one
    part's examples pass through the network at a time.
    """
    import tensorflow as tf

    model = problem.build_model()
    compile_loss(problem, model)
    weights = model.trainable_variables

    def gradients(x: Any, y: Any, examples: Any) -> list[Any]:
        inputs, targets = tf.gather(x, examples), tf.gather(y, examples)
        with tf.GradientTape() as tape:
            value = model.compute_loss(inputs, targets, model(inputs, training=True))
        return list(tape.gradient(value, weights))

    if device == "CPU":  # apart, so that TensorFlow computes it alike inside a loop and outside (see Trainer)
        gradients = tf.function(gradients, autograph=False, experimental_attributes={"_noinline": True})

    @tf.function(jit_compile=device != "CPU", autograph=False)
    def update(x: Any, y: Any, order: Any) -> None:
        def body(done: Any, sums: list[Any]) -> tuple[Any, list[Any]]:
            return done + 1, [a + b for a, b in zip(sums, gradients(x, y, order[done]), strict=True)]

        parts = order.shape[0]
        if parts == 1:
            sums = gradients(x, y, order[0])
        else:  # One part at a time: TensorFlow's loops begin up to ten turns before the first has ended.
            start = tf.constant(0), [tf.zeros_like(weight) for weight in weights]
            _, sums = tf.while_loop(lambda done, _: done < parts, body, start, parallel_iterations=1)
        for weight, total in zip(weights, sums, strict=True):
            weight.assign_sub(LEARNING_RATE * total / parts)

    return update


def measure_once(batch_sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One row of the table (without ``repeat``) per batch size, ascending; for a process of its own."""
    from descentlab.problems.builtin.slides_cnn import PROBLEM

    release_freed_arrays()
    device = configure_device()
    import tensorflow as tf

    generator, largest = np.random.default_rng(0), max(batch_sizes)
    x = tf.constant(generator.random((largest, 28, 28, 1), dtype=np.float32))
    y = tf.constant(generator.integers(0, 10, largest).astype(np.int32))
    descend = descent_update(PROBLEM, device)
    seconds: list[float] = []

    def update(order: Any) -> None:
        start = time.perf_counter()
        descend(x, y, order)
        seconds.append(time.perf_counter() - start)

    cases = [(size, 1) for size in sorted(batch_sizes)]
    if PART in batch_sizes and largest > PART:
        cases.append((largest, largest // PART))
    rows: list[dict[str, Any]] = []
    for batch_size, parts in cases:
        order = tf.constant(np.arange(batch_size, dtype=np.int32).reshape(parts, -1))
        update(order)  # compiles it
        held = peak_bytes(lambda: None, device)
        peak = max(peak_bytes(partial(update, order), device) for _ in range(UPDATES))
        measured = {"peak_bytes": peak - held, "update_microseconds": seconds[-1] * 1e6}
        rows.append({"batch_size": batch_size, "accumulated": parts, **measured})
    return rows


def measure_memory(batch_sizes: Sequence[int] = BATCH_SIZES, repeats: int = 3) -> pd.DataFrame:
    """Memory and time of one plain SGD update of the slides' convolutional network, by batch size.

    Of the data only the batch counts, as the whole data set is in memory before. Its share is small: an image of 28×28
    takes 3,136 bytes, and the first layer's output for it 100,352. Accumulated, an update needs the sums of the gradients
    besides one part's: as much as the weights, 1.2 MiB.

    Args:
        batch_sizes: examples per update.
        repeats: number of new processes, each measuring every size.

    Returns:
        A table of MEMORY_COLUMNS: in every repeat a row per batch size, ascending, and one of the largest, accumulated.
    """
    rows = []
    for repeat in range(repeats):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows += [{**row, "repeat": repeat} for row in process.submit(measure_once, list(batch_sizes)).result()]
    return check_table(pd.DataFrame(rows), MEMORY_COLUMNS, "memory by batch size")
