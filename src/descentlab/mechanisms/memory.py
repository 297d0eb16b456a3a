"""What an update needs in memory, by batch size: the slides say that traditional descent needs all examples there.

Measured on the slides' convolutional network, where what a batch needs is far above what a process uses anyway.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.device import choose_mode, configure_device
from descentlab.engine import Trainer, initial_variables
from descentlab.optimizers import OPTIMIZERS, build
from descentlab.problems.base import Data
from descentlab.records import Column, check_table

BATCH_SIZES = (1, 8, 64, 512, 4096)

MEMORY_COLUMNS: dict[str, Column] = {
    "batch_size": Column("int64", "examples", "", "examples an update"),
    "repeat": Column("int64", "", "", "updates of one size are measured one by one"),
    "peak_bytes": Column(
        "float64", "bytes", "lower", "most memory held in an update above that held before; NaN if unknown"
    ),
    "update_microseconds": Column(
        "float64", "microseconds", "lower", "time of the update, forward and backward included"
    ),
}


def resident_bytes(name: str) -> int:
    """``VmRSS`` (memory held now) or ``VmHWM`` (the most since the mark was reset) of this process, from Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def peak_growth(run: Callable[[], object], device: str) -> float:
    """Bytes by which the most memory held during ``run`` exceeds what was held before it.

    On a GPU the device's memory, as TensorFlow counts it; else the process's resident memory, which Linux alone can tell:
    elsewhere NaN. ``run`` is called in every case.
    """
    import tensorflow as tf

    if device != "CPU":
        tf.config.experimental.reset_memory_stats("GPU:0")
        before = tf.config.experimental.get_memory_info("GPU:0")["current"]
        run()
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"] - before)
    # Memory that was freed but not given back would be used again unseen.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM begins anew from VmRSS
        held = resident_bytes("VmRSS")
    except OSError:
        run()
        return math.nan
    run()
    return float(resident_bytes("VmHWM") - held)


def measure_memory(batch_sizes: Sequence[int] = BATCH_SIZES, repeats: int = 3) -> pd.DataFrame:
    """Memory and time of one plain SGD update of the slides' convolutional network, by batch size.

    Of the data, what is counted is the batch: the whole data set was in memory before. Its share is small, as an image of
    28×28 takes 3,136 bytes and the first layer's output for it 100,352.

    Args:
        batch_sizes: measured ascending, so that none finds memory that a larger one freed.
        repeats: updates measured at each size, after one that isn't.

    Returns:
        A table of MEMORY_COLUMNS, one row a (batch size, repeat).
    """
    from descentlab.problems.slides_cnn import PROBLEM

    device = configure_device()
    generator = np.random.default_rng(0)
    images = generator.random((max(batch_sizes), 28, 28, 1), dtype=np.float32)
    data = Data(images, generator.integers(0, 10, len(images)).astype(np.int32))
    mode = choose_mode(PROBLEM.build_model(), device)
    trainer = Trainer(PROBLEM, lambda: build(OPTIMIZERS["sgd"], "tuned", 0.01), mode)
    initial, rates = initial_variables(PROBLEM, 0), np.array([0.01], np.float32)
    rows: list[dict[str, Any]] = []
    for batch_size in sorted(batch_sizes):
        order = np.arange(batch_size, dtype=np.int32)[None, :]
        seconds: list[float] = []

        def update(order: np.ndarray = order, seconds: list[float] = seconds) -> None:
            # The evaluation that follows is of one example, so the peak is the update's.
            (last,) = trainer.train(data, initial, order, rates, [1], order[0, :1])
            seconds.append(last.train_seconds)

        update()
        for repeat in range(repeats):
            peak = peak_growth(update, device)
            rows.append(
                {"batch_size": batch_size, "repeat": repeat, "peak_bytes": peak, "update_microseconds": seconds[-1] * 1e6}
            )  # fmt: skip
    return check_table(pd.DataFrame(rows), MEMORY_COLUMNS, "memory by batch size")
