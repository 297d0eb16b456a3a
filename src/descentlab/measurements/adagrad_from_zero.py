"""AdaGrad as its paper writes it, without the constants that Keras adds: beside Keras' in measurements of what it does."""

from __future__ import annotations

from dataclasses import replace

from descentlab.optimizers.roles import ADAGRAD, ADAGRAD_FROM_ZERO
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry

CONSTANTS = {"initial_accumulator_value": 0.0, "epsilon": 1e-30}  # an epsilon of 0 would divide 0 by 0


def centered_entry(name: str, center: float) -> OptimizerEntry:
    """The table's optimizer, or AdaGrad without constants for ``ADAGRAD_FROM_ZERO``, its grid centered at ``center``."""
    if name != ADAGRAD_FROM_ZERO:
        return replace(OPTIMIZERS[name], center_learning_rate=center)
    return replace(OPTIMIZERS[ADAGRAD], center_learning_rate=center, hyperparameters=CONSTANTS)
