"""The device that trains: its threads and memory."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from descentlab.problems.base import ProblemError


def configure_device() -> str:
    """Configure threads and memory before TensorFlow starts, and return the device's name.

    Without a GPU every process uses one thread: two single-threaded jobs are faster than one job with two threads, and the
    bits of a result can't depend on how work is divided among threads. On a GPU, memory grows as needed, so that several
    jobs can share a device.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    import_keras()
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise ProblemError(f"Keras must run on TensorFlow; received KERAS_BACKEND={keras.backend.backend()}")
    # It orders sums by the names of operations, which count the models that the process has built before: the last bits of a
    # result would depend on them. It saves no time (2026-11: within 3 %, either way, for four models in graph mode).
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    # It warns of functions that are traced often, which is how models are tried; nothing that a reader could do follows from it.
    tf.get_logger().setLevel("ERROR")
    gc.freeze()  # the imports make a million objects, which the collector would scan at every compilation
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return "CPU"


def import_keras() -> None:
    """Import Keras without Matplotlib and scikit-learn, which it tries to import for its gallery of images and its wrappers.

    They take a third of a job's start (2026-12: 1.4 of 4.3 s of processor time) and a training needs neither; what needs them
    can import them later. Nothing changes where they, or Keras, have been imported before.
    """
    spared = [] if "keras" in sys.modules else [name for name in ("matplotlib", "sklearn") if name not in sys.modules]
    missing: dict[str, Any] = dict.fromkeys(spared)  # with None there, Python says that the module isn't found
    sys.modules.update(missing)
    try:
        import keras  # noqa: F401
    finally:
        for name in spared:
            del sys.modules[name]
