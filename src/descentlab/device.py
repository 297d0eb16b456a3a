"""The device that trains: its threads and memory, and how epochs are compiled on it."""

from __future__ import annotations

import gc
import os
from typing import Any

from descentlab.convolution import convolution_layers, multiply_adds, with_patches
from descentlab.problems.base import ProblemError
from descentlab.trainable import count_parameters

# Multiply-adds of a batch's convolutions. Time of graph over patches, one thread (2026-11): 1.9 at 1.5 million (digits_cnn,
# batch 64), 1.5 at 12 (batch 512) and at 18 (slides_cnn, batch 16), 0.8 at 72 (batch 64), 0.6 at 145 (batch 128).
PATCHES_BELOW = 30_000_000
WIDTH = 8
WIDE_BELOW = 20_000  # parameters


def configure_device() -> str:
    """Set threads and memory before TensorFlow starts; return the device's name.

    Without a GPU every process computes on one thread: two jobs of one thread beat one job of two, and the bits of a
    result can't depend on how work was cut between threads. With a GPU, memory grows as it is needed, so that several
    jobs share a device.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise ProblemError(f"Keras must run on TensorFlow; received KERAS_BACKEND={keras.backend.backend()}")
    gc.freeze()  # a million objects of the imports, which the collector would look through at every compilation
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return "CPU"


def choose_mode(model: Any, device: str, batch_size: int) -> str:
    """``xla``, ``graph``, or ``patches``: XLA with convolutions as patches × matrix.

    On a CPU XLA's own convolutions are slow. As patches × matrix it computes small ones faster than TensorFlow's graph does,
    where every operation costs some microseconds; large ones slower (``PATCHES_BELOW``).
    """
    convolutions = convolution_layers(model)
    if device != "CPU" or not convolutions:
        return "xla"
    small = multiply_adds(model) * batch_size < PATCHES_BELOW
    return "patches" if small and with_patches(model) is not None else "graph"


def choose_width(model: Any, mode: str) -> int:
    """How many members train side by side: several where one alone leaves the machine waiting for calls."""
    small = count_parameters(model) <= WIDE_BELOW
    return WIDTH if mode == "xla" and not convolution_layers(model) and small else 1
