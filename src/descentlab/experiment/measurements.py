"""What an experiment measures besides its training runs: the table of step cost and mechanism problems.

The Snakefile imports this, so it stays light: a measurement's module is imported when it is measured
(:mod:`descentlab.measurements.measure`), and pandas when a table is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Measurement:
    """One measurement.

    Attributes:
        function: import path ``package.module:function``; it returns one table, or as many as there are ``tables``.
        tables: names of the files under ``measured/``.
        arguments: keyword arguments of the function.
        alone: it reads clocks or memory, so nothing else may run (docs/protocol.md, "Cost").
        planned: it depends on the experiment's optimizers and problems, so the function takes the plan first, and then a function
            that writes one line to the log: about what it leaves out, as a reader's code may raise anything.
    """

    function: str
    tables: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    alone: bool = False
    planned: bool = False

    @property
    def module(self) -> str:
        """The module that measures."""
        return self.function.partition(":")[0]


MEASUREMENTS: Mapping[str, Measurement] = {
    "step_cost": Measurement(
        "descentlab.measurements.step_cost:plan_step_cost", ("step_cost",), alone=True, planned=True
    ),
    "operations": Measurement("descentlab.measurements.operations:plan_operations", ("operations",), planned=True),
    "traits": Measurement("descentlab.measurements.traits:plan_traits", ("traits",), planned=True),
    "batch_size": Measurement(
        "descentlab.measurements.batch_size:measure_batch_size",
        ("batch_size", "matched_gaps"),
        {"seeds": [*range(10)]},
        alone=True,
    ),
    "slides_network": Measurement("descentlab.measurements.slides_network:measure_slides_network", ("slides_network",)),
    "memory": Measurement("descentlab.measurements.memory:measure_memory", ("memory",), alone=True),
    "landscapes": Measurement(
        "descentlab.measurements.landscapes:measure_landscapes",
        ("landscapes", "trajectories"),
        {"starts": 2000, "seed": 0},
    ),
    "minima": Measurement("descentlab.measurements.minima:measure_minima", ("minima",), {"seeds": [*range(10)]}),
    "noise_floor": Measurement(
        "descentlab.measurements.noise_floor:measure_noise_floor", ("noise_floor",), {"seeds": [*range(5)]}
    ),
    "construction": Measurement(
        "descentlab.measurements.linear_construction:measure_construction", ("construction",), {"seeds": [*range(10)]}
    ),
    "composition": Measurement(
        "descentlab.measurements.composition:measure_composition", ("composition",), {"seeds": [*range(5)]}
    ),
    "imbalance": Measurement(
        "descentlab.measurements.imbalance:measure_imbalance", ("imbalance",), {"seeds": [*range(10)]}
    ),
    "loss_scale": Measurement(
        "descentlab.measurements.loss_scale:measure_loss_scale", ("loss_scale",), {"seeds": [*range(10)]}
    ),
}


def measured_tables(names: Sequence[str], alone: bool) -> list[str]:
    """The tables of the measurements in ``names`` that are measured alone, or of the others."""
    chosen = [MEASUREMENTS[name] for name in names if MEASUREMENTS[name].alone is alone]
    return [table for measurement in chosen for table in measurement.tables]


def read_measured(folder: Path, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The tables of ``names`` that were measured, by name; tables from another config are ignored."""
    import pandas as pd

    paths = [folder / f"{table}.parquet" for alone in (False, True) for table in measured_tables(names, alone)]
    return {path.stem: pd.read_parquet(path) for path in paths if path.exists()}
