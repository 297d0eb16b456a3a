"""The pages that a reader of the repository sees, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from support.workflow_fixture import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "workflow").rglob("*.md")])


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: the page it stands on.
        language: what follows the fence.
        text: its lines.
    """

    page: Path
    language: str
    text: str

    @property
    def file(self) -> str:
        """The file that the block's first line says it is; empty where it says none."""
        named = re.match(r"# ([\w./-]+\.\w+)\n", self.text)
        return named[1] if named else ""


def blocks(language: str, *pages: str) -> list[Block]:
    """The blocks of a language on some pages, by their paths in the repository; on all by default."""
    chosen = [ROOT / page for page in pages] or PAGES
    return [
        Block(page, language, text)
        for page in chosen
        for text in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    ]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
