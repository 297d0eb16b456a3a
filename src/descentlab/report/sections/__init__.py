"""The report's sections in the order of the page, each a function from ``Evidence`` to a ``Section``.

To add a section, write such a function and put it into this list.
"""

from __future__ import annotations

from collections.abc import Callable

from descentlab.report.blocks import Evidence, Section
from descentlab.report.sections.about import models, protocol, provenance
from descentlab.report.sections.batches import batches
from descentlab.report.sections.convergence import convergence, optimum_gap, time_to_target
from descentlab.report.sections.cost import cost
from descentlab.report.sections.differences import paired_differences
from descentlab.report.sections.explorer import explorer
from descentlab.report.sections.final_metric import final_metric
from descentlab.report.sections.first_screen import answer
from descentlab.report.sections.glossary import glossary
from descentlab.report.sections.landscapes import landscapes
from descentlab.report.sections.ledger import claims
from descentlab.report.sections.magnitude import magnitude
from descentlab.report.sections.minima import minima
from descentlab.report.sections.rank_stability import rank_stability
from descentlab.report.sections.ranks import ranks
from descentlab.report.sections.slides_network import slides_network
from descentlab.report.sections.tuning import alarms, sensitivity
from descentlab.report.sections.when import when

SECTIONS: tuple[Callable[[Evidence], Section | None], ...] = (
    answer,  # what the page begins with
    claims,
    paired_differences,
    when,
    final_metric,
    ranks,
    convergence,
    explorer,
    time_to_target,
    cost,
    sensitivity,
    rank_stability,
    optimum_gap,
    minima,
    landscapes,
    magnitude,
    batches,
    alarms,
    slides_network,
    models,
    protocol,
    glossary,
    provenance,
)

__all__ = ["SECTIONS", "Evidence", "Section"]
