"""What an update needs in memory, by batch size: the slides say that traditional descent needs all examples there.

Measured on the slides' convolutional network, where what a batch needs is far above what a process uses anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Data
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.modes import choose_mode
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

BATCH_SIZES = (1, 8, 64, 512, 2048)

MEMORY_COLUMNS: dict[str, Column] = {
    "batch_size": Column("int64", "examples", "", "examples an update"),
    "repeat": Column("int64", "", "", "a new process for each"),
    "peak_bytes": Column(
        "float64", "bytes", "lower", "most memory held in an update above that before the first; NaN if unknown"
    ),
    "update_microseconds": Column(
        "float64", "microseconds", "lower", "time of the update, forward and backward included"
    ),
}


def resident_bytes(name: str) -> float:
    """``VmRSS`` (memory held now) or ``VmHWM`` (the most since the mark was reset) of this process; NaN but on Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.nan
    return next((int(line.split()[1]) * 1024.0 for line in lines if line.startswith(f"{name}:")), math.nan)


def peak_bytes(run: Callable[[], object], device: str) -> float:
    """The most memory held while ``run`` runs; ``run`` is called in every case.

    On a GPU the device's memory, as TensorFlow counts it; else the process's resident memory, which Linux alone tells:
    elsewhere NaN.
    """
    if device != "CPU":
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")
        run()
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    try:
        # in place: a setting of the kernel
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM begins anew from VmRSS
    except OSError:
        run()
        return math.nan
    run()
    return resident_bytes("VmHWM")


def measure_once(batch_sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One row of the table (without ``repeat``) a batch size; for a process that has trained nothing yet.

    What an allocator was given it keeps, so memory counts from before the first update on, and batch sizes ascend: none
    finds memory that a larger one left.
    """
    from descentlab.problems.slides_cnn import PROBLEM

    device = configure_device()
    generator = np.random.default_rng(0)
    images = generator.random((max(batch_sizes), 28, 28, 1), dtype=np.float32)
    data = Data(images, generator.integers(0, 10, len(images)).astype(np.int32))
    mode = choose_mode(PROBLEM.build_model(), device, max(batch_sizes))
    trainer = Trainer(CompiledModel(PROBLEM, mode), lambda: build(OPTIMIZERS["sgd"], Arm.TUNED, 0.01))
    initial, rates = initial_variables(PROBLEM, 0), np.array([0.01], np.float32)
    seconds: list[float] = []

    def update(batch_size: int) -> None:
        # The evaluation that follows is of one example, so the peak is the update's.
        order = np.arange(batch_size, dtype=np.int32)[None, :]
        (last,) = trainer.train(data, initial, order, rates, [1], order[0, :1])
        seconds.append(last.train_seconds)

    held = peak_bytes(lambda: None, device)
    rows: list[dict[str, Any]] = []
    for batch_size in sorted(batch_sizes):
        peak = max(peak_bytes(lambda size=batch_size: update(size), device) for _ in range(2))  # type: ignore[misc]
        rows.append({"batch_size": batch_size, "peak_bytes": peak - held, "update_microseconds": seconds[-1] * 1e6})
    return rows


def measure_memory(batch_sizes: Sequence[int] = BATCH_SIZES, repeats: int = 3) -> pd.DataFrame:
    """Memory and time of one plain SGD update of the slides' convolutional network, by batch size.

    Of the data, what is counted is the batch: the whole data set was in memory before. Its share is small, as an image of
    28×28 takes 3,136 bytes and the first layer's output for it 100,352.

    Args:
        batch_sizes: examples an update.
        repeats: new processes, each measuring every size.

    Returns:
        A table of MEMORY_COLUMNS, one row a (repeat, batch size), sizes ascending.
    """
    rows = []
    for repeat in range(repeats):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows += [{**row, "repeat": repeat} for row in process.submit(measure_once, list(batch_sizes)).result()]
    return check_table(pd.DataFrame(rows), MEMORY_COLUMNS, "memory by batch size")
