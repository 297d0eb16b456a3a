"""The report's sections, in their order: one function each, ``Evidence`` → ``Section``.

To add a section: write such a function and put it into this list.
"""

from __future__ import annotations

from collections.abc import Callable

from descentlab.sections.about import models, protocol, provenance
from descentlab.sections.batches import batches
from descentlab.sections.blocks import Evidence, Section
from descentlab.sections.convergence import convergence, optimum_gap, time_to_target
from descentlab.sections.cost import cost
from descentlab.sections.explorer import explorer
from descentlab.sections.first_screen import answer
from descentlab.sections.flips import flips
from descentlab.sections.glossary import glossary
from descentlab.sections.landscapes import landscapes
from descentlab.sections.ledger import claims
from descentlab.sections.magnitude import magnitude
from descentlab.sections.minima import minima
from descentlab.sections.outcome import final_metric, paired_differences
from descentlab.sections.ranks import ranks
from descentlab.sections.tuning import alarms, sensitivity

SECTIONS: tuple[Callable[[Evidence], Section | None], ...] = (
    answer,  # what the page begins with
    claims,
    paired_differences,
    final_metric,
    ranks,
    convergence,
    explorer,
    time_to_target,
    cost,
    sensitivity,
    flips,
    optimum_gap,
    minima,
    landscapes,
    magnitude,
    batches,
    alarms,
    models,
    protocol,
    glossary,
    provenance,
)

__all__ = ["SECTIONS", "Evidence", "Section"]
