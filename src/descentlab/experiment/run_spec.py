"""One training run: everything that decides its result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from descentlab.optimizers.arms import Arm

SEALED_PHASES = ("tuning", "sweep")  # never see the test split
SPEED = "speed"  # the phase of the final seeds at the rate that is tuned for speed


@dataclass(frozen=True)
class RunSpec:
    """One training run: everything that decides its result, and nothing else.

    Attributes:
        problem: name of the problem in the config.
        optimizer: name of the optimizer in the config (a row of the report).
        arm: ``default`` (no tuning, constant rate), ``tuned`` (the learning rate) or ``extended`` (epsilon, momentum and
            schedule too; docs/protocol.md, "Arms").
        phase: ``tuning`` (chooses the learning rate), ``sweep`` (how far off a learning rate may be; neither ever sees the
            test split), ``final`` (the runs that count), ``added`` (the same on more seeds, for contrasts that were still
            open), ``neighbor`` (final seeds at the grid points next to the chosen one) or ``speed`` (final seeds at the rate
            that reached the target soonest in tuning, where that is none of these).
        learning_rate: initial learning rate; None if the optimizer has none.
        schedule: one of schedules.SCHEDULES, or an import path.
        batch_size: examples per update, 0 for the full training set.
        epochs: budget, in passes over the training set (counted with ``reference_batch_size``).
        reference_batch_size: batch size of the problem's mini-batch optimizers.
        equal_updates: only if ``batch_size`` is 0: as many updates as the mini-batch optimizers, rather than as many
            examples.
        seed: chooses initial weights, split, data order and dropout, each from its own stream.
        hyperparameters: what the extended arm sets, as JSON with sorted keys; empty elsewhere.
        patience: epochs without a fall of the validation loss after which the run ends; 0 if it never does.
    """

    problem: str
    optimizer: str
    arm: str
    phase: str
    learning_rate: float | None
    schedule: str
    batch_size: int
    epochs: int
    reference_batch_size: int
    equal_updates: bool
    seed: int
    hyperparameters: str = ""
    patience: int = 0

    @property
    def sealed(self) -> bool:
        """Whether the run is given data without test targets."""
        return self.phase in SEALED_PHASES

    @property
    def run_id(self) -> str:
        """A stable id that is readable and valid as a file name."""
        rate = "none" if self.learning_rate is None else f"{self.learning_rate:g}"
        extended = ""
        if self.arm == Arm.EXTENDED:
            extended = "".join(f".{name}={value:g}" for name, value in self.extended.items()) + f".{self.schedule}"
        return f"{self.problem}.{self.optimizer}.{self.arm}.{self.phase}.lr={rate}{extended}.seed={self.seed}"

    @property
    def extended(self) -> dict[str, Any]:
        """The hyperparameters that the extended arm sets; empty in the other arms."""
        return dict(json.loads(self.hyperparameters or "{}"))

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, in the order of declaration."""
        return asdict(self)
