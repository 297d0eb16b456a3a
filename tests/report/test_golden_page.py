"""The one test that pins sentences: what a reader reads first, the first screen and the ledger, as golden_page.txt has it.

The text was made from the page of the generated experiment, in which nothing is trained. After a change of wording, look at
what changes and write it again: ``PYTHONPATH=src:tests python -m report.test_golden_page``. Figures that change
there without a change of wording are a defect.
"""

from __future__ import annotations

from pathlib import Path

from descentlab.report.page import render
from descentlab.report.sections.first_screen import answer
from support.html_elements import Text
from support.report_evidence import evidence_of

GOLDEN = Path(__file__).with_name("golden_page.txt")


def shown_first() -> str:
    """The texts of the page's header, a line each: what stands before the other sections, which are not drawn here."""
    evidence = evidence_of()
    page = render(evidence, [answer(evidence)])
    header = page[page.index("<header") : page.index("</header>")]
    return "".join(f"{line}\n" for line in Text(header).lines)


def test_the_first_screen_and_the_ledger_read_as_they_did() -> None:
    assert shown_first() == GOLDEN.read_text(encoding="utf-8")


if __name__ == "__main__":
    GOLDEN.write_text(shown_first(), encoding="utf-8")
