"""The explorer's block of a page."""

from __future__ import annotations

from descentlab.report.sections import Evidence
from descentlab.report.sections.explorer import Explorer, explorer
from support.report_evidence import found


def block_of(evidence: Evidence) -> Explorer:
    (block,) = found(explorer(evidence)).blocks
    assert isinstance(block, Explorer)
    return block
