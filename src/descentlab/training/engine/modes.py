"""How an epoch is compiled, and how many runs train side by side."""

from __future__ import annotations

from typing import Any

from descentlab.training.engine.convolution import convolution_layers, multiply_adds, with_patches
from descentlab.training.engine.trainable import count_parameters

# Multiply-adds of a batch's convolutions. Time of graph over patches, one thread (2026-11): 1.9 at 1.5 million (digits_cnn,
# batch 64), 1.5 at 12 (batch 512) and at 18 (slides_cnn, batch 16), 0.8 at 72 (batch 64), 0.6 at 145 (batch 128).
PATCHES_BELOW = 30_000_000
WIDTH = 8
WIDE_BELOW = 20_000  # parameters


def choose_mode(model: Any, device: str, batch_size: int) -> str:
    """``xla``, ``graph``, or ``patches``: XLA with convolutions as patches × matrix.

    On a CPU, XLA's own convolutions are slow. As patches × matrix, small ones are faster than in a TensorFlow graph, where
    every operation costs some microseconds; large ones are slower (``PATCHES_BELOW``). Which is faster where depends on the
    machine, so a plan measures both.
    """
    convolutions = convolution_layers(model)
    if device != "CPU" or not convolutions:
        return "xla"
    small = multiply_adds(model) * batch_size < PATCHES_BELOW
    return "patches" if small and with_patches(model) is not None else "graph"


def modes_to_try(model: Any, device: str, batch_size: int) -> tuple[str, ...]:
    """The compiled modes that may be the fastest, the likeliest first."""
    first = choose_mode(model, device, batch_size)
    if first == "xla" or with_patches(model) is None:
        return tuple(dict.fromkeys((first, "graph")))
    return ("patches", "graph") if first == "patches" else ("graph", "patches")


def choose_width(model: Any, mode: str) -> int:
    """How many members train side by side: several if the time of a single one is mostly call overhead."""
    small = count_parameters(model) <= WIDE_BELOW
    return WIDTH if mode == "xla" and not convolution_layers(model) and small else 1
